// LLVM's fuzzer instead of our generator: it is led by which branches an input reaches. Only in deploy/fuzz's build.

#if FUZZER
    import Glibc
    import Synchronization

    @_silgen_name("LLVMFuzzerRunDriver")
    private func runDriver(
        _ count: UnsafeMutablePointer<CInt>,
        _ arguments: UnsafeMutablePointer<UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?>,
        _ body: @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt
    ) -> CInt

    enum LibFuzzer {
        private static let target = Mutex<FuzzTarget?>(nil)

        /// Runs until a finding, or until the arguments say that it is enough, and ends the process with its status.
        static func run(_ target: FuzzTarget, arguments: [String]) {
            self.target.withLock { $0 = target }
            // Never freed: the driver keeps them, and does not come back.
            let texts = (["fuzz"] + arguments).map { strdup($0) }
            let list = UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>.allocate(capacity: texts.count + 1)
            for (place, text) in texts.enumerated() { list[place] = text }
            list[texts.count] = nil
            var count = CInt(texts.count)
            var pointer: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = list
            let status = runDriver(&count, &pointer) { start, count in
                let bytes = Array(UnsafeBufferPointer(start: start, count: count))
                do {
                    try LibFuzzer.target.withLock { $0 }?.law(bytes)
                } catch {
                    print("BROKEN: \(error)\nINPUT: \(bytes.literal)")
                    fflush(nil)
                    abort()
                }
                return 0
            }
            exit(status)
        }
    }
#endif
