// Where one transfer's bytes gather before they are written: 256 KiB at a time, since libcurl hands out 16 KiB at most.

import Synchronization

/// One large write costs a fraction of sixteen small ones. Called by the transport's thread only; the lock is never
/// contended and is there so that the compiler need not take that on trust.
package final class Stage: Sendable {
    package enum Uptake: Equatable, Sendable {
        case took
        /// The hash is far behind: nothing was taken, and the resumption given runs when it has caught up.
        case full
    }

    private struct Gathered {
        var chunk = Chunk()
        /// The place in the file of the first byte here.
        var start: Int64
        var count = 0
    }

    private let gathered: Mutex<Gathered>
    private let writer: IngestWriter
    private let wrote: @Sendable (Int64) -> Void

    /// - Parameters:
    ///   - offset: where in the file the first byte belongs.
    ///   - wrote: told after each write how far in the file it went; on the thread that appends or settles.
    package init(for writer: IngestWriter, at offset: Int64, wrote: @escaping @Sendable (Int64) -> Void) {
        gathered = Mutex(Gathered(start: offset))
        self.writer = writer
        self.wrote = wrote
    }

    /// Where in the file the next byte to take belongs; those that wait here count as taken.
    package var position: Int64 { gathered.withLock { $0.start + Int64($0.count) } }

    /// Takes bytes, and writes whenever enough have gathered.
    ///
    /// - Throws: what the write met. `position` then says how many were taken: none, unless there were more than can
    ///   wait here. Those that waited before still do, so that the same may be tried again once there is room.
    package func append(
        _ bytes: UnsafeRawBufferPointer, whenReady: @escaping @Sendable () -> Void
    ) throws(StoreError) -> Uptake {
        if writer.isLagging(for: gathered.withLock { $0.start }, orCall: whenReady) { return .full }
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
        let end = try gathered.withLock { (gathered: inout Gathered) throws(StoreError) in
            gathered.count > 0 ? try write(&gathered) : nil
        }
        if let end { wrote(end) }
    }

    /// As many as there is room for, and how far was written if that filled it.
    private func take(_ bytes: Slice<UnsafeRawBufferPointer>) throws(StoreError) -> (taken: Int, end: Int64?) {
        try gathered.withLock { (gathered: inout Gathered) throws(StoreError) in
            let part = bytes.prefix(Chunk.capacity - gathered.count)
            gathered.chunk.withBytes { [count = gathered.count] memory in
                UnsafeMutableRawBufferPointer(rebasing: memory[count...])
                    .copyMemory(from: UnsafeRawBufferPointer(rebasing: part))
            }
            gathered.count += part.count
            guard gathered.count == Chunk.capacity else { return (part.count, nil) }
            do throws(StoreError) {
                return (part.count, try write(&gathered))
            } catch {
                gathered.count -= part.count
                throw error
            }
        }
    }

    private func write(_ gathered: inout Gathered) throws(StoreError) -> Int64 {
        let next = try writer.write(gathered.chunk, gathered.count, at: gathered.start)
        gathered.start += Int64(gathered.count)
        gathered.count = 0
        gathered.chunk = next
        return gathered.start
    }
}
