// How a prefetch is shown, and what its list says.

import Foundation
import Frontend
import Testing

@testable import wharf

@Suite("The board of a prefetch") struct PrefetchBoardTests {
    private func line(
        _ image: String, _ state: String, _ received: Int64 = 0, of size: Int64? = nil, message: String? = nil
    ) throws -> PrefetchLine {
        let size = size.map { "\($0)" } ?? "null"
        let message = message.map { "\"\($0)\"" } ?? "null"
        let json = """
            {"image":"\(image)","state":"\(state)","received":\(received),"size":\(size),"blobs_done":2,"blobs":5,
            "message":\(message)}
            """
        return try JSONDecoder().decode(PrefetchLine.self, from: Data(json.utf8))
    }

    @Test func `bars stand for what is under way, and ends are written for good`() throws {
        var board = PrefetchBoard()
        #expect(board.take(try line("a:1", "resolving"), isWatched: true) == nil)
        #expect(board.take(try line("b:1", "fetching", 30, of: 100), isWatched: true) == nil)
        #expect(
            board.bars(width: 60).map { $0.trimmingCharacters(in: .whitespaces) } == [
                "a:1                      resolving",
                "b:1                      [==>          ]  30 % 30 B of 100 B",
            ])
        #expect(
            board.take(try line("a:1", "done", 1000, of: 1000), isWatched: true)
                == .said("a:1: done, 1.00 kB in 2 blobs"))
        #expect(
            board.take(try line("b:1", "failed", message: "no"), isWatched: true) == .complained("b:1: no"))
        #expect(board.bars(width: 60).isEmpty && board.done == 1 && board.failed == 1)
    }

    @Test(arguments: [1, 40, 80, 300]) func `bars fit into any width`(width: Int) throws {
        var board = PrefetchBoard()
        let name = "registry.example/" + String(repeating: "long/", count: 40) + "name:1"
        _ = board.take(try line(name, "fetching", 1 << 40, of: 1 << 41), isWatched: true)
        _ = board.take(try line("x", "fetching"), isWatched: true)
        #expect(board.bars(width: width).allSatisfy { $0.count <= max(40, width) })
    }

    @Test func `without a terminal each quarter is a line`() throws {
        var board = PrefetchBoard()
        let notes = try [0, 10, 26, 30, 55, 99, 100].map {
            board.take(try line("a:1", "fetching", $0, of: 100), isWatched: false)
        }
        #expect(
            notes == [
                .said("a:1: fetching 100 B in 5 blobs"), nil, .said("a:1: 25 %, 26 B of 100 B"), nil,
                .said("a:1: 50 %, 55 B of 100 B"), .said("a:1: 75 %, 99 B of 100 B"), nil,
            ])
    }

    @Test func `a list has an image on each line, with comments`() {
        let list = "# all\n debian:12 \n\n\r\nghcr.io/acme/app:1 # ours\n#debian:13\nlast"
        #expect(PrefetchCommand.images(in: list) == ["debian:12", "ghcr.io/acme/app:1", "last"])
    }

    @Test func `no request names more than fits, and none is lost or named twice`() {
        let images = (0..<5000).map { "registry.example/acme/app-\($0):1" }
        let batches = PrefetchCommand.batches(images + images)
        #expect(batches.flatMap { $0 } == images && batches.count > 1)
        #expect(batches.allSatisfy { $0.reduce(0) { $0 + $1.utf8.count + 3 } < 60_000 })
    }
}
