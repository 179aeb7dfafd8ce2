// How many bytes there may be, how many there are, and how many are promised.

import Glibc
import Synchronization

/// The arithmetic, as a value. All figures are bytes.
package struct Ledger: Equatable, Sendable {
    package var limit: Int64
    package var minFree: Int64
    /// 0...1 of `limit`.
    package var lowWatermark: Double
    /// Blobs and manifests, each rounded up to whole disk blocks.
    package var committed: Int64 = 0
    /// Promised to fills; their files are preallocated, so this is also what they take.
    package var reserved: Int64 = 0
    /// What the files of unfinished fills take that lie there to be gone on with.
    package var partial: Int64 = 0
    package var quarantined: Int64 = 0
    /// Files that no row knows, until they are adopted or gone.
    package var unknown: Int64 = 0
    /// The database, its log, and the folders.
    package var overhead: Int64 = 0

    package init(limit: Int64, minFree: Int64, lowWatermark: Double) {
        self.limit = limit
        self.minFree = minFree
        self.lowWatermark = lowWatermark
    }

    package var used: Int64 { committed + reserved + partial + quarantined + unknown + overhead }

    /// Bytes that must go before `size` more fit, by the limit or by the disk's free space; 0 or less: it fits.
    package func shortfall(for size: Int64, free: Int64) -> Int64 {
        max(used + size - limit, size + minFree - free)
    }

    /// Bytes to evict once it does not fit: down to the low watermark, so that eviction is rare and large.
    package func goal(for size: Int64, free: Int64) -> Int64 {
        max(used + size - Int64(Double(limit) * lowWatermark), size + minFree - free)
    }
}

/// The ledger that everyone shares. A lock: each step is microseconds and must never suspend.
package final class Capacity: Sendable {
    private let ledger: Mutex<Ledger>
    private let root: String
    private let life: @Sendable () -> Int

    /// - Parameter life: the database's (`MetadataDatabase.life`), whose rows say what is committed.
    init(_ ledger: Ledger, root: String, life: @escaping @Sendable () -> Int) {
        self.ledger = Mutex(ledger)
        self.root = root
        self.life = life
    }

    package var snapshot: Ledger { ledger.withLock { $0 } }

    /// Bytes that an unprivileged process may still write on the file system.
    package var free: Int64 { Self.fileSystem(of: root).free }

    /// Promises `size` bytes if they fit now.
    func reserve(_ size: Int64) -> Reservation? {
        let free = free
        let blocks = onDisk(size)
        let fits = ledger.withLock { ledger in
            guard ledger.shortfall(for: blocks, free: free) <= 0 else { return false }
            ledger.reserved += blocks
            return true
        }
        return fits ? Reservation(size, of: self) : nil
    }

    func change(_ body: (inout Ledger) -> Void) { ledger.withLock { body(&$0) } }

    /// `size` bytes have a row. One that went with its database counts for nothing: either what was committed becomes
    /// unknown after this (`ContentStore.lostRows`), or the file, which had its name before its row, is found by the
    /// reconciling that follows, and counted there.
    ///
    /// - Parameter promised: what was reserved for it, and is no longer.
    func commit(_ size: Int64, as row: CountedRow, promised: Int64 = 0) {
        change { ledger in
            ledger.reserved -= promised
            guard life() == row.life else { return }
            ledger.committed += onDisk(size) - onDisk(row.earlier ?? 0)
        }
    }

    /// Rows of `size` bytes, read and taken away in this life of the database, are gone.
    func forget(_ size: Int64, in life: Int) {
        change { ledger in
            guard life == self.life() else { return }
            ledger.committed = max(0, ledger.committed - size)
        }
    }

    static func fileSystem(of path: String) -> (total: Int64, free: Int64) {
        var status = statvfs()
        guard statvfs(path, &status) == 0 else { return (.max / 2, .max / 2) }
        let block = Int64(status.f_frsize)
        return (Int64(status.f_blocks) * block, Int64(status.f_bavail) * block)
    }
}

/// A row that makes bytes count.
struct CountedRow: Sendable {
    /// Bytes of the row of the same digest that it took the place of, and that counted already.
    let earlier: Int64?
    /// The database's that has it.
    let life: Int
}

/// Bytes of capacity promised to one ingest; given back when it ends without one, at the latest with the last
/// reference, unless they became a blob.
package final class Reservation: Sendable {
    /// What is taken at a time where the whole size is not known.
    static let step: Int64 = 8 << 20

    private let held: Mutex<Int64>
    private let capacity: Capacity

    init(_ size: Int64, of capacity: Capacity) {
        held = Mutex(onDisk(size))
        self.capacity = capacity
    }

    /// Grows to cover `size` bytes; only an ingest of unknown size ever needs to.
    func cover(_ size: Int64) throws(StoreError) {
        let missing = onDisk(size) - held.withLock { $0 }
        guard missing > 0 else { return }
        let step = max(missing, Self.step)
        guard let more = capacity.reserve(step) else { throw .noSpace(needed: step) }
        absorb(more)
    }

    /// Bytes, in whole blocks.
    var size: Int64 { held.withLock { $0 } }

    /// What was promised there is promised here.
    func absorb(_ other: Reservation) {
        let gained = other.takeHeld()
        held.withLock { $0 += gained }
    }

    /// Gives back what is beyond `size` bytes.
    func shrink(to size: Int64) {
        let excess = held.withLock { held in
            defer { held = min(held, onDisk(size)) }
            return max(0, held - onDisk(size))
        }
        capacity.change { $0.reserved -= excess }
    }

    /// A kept file of `allocated` bytes on the disk is written on: it belongs to this promise.
    func takeOver(partial allocated: Int64) {
        held.withLock { $0 += allocated }
        capacity.change {
            $0.partial -= allocated
            $0.reserved += allocated
        }
    }

    /// The file stays, with `allocated` bytes on the disk, and nothing more is promised.
    func leave(partial allocated: Int64) {
        let rest = takeHeld()
        capacity.change {
            $0.reserved -= rest
            $0.partial += allocated
        }
    }

    /// The promise is kept: `size` bytes are a blob now.
    func commit(_ size: Int64, as row: CountedRow) {
        capacity.commit(size, as: row, promised: takeHeld())
    }

    /// The bytes were not needed: whoever still reads the file holds no room by that.
    func giveBack() {
        let rest = takeHeld()
        if rest > 0 { capacity.change { $0.reserved -= rest } }
    }

    private func takeHeld() -> Int64 {
        held.withLock { held in
            defer { held = 0 }
            return held
        }
    }

    deinit { giveBack() }
}
