// Turns of a digest: one at a time, in the order of arrival, and none for the evictor while anybody has one.

import Dispatch
import OCI
import Testing

@testable import Store

@Suite("DigestGate", .timeLimit(.minutes(5))) struct DigestGateTests {
    /// Runs what it is given in that order, one at a time, so that a test knows who came first.
    final class InOrder: TaskExecutor {
        private let queue = DispatchQueue(label: "in order")

        func enqueue(_ job: consuming ExecutorJob) {
            let job = UnownedJob(job)
            queue.async { job.runSynchronously(on: self.asUnownedTaskExecutor()) }
        }
    }

    let digest = Digest.of([1])

    @Test func `turns are taken in the order of arrival`() async {
        let gate = DigestGate()
        let order = Shared<[Int]>([])
        let executor = InOrder()
        #expect(gate.tryEnter(digest))
        await withTaskGroup { group in
            for number in 0..<100 {
                group.addTask(executorPreference: executor) {
                    await gate.turn(digest) { order.change { $0.append(number) } }
                }
            }
            // Comes after all of them have queued up.
            group.addTask(executorPreference: executor) { gate.leave(digest) }
        }
        #expect(order.value == Array(0..<100))
    }

    @Test func `a thousand tasks never meet inside a turn`() async {
        let gate = DigestGate()
        let digests = (0..<7).map { Digest.of([UInt8($0)]) }
        let inside = Shared<[Digest: Int]>([:])
        let met = Shared(0)
        let turns = Shared(0)
        await withTaskGroup { group in
            for number in 0..<1000 {
                group.addTask {
                    let digest = digests[number % digests.count]
                    await gate.turn(digest) {
                        let others = inside.change { inside in
                            defer { inside[digest, default: 0] += 1 }
                            return inside[digest] ?? 0
                        }
                        if others > 0 || gate.tryEnter(digest) { met.change { $0 += 1 } }
                        await Task.yield()
                        inside.change { $0[digest]? -= 1 }
                        turns.change { $0 += 1 }
                    }
                }
            }
        }
        #expect(met.value == 0)
        #expect(turns.value == 1000)
    }

    @Test func `one digest does not wait for another`() async {
        let gate = DigestGate()
        let value = await gate.turn(digest) { await gate.turn(Digest.of([2])) { 42 } }
        #expect(value == 42)
    }

    @Test func `the evictor gets a turn only where nobody has one`() async {
        let gate = DigestGate()
        await gate.turn(digest) { #expect(!gate.tryEnter(digest)) }
        #expect(gate.tryEnter(digest))
        #expect(!gate.tryEnter(digest))
        gate.leave(digest)
        #expect(gate.tryEnter(digest))
    }

    @Test func `a turn that throws passes on`() async {
        let gate = DigestGate()
        await #expect(throws: StoreError.ended) {
            try await gate.turn(digest) { () async throws(StoreError) in throw .ended }
        }
        #expect(gate.tryEnter(digest))
    }
}
