// The arithmetic of room, as tables, and promises that are kept or given back.

import Synchronization
import Testing

@testable import Store

@Suite("Ledger") struct LedgerTests {
    private static func ledger(
        committed: Int64 = 0, reserved: Int64 = 0, partial: Int64 = 0, quarantined: Int64 = 0, database: Int64 = 0,
        minFree: Int64 = 0
    ) -> Ledger {
        var ledger = Ledger(limit: 1000, minFree: minFree, lowWatermark: 0.9)
        ledger.committed = committed
        ledger.reserved = reserved
        ledger.partial = partial
        ledger.quarantined = quarantined
        ledger.overhead = database
        return ledger
    }

    /// (ledger, size asked, free on disk, shortfall, goal)
    @Test(
        "what is missing, and how much goes then",
        arguments: [
            (ledger(), 1000, 5000, 0, 100), (ledger(), 1001, 5000, 1, 101), (ledger(), 0, 0, 0, 0),
            (ledger(committed: 1000), 0, 5000, 0, 100), (ledger(committed: 1000), 1, 5000, 1, 101),
            (ledger(committed: 500, reserved: 500), 1, 5000, 1, 101),
            (ledger(committed: 400, reserved: 300, quarantined: 200, database: 99), 1, 5000, 0, 100),
            (ledger(committed: 400, reserved: 300, quarantined: 200, database: 100), 1, 5000, 1, 101),
            (ledger(committed: 400, reserved: 200, partial: 100, quarantined: 200, database: 100), 1, 5000, 1, 101),
            (ledger(committed: 100), 100, 99, 1, 1), (ledger(committed: 100), 100, 100, 0, 0),
            (ledger(committed: 100, minFree: 50), 100, 149, 1, 1),
            (ledger(committed: 100, minFree: 50), 100, 150, 0, 0),
            (ledger(committed: 100, minFree: 50), 0, 20, 30, 30),
            (ledger(committed: 950, minFree: 500), 100, 400, 200, 200),
        ] as [(Ledger, Int64, Int64, Int64, Int64)])
    func room(ledger: Ledger, size: Int64, free: Int64, shortfall: Int64, goal: Int64) {
        #expect(max(0, ledger.shortfall(for: size, free: free)) == shortfall)
        #expect(max(0, ledger.goal(for: size, free: free)) == goal)
    }

    @Test func `a share is of the file system, bytes are bytes`() {
        #expect(StoreConfiguration.Bound.share(0.25).bytes(ofFileSystem: 4000) == 1000)
        #expect(StoreConfiguration.Bound.bytes(7).bytes(ofFileSystem: 4000) == 7)
    }

    @Test(
        "content takes whole blocks",
        arguments: [(0, 0), (1, 4096), (4096, 4096), (4097, 8192)] as [(Int64, Int64)])
    func blocks(size: Int64, taken: Int64) { #expect(onDisk(size) == taken) }
}

@Suite("Reservation") struct ReservationTests {
    private func capacity(_ limit: Int64) -> Capacity {
        Capacity(Ledger(limit: limit, minFree: 0, lowWatermark: 0.9), root: "/tmp") { 0 }
    }

    @Test func `what was promised is given back with the last reference`() throws {
        let capacity = capacity(1 << 20)
        var reservation = capacity.reserve(5000)
        #expect(capacity.snapshot.reserved == 8192)
        reservation = nil
        #expect(reservation == nil)
        #expect(capacity.snapshot.used == 0)
    }

    @Test func `a promise kept becomes a blob once, however often it is said`() throws {
        let capacity = capacity(1 << 20)
        do {
            let reservation = try #require(capacity.reserve(5000))
            reservation.commit(4000, as: CountedRow(earlier: nil, life: 0))
            #expect(capacity.snapshot.reserved == 0)
            #expect(capacity.snapshot.committed == 4096)
            reservation.giveBack()
        }
        #expect(capacity.snapshot.reserved == 0)
        #expect(capacity.snapshot.committed == 4096)
    }

    @Test func `content that takes its own place counts once`() throws {
        let capacity = capacity(1 << 20)
        try #require(capacity.reserve(5000)).commit(5000, as: CountedRow(earlier: nil, life: 0))
        try #require(capacity.reserve(5000)).commit(5000, as: CountedRow(earlier: 5000, life: 0))
        #expect(capacity.snapshot.committed == 8192)
        #expect(capacity.snapshot.reserved == 0)
    }

