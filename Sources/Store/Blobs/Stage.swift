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
        /// The place in the file of the first byte here.
        var start: Int64
        var count = 0

        init(start: Int64) { self.start = start }
        deinit { bytes.deallocate() }
    }

    private let buffer: Mutex<Buffer>
    private let writer: IngestWriter
    private let wrote: @Sendable (Int64) -> Void

    /// - Parameters:
    ///   - offset: where in the file the first byte belongs.
    ///   - wrote: told after each write how far in the file it went; on the thread that appends or settles.
    package init(for writer: IngestWriter, at offset: Int64, wrote: @escaping @Sendable (Int64) -> Void) {
        buffer = Mutex(Buffer(start: offset))
        self.writer = writer
        self.wrote = wrote
    }

    /// Where in the file the next byte to take belongs; those that wait here count as taken.
    package var position: Int64 { buffer.withLock { $0.start + Int64($0.count) } }

    /// Takes bytes, and writes whenever enough have gathered.
    ///
    /// - Throws: what the write met. `position` then says how many were taken: none, unless there were more than can
    ///   wait here. Those that waited before still do, so that the same may be tried again once there is room.
    package func append(
        _ bytes: UnsafeRawBufferPointer, whenReady: @escaping @Sendable () -> Void
    ) throws(StoreError) -> Uptake {
        if writer.isLagging(orCall: whenReady) { return .full }
        var rest = bytes[...]
        while !rest.isEmpty {
            let (taken, end) = try take(rest)
            rest = rest.dropFirst(taken)
            // Outside the lock: whoever is told may ask for the position.
            if let end { wrote(end) }
        }
        return .took
    }

    /// Writes what has gathered: a trickling upstream's bytes must not sit here.
    package func settle() throws(StoreError) {
        let end = try buffer.withLock { (buffer: inout Buffer) throws(StoreError) in
            buffer.count > 0 ? try write(&buffer) : nil
        }
        if let end { wrote(end) }
    }

    /// As many as there is room for, and how far was written if that filled it.
    private func take(_ bytes: Slice<UnsafeRawBufferPointer>) throws(StoreError) -> (taken: Int, end: Int64?) {
        try buffer.withLock { (buffer: inout Buffer) throws(StoreError) in
            let part = bytes.prefix(Self.capacity - buffer.count)
            UnsafeMutableRawBufferPointer(rebasing: buffer.bytes[buffer.count...])
                .copyMemory(from: UnsafeRawBufferPointer(rebasing: part))
            buffer.count += part.count
            guard buffer.count == Self.capacity else { return (part.count, nil) }
            do throws(StoreError) {
                return (part.count, try write(&buffer))
            } catch {
                buffer.count -= part.count
                throw error
            }
        }
    }

    private func write(_ buffer: inout Buffer) throws(StoreError) -> Int64 {
        try writer.write(UnsafeRawBufferPointer(rebasing: buffer.bytes[..<buffer.count]), at: buffer.start)
        buffer.start += Int64(buffer.count)
        buffer.count = 0
        return buffer.start
    }
}
