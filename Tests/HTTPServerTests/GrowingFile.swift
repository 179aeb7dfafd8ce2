// A file that grows while it is sent: the server's side of the bargain, and how many descriptors hold it.
import Glibc
import HTTPServer
import Synchronization

/// What `Landing` is in the program: how far the file has come, and who waits.
final class GrowingFile: Sendable {
    private struct State {
        var landed: Int64 = 0
        var ending: FileView.Ending?
        var waiting: [(at: Int64, wake: Waker, call: @Sendable () -> Void)] = []
    }

    let path: String
    private let writer: CInt
    private let state = Mutex(State())

    init() throws {
        var template = Array("/tmp/wharf-httpserver-XXXXXX".utf8CString)
        writer = mkstemp(&template)
        guard writer >= 0 else { throw SystemError() }
        path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// A file that is whole.
    convenience init(_ bytes: [UInt8]) throws {
        try self.init()
        try append(bytes)
        end(.complete(size: Int64(bytes.count)))
    }

    deinit {
        close(writer)
        unlink(path)
    }

    func append(_ bytes: [UInt8]) throws {
        let offset = state.withLock { $0.landed }
        guard pwrite(writer, bytes, bytes.count, off_t(offset)) == bytes.count else { throw SystemError() }
        advance { $0.landed += Int64(bytes.count) }
    }

    func end(_ ending: FileView.Ending) {
        advance { $0.ending = ending }
    }

    func truncate(to size: Int64) {
        ftruncate(writer, off_t(size))
    }

    private func advance(_ change: (inout State) -> Void) {
        let due = state.withLock { state in
            change(&state)
            let due = state.waiting.filter { $0.at <= state.landed || state.ending != nil }
            state.waiting.removeAll { $0.at <= state.landed || state.ending != nil }
            return due
        }
        for (_, wake, call) in due { wake.execute(call) }
    }

    var waiting: Int { state.withLock { $0.waiting.count } }
    var loopsWaiting: Int { state.withLock { Set($0.waiting.map(\.wake.id)).count } }

    /// A body over its own descriptor, as every response needs.
    func body(from start: Int64 = 0, to end: Int64? = nil) -> ResponseBody {
        let file = OpenFile(taking: open(path, O_RDONLY | O_CLOEXEC))
        return .file(
            FileBody(file: file, start: start, end: end) { [self] offset, atLeast, wake, call in
                state.withLock { state in
                    if state.landed < atLeast, state.ending == nil { state.waiting.append((atLeast, wake, call)) }
                    return FileView(available: state.landed, ending: state.ending)
                }
            })
    }

    /// Descriptors of this process that have the file open, the writer's own apart. Exact also while other tests run.
    var openDescriptors: Int {
        guard let directory = opendir("/proc/self/fd") else { return -1 }
        defer { closedir(directory) }
        var count = 0
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) {
                String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self)
            }
            var target = [CChar](repeating: 0, count: 256)
            let length = readlink("/proc/self/fd/\(name)", &target, target.count)
            let bytes = target.prefix(max(length, 0)).map { UInt8(bitPattern: $0) }
            if String(decoding: bytes, as: UTF8.self) == path { count += 1 }
        }
        return count - 1
    }
}

/// Bytes that tell an offset error: their period is a prime, which divides no piece.
func pattern(_ count: Int, from start: Int = 0) -> [UInt8] {
    var bytes = Array(period[(start % period.count)...].prefix(count))
    bytes.reserveCapacity(count)
    while bytes.count < count { bytes += period.prefix(count - bytes.count) }
    return bytes
}

private let period = (0..<65_521).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 8 &* 7) }
