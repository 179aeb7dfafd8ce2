// RFC 9110 §14 on end-2: ranges of what is stored, of what is landing, and of what is not here yet.

import HTTPServer
import OCI
import TestSupport
import Testing

/// Where a blob is when a range of it is asked for.
enum Place: CaseIterable, Sendable {
    case stored, landing, missing
}

@Suite("end-2: Range") struct BlobRangeTests {
    static let size = 200_000

    /// Runs the body with a blob of `size` bytes in that place; a landing one has all but its last byte.
    private func run(
        _ place: Place, _ body: (_ scene: Scene, _ blob: TestBlob, _ path: String) async throws -> Void
    ) async throws {
        try await Scene.run { (scene: Scene) async throws in
            let (blob, path) = scene.blob(Self.size)
            switch place {
            case .stored: try await scene.pull(path)
            case .landing:
                scene.stub.inject(.stall(at: Self.size - 1), into: "\(blob.digest)")
                let first = await scene.get(path)
                // All but the last byte is here when the byte before it is.
                let probe = await scene.get(path, ["Range": "bytes=\(Self.size - 2)-\(Self.size - 2)"])
                _ = try await probe.bytes()
                withExtendedLifetime(first) {}
            case .missing: break
            }
            try await body(scene, blob, path)
        }
    }

    @Test(
        arguments: Place.allCases,
        [
            (field: "bytes=0-0", range: 0..<1), ("bytes=5-9", 5..<10), ("BYTES=100000-150000", 100_000..<150_001),
            ("bytes= 7-7 ", 7..<8), ("bytes=199998-199998,", 199_998..<199_999),
        ]) func `a closed range is 206 with just that`(place: Place, asked: (field: String, range: Range<Int>))
        async throws
    {
        try await run(place) { (scene, blob, path) async throws in
            let reply = await scene.get(path, ["Range": asked.field])
            #expect(reply.status == 206)
            let (first, last) = (asked.range.lowerBound, asked.range.upperBound - 1)
            #expect(reply["Content-Range"] == "bytes \(first)-\(last)/200000")
            #expect(reply["Content-Length"] == "\(asked.range.count)")
            #expect(reply["Docker-Content-Digest"] == "\(blob.digest)")
            #expect(try await reply.bytes() == Array(blob.bytes[asked.range]))
        }
    }

    @Test(
        arguments: [Place.stored, .missing],
        [
            (field: "bytes=0-", range: 0..<200_000), ("bytes=199999-", 199_999..<200_000),
            ("bytes=-1", 199_999..<200_000), ("bytes=-70000", 130_000..<200_000), ("bytes=-900000", 0..<200_000),
            ("bytes=199990-300000", 199_990..<200_000), ("bytes=1-99999999999999999999", 1..<200_000),
        ]) func `a range to the end is 206, clipped to what there is`(
            place: Place, asked: (field: String, range: Range<Int>)
        ) async throws
    {
        try await run(place) { (scene, blob, path) async throws in
            let reply = await scene.get(path, ["Range": asked.field])
            #expect(reply.status == 206)
            #expect(reply["Content-Range"] == "bytes \(asked.range.lowerBound)-199999/200000")
            #expect(reply["Content-Length"] == "\(asked.range.count)")
            #expect(try await reply.bytes() == Array(blob.bytes[asked.range]))
        }
    }

    @Test(arguments: Place.allCases, ["bytes=200000-", "bytes=200000-200005", "bytes=-0", "bytes=999999999-"])
    func `a range beyond the end is 416 with the size`(place: Place, field: String) async throws {
        try await run(place) { (scene, _, path) async throws in
            let reply = await scene.get(path, ["Range": field])
            #expect(reply.status == 416)
            #expect(reply["Content-Range"] == "bytes */200000")
            #expect(reply["Content-Length"] == "0")
            #expect(reply.cacheStatus != nil)
        }
    }

    @Test(
        arguments: Place.allCases,
        [
            "bytes=9-5", "bytes=a-b", "bytes=", "bytes", "0-5", "bytes=--5", "bytes=-", "items=0-5", "bytes=1-2-3",
            "bytes=0x1-2", "",
        ]) func `what is malformed or of another unit brings the whole`(
            place: Place, field: String
        ) async throws
    {
        try await run(place) { (scene, _, path) async throws in
            let reply = await scene.get(path, ["Range": field])
            #expect(reply.status == 200)
            #expect(reply["Content-Length"] == "200000")
            #expect(reply["Content-Range"] == nil)
        }
    }

