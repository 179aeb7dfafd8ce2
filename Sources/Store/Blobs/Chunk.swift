// Memory in which a transfer's bytes gather, are written from, and are hashed from before it serves the next.

import Synchronization

/// 256 KiB, with one user after the other: the transfer that fills and writes it, then the hash, which need not read
/// back what it finds here.
///
/// The lock is there so that the compiler need not take that on trust; the hash may wait in it until the transfer has
/// told its followers.
final class Chunk: Sendable {
    static let capacity = 256 << 10
    /// Handed over at once, of all fills: 8 MiB. Beyond it the hash reads back.
    private static let most = 32
    /// Kept while none is handed over, so that a hash that is as fast as its transfer finds memory that is warm.
    private static let kept = 4

    private struct Memory: ~Copyable {
        let bytes = UnsafeMutableRawBufferPointer.allocate(byteCount: Chunk.capacity, alignment: 64)
        deinit { bytes.deallocate() }
    }

    private struct Pool {
        var free: [Chunk] = []
        /// Those between a transfer and its hash.
        var handedOver = 0
    }

    private static let pool = Mutex(Pool())
    private let memory = Mutex(Memory())

    func withBytes<Value: Sendable, Failure: Error>(
        _ body: (UnsafeMutableRawBufferPointer) throws(Failure) -> Value
    ) throws(Failure) -> Value {
        try memory.withLock { (memory: inout Memory) throws(Failure) in try body(memory.bytes) }
    }

    /// Whether any is between a transfer and its hash.
    static var areHandedOver: Bool { pool.withLock { $0.handedOver > 0 } }

    /// Before a chunk is handed over: another, to go on with. Nil if too many are on their way.
    static func another() -> Chunk? {
        let (mayGo, free): (Bool, Chunk?) = pool.withLock { pool in
            guard pool.handedOver < most else { return (false, nil) }
            pool.handedOver += 1
            return (true, pool.free.popLast())
        }
        return mayGo ? free ?? Chunk() : nil
    }

    /// What was handed over has been hashed, or will not be. The last gives the memory back, but for a little.
    static func giveBack(_ chunks: some Collection<Chunk>) {
        guard !chunks.isEmpty else { return }
        let gone: ArraySlice<Chunk> = pool.withLock { pool in
            pool.handedOver -= chunks.count
            pool.free += chunks
            guard pool.handedOver == 0, pool.free.count > kept else { return [] }
            defer { pool.free.removeLast(pool.free.count - kept) }
            return pool.free[kept...]
        }
        // Freed here, outside of the lock.
        _ = consume gone
    }
}
