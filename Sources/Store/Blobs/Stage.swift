// Where one transfer's bytes gather before they are written: 256 KiB at a time, since libcurl hands out 16 KiB at most.

import Synchronization

/// One large write costs a fraction of sixteen small ones. Called by the transport's thread only; the lock is never
/// contended and is there so that the compiler need not take that on trust.
package final class Stage: Sendable {
    private static let capacity = 256 << 10

    package enum Uptake: Equatable, Sendable {
        case took
        /// The hash is far behind: nothing was taken, and the resumption given runs when it has caught up.
        case full
    }

    private struct Buffer: ~Copyable {
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: Stage.capacity, alignment: 64)
        var count = 0

        deinit { bytes.deallocate() }
    }

    private let buffer = Mutex(Buffer())
    private let writer: IngestWriter

    package init(for writer: IngestWriter) { self.writer = writer }

    package func append(
        _ bytes: UnsafeRawBufferPointer, whenReady: @escaping @Sendable () -> Void
    ) throws(StoreError) -> Uptake {
        if writer.isLagging(orCall: whenReady) { return .full }
        try buffer.withLock { (buffer: inout Buffer) throws(StoreError) in
            var rest = bytes[...]
            while !rest.isEmpty {
                let part = rest.prefix(Self.capacity - buffer.count)
                UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[buffer.count...])
                    .copyMemory(from: UnsafeRawBufferPointer(rebasing: part))
                buffer.count += part.count
                rest = rest.dropFirst(part.count)
                if buffer.count == Self.capacity { try Self.write(&buffer, to: writer) }
            }
        }
        return .took
    }

    /// Writes what has gathered: a trickling upstream's bytes must not sit here.
    package func settle() throws(StoreError) {
        try buffer.withLock { (buffer: inout Buffer) throws(StoreError) in try Self.write(&buffer, to: writer) }
    }

    private static func write(_ buffer: inout Buffer, to writer: IngestWriter) throws(StoreError) {
        let count = buffer.count
        buffer.count = 0
        try writer.append(UnsafeRawBufferPointer(rebasing: buffer.bytes[..<count]))
    }
}