    @Test(arguments: Place.allCases) func `several ranges bring the whole of what is stored, else what covers them`(
        place: Place
    ) async throws {
        try await run(place) { (scene, blob, path) async throws in
            let reply = await scene.get(path, ["Range": "bytes=100-199,5-9"])
            if place == .stored {
                #expect(reply.status == 200)
                #expect(reply["Content-Length"] == "200000")
            } else {
                #expect(reply.status == 206)
                #expect(reply["Content-Range"] == "bytes 5-199/200000")
                #expect(try await reply.bytes() == Array(blob.bytes[5..<200]))
            }
        }
    }

    @Test func `several ranges far apart of what is not here are to be asked for one by one`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let (_, path) = scene.blob(20_000_000)
            let reply = await scene.get(path, ["Range": "bytes=0-1,19000000-19000001"])
            #expect(reply.status == 400)
            #expect(try await reply.error()?.code == "RANGE_INVALID")
        }
    }

    @Test(arguments: [Place.stored, .landing]) func `If-Range with this very blob is obeyed, with any other not`(
        place: Place
    ) async throws {
        try await run(place) { (scene, blob, path) async throws in
            let right = await scene.get(path, ["Range": "bytes=0-9", "If-Range": "\"\(blob.digest)\""])
            #expect(right.status == 206)
            for other in ["\"other\"", "W/\"\(blob.digest)\"", "Wed, 21 Oct 2015 07:28:00 GMT", "\(blob.digest)"] {
                let reply = await scene.get(path, ["Range": "bytes=0-9", "If-Range": other])
                #expect(reply.status == 200, "\(other)")
            }
        }
    }

    @Test func `HEAD knows no ranges`() async throws {
        try await run(.stored) { (scene, _, path) async throws in
            let reply = await scene.head(path, ["Range": "bytes=0-0"])
            #expect(reply.status == 200)
            #expect(reply["Content-Length"] == "200000" && reply["Content-Range"] == nil)
        }
    }

    @Test func `If-None-Match comes before Range`() async throws {
        try await run(.stored) { (scene, blob, path) async throws in
            let fields = ["Range": "bytes=0-0", "If-None-Match": "\"\(blob.digest)\""]
            #expect(await scene.get(path, fields).status == 304)
        }
    }

    @Test func `a range of an empty blob does not exist, its end is the whole`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let path = scene.blob(0).path
            try await scene.pull(path)
            let none = await scene.get(path, ["Range": "bytes=0-"])
            #expect(none.status == 416)
            #expect(none["Content-Range"] == "bytes */0")
            #expect(await scene.get(path, ["Range": "bytes=-5"]).status == 200)
        }
    }

    @Test(arguments: ["bytes=100-199", "bytes=-1000", "bytes=0-199999"])
    func `a closed range in flight is served as it lands and marked unverified`(field: String) async throws {
        try await run(.landing) { (scene, _, path) async throws in
            let reply = await scene.get(path, ["Range": field])
            #expect(reply.status == 206)
            #expect(reply.logged("verified") == "false")
            guard case .file(let body) = reply.response.body else { return #expect(Bool(false), "no file") }
            #expect(body.available() == 199_999)
        }
    }

    @Test(arguments: [nil, "bytes=0-", "bytes=100-"])
    func `who wants all, or all from somewhere on, gets the last 64 KiB only when they are verified`(
        field: String?
    ) async throws {
        try await run(.landing) { (scene, _, path) async throws in
            let reply = await scene.get(path, field.map { ["Range": $0] } ?? [:])
            #expect(reply.logged("verified") == nil)
            guard case .file(let body) = reply.response.body else { return #expect(Bool(false), "no file") }
            #expect(body.available() == 200_000 - 65_536)
        }
    }

    @Test func `a closed range of what is stored is verified`() async throws {
        try await run(.stored) { (scene, _, path) async throws in
            #expect(await scene.get(path, ["Range": "bytes=0-0"]).logged("verified") == nil)
        }
    }
}