    @Test func `a row that went with its database counts for nothing, and what it promised is free`() throws {
        let lives = Mutex(0)
        let capacity = Capacity(Ledger(limit: 1 << 20, minFree: 0, lowWatermark: 0.9), root: "/tmp") {
            lives.withLock { $0 }
        }
        try #require(capacity.reserve(9000)).commit(9000, as: CountedRow(earlier: nil, life: 0))
        let reservation = try #require(capacity.reserve(5000))
        lives.withLock { $0 = 1 }
        reservation.commit(5000, as: CountedRow(earlier: nil, life: 0))
        capacity.forget(4096, in: 0)
        #expect(capacity.snapshot.used == 12_288)
        capacity.forget(4096, in: 1)
        #expect(capacity.snapshot.used == 8192)
    }

    @Test func `it grows in steps to cover what comes, or says that there is no room`() throws {
        let capacity = capacity(20 << 20)
        let reservation = try #require(capacity.reserve(Reservation.step))
        try reservation.cover(Reservation.step)
        #expect(capacity.snapshot.reserved == 8 << 20)
        try reservation.cover(Reservation.step + 1)
        #expect(capacity.snapshot.reserved == 16 << 20)
        #expect(throws: StoreError.noSpace(needed: Reservation.step)) {
            try reservation.cover(2 * Reservation.step + 1)
        }
        #expect(capacity.snapshot.reserved == 16 << 20)
        reservation.commit(10 << 20, as: CountedRow(earlier: nil, life: 0))
        #expect(capacity.snapshot.used == 10 << 20)
    }

    @Test func `one leap beyond a step is covered whole`() throws {
        let capacity = capacity(64 << 20)
        let reservation = try #require(capacity.reserve(1))
        try reservation.cover(30 << 20)
        #expect(capacity.snapshot.reserved >= 30 << 20)
    }

    @Test func `what is promised to one can be promised to another, and no byte twice`() throws {
        let capacity = capacity(1 << 20)
        let reservation = try #require(capacity.reserve(5000))
        do {
            let other = try #require(capacity.reserve(4096))
            reservation.absorb(other)
        }
        #expect(reservation.size == 3 * 4096)
        #expect(capacity.snapshot.reserved == 3 * 4096)
        reservation.shrink(to: 4097)
        reservation.shrink(to: 100_000)
        #expect(reservation.size == 2 * 4096)
        #expect(capacity.snapshot.used == 2 * 4096)
    }

    @Test func `an unfinished file counts as what it takes, whether it lies or is written`() throws {
        let capacity = capacity(1 << 20)
        try #require(capacity.reserve(100_000)).leave(partial: 8192)
        #expect(capacity.snapshot.reserved == 0)
        #expect(capacity.snapshot.partial == 8192)
        let reservation = try #require(capacity.reserve(4096))
        reservation.takeOver(partial: 8192)
        #expect(capacity.snapshot.partial == 0)
        #expect(capacity.snapshot.reserved == 3 * 4096)
        reservation.commit(3 * 4096, as: CountedRow(earlier: nil, life: 0))
        #expect(capacity.snapshot.used == 3 * 4096)
    }

    @Test func `promises never exceed the limit, not even by rounding`() throws {
        let capacity = capacity(10_000)
        let first = try #require(capacity.reserve(4097))
        #expect(capacity.reserve(1) == nil)
        #expect(capacity.snapshot.used <= 10_000)
        first.giveBack()
        #expect(capacity.reserve(1) != nil)
    }

    @Test func `promises of many tasks at once add up and vanish`() async {
        let capacity = capacity(100 * 4096)
        let granted = await withTaskGroup(of: Reservation?.self) { group in
            for _ in 0..<300 { group.addTask { capacity.reserve(4096) } }
            var granted: [Reservation] = []
            for await reservation in group { if let reservation { granted.append(reservation) } }
            return granted
        }
        #expect(granted.count == 100)
        #expect(capacity.snapshot.reserved == 100 * 4096)
        for reservation in granted { reservation.giveBack() }
        #expect(capacity.snapshot.reserved == 0)
    }
}
