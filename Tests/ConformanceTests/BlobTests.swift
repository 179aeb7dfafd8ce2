// end-2 from outside: blobs cold, followed, warm, in part, and the ones that are not what they claim.

import Foundation
import OCI
import Testing

extension Conformance {
    @Suite("end-2: GET and HEAD /v2/<name>/blobs/<digest>") struct BlobTests {
        private func path(_ blob: Described) -> String { "/v2/library/harbour/blobs/\(blob.digest)" }

        @Test func `every blob comes whole, cold and then warm, and is fetched once`() async throws {
            try await withScene { scene in
                for blob in scene.seed.harbour.blobs {
                    let seen = try await scene.upstream.during {
                        let cold = try await scene.mirror.get(path(blob))
                        #expect(cold.status == 200)
                        #expect(cold.ending == .complete)
                        #expect(Digest.of(cold.body).description == blob.digest)
                        #expect(cold.cacheStatus.hasPrefix("wharf; fwd="))
                        try await scene.settle()
                        let warm = try await scene.mirror.get(path(blob))
                        #expect(warm.body == cold.body)
                        #expect(warm.cacheStatus.hasPrefix("wharf; hit"))
                    }
                    #expect(seen.filter { $0.isBlob && $0.method == "GET" }.count == 1)
                }
            }
        }

        @Test func `a blob carries the fields a client needs`() async throws {
            try await withScene { scene in
                let blob = scene.seed.harbour.config
                let get = try await scene.mirror.get(path(blob))
                let head = try await scene.mirror.head(path(blob))
                for answer in [get, head] {
                    #expect(answer.status == 200)
                    #expect(answer.fields["Docker-Content-Digest"] == blob.digest)
                    #expect(answer.fields["ETag"] == "\"\(blob.digest)\"")
                    #expect(answer.fields["Content-Type"] == "application/octet-stream")
                    #expect(answer.fields["Content-Length"] == "\(blob.size)")
                    #expect(answer.fields["Accept-Ranges"] == "bytes")
                    #expect(answer.fields["Docker-Distribution-Api-Version"] == "registry/2.0")
                }
            }
        }

        @Test func `HEAD of what is not stored asks by HEAD and fetches nothing`() async throws {
            try await withScene { scene in
                let blob = scene.seed.largeLayer
                let seen = try await scene.upstream.during {
                    let answer = try await scene.mirror.head(path(blob))
                    #expect(answer.status == 200)
                    #expect(answer.fields["Content-Length"] == "\(blob.size)")
                }
                #expect(seen.filter(\.isBlob).map(\.method) == ["HEAD"])
                #expect(try await scene.mirror.statistics()["storage"]["blobs"].number == 0)
            }
        }

        @Test func `ranges of a stored blob`() async throws {
            try await withScene { scene in
                let blob = scene.seed.largeLayer
                let size = blob.size
                let whole = try await scene.mirror.get(path(blob)).body
                try await scene.settle()
                let ranges: [(String, Range<Int>)] = [
                    ("bytes=0-0", 0..<1), ("bytes=1000-1999", 1000..<2000), ("bytes=0-", 0..<size),
                    ("bytes=\(size - 10)-", size - 10..<size), ("bytes=-5", size - 5..<size),
                    ("bytes=100-\(size * 2)", 100..<size),
                ]
                for (field, range) in ranges {
                    let answer = try await scene.mirror.get(path(blob), ["Range": field])
                    #expect(answer.status == 206, "\(field)")
                    #expect(answer.body == Array(whole[range]), "\(field)")
                    let told = "bytes \(range.lowerBound)-\(range.upperBound - 1)/\(size)"
                    #expect(answer.fields["Content-Range"] == told, "\(field)")
                    #expect(answer.fields["Content-Length"] == "\(range.count)", "\(field)")
                }
            }
        }

        @Test func `a range beyond the end is 416, one that is none is ignored`() async throws {
            try await withScene { scene in
                let blob = scene.seed.largeLayer
                try await scene.mirror.warm(path(blob))
                try await scene.settle()
                let beyond = try await scene.mirror.get(path(blob), ["Range": "bytes=\(blob.size)-"])
                #expect(beyond.status == 416)
                #expect(beyond.fields["Content-Range"] == "bytes */\(blob.size)")
                for field in ["lines=0-1", "bytes=9-1", "bytes=x"] {
                    let answer = try await scene.mirror.get(path(blob), ["Range": field])
                    #expect(answer.status == 200, "\(field)")
                    #expect(answer.body.count == blob.size, "\(field)")
                }
            }
        }

        @Test func `If-Range with another tag gets the whole, If-None-Match with this one 304`() async throws {
            try await withScene { scene in
                let blob = scene.seed.largeLayer
                try await scene.mirror.warm(path(blob))
                try await scene.settle()
                let changed = try await scene.mirror.get(path(blob), ["Range": "bytes=0-9", "If-Range": "\"other\""])
                #expect(changed.status == 200)
                let same = try await scene.mirror.get(
                    path(blob), ["Range": "bytes=0-9", "If-Range": "\"\(blob.digest)\""])
                #expect(same.status == 206)
                let had = try await scene.mirror.get(path(blob), ["If-None-Match": "\"\(blob.digest)\""])
                #expect(had.status == 304)
            }
        }

        @Test func `eight clients at once cost the upstream one transfer, and all get it whole`() async throws {
            try await withScene(RecorderManners(blobRate: 2 << 20)) { scene in
                let blob = scene.seed.largeLayer
                let path = path(blob)
                let seen = try await scene.upstream.during {
                    let answers = try await withThrowingTaskGroup(of: Answer.self) { group in
                        for _ in 0..<8 { group.addTask { try await scene.mirror.get(path) } }
                        return try await group.reduce(into: []) { $0.append($1) }
                    }
                    for answer in answers {
                        #expect(answer.ending == .complete)
                        #expect(Digest.of(answer.body).description == blob.digest)
                    }
                    #expect(answers.filter { $0.cacheStatus.contains("collapsed") }.count == 7)
                }
                #expect(seen.filter { $0.isBlob && $0.method == "GET" }.map(\.bytes) == [blob.size])
            }
        }

        @Test func `a fill outlives the client that began it`() async throws {
            try await withScene(RecorderManners(blobRate: 2 << 20)) { scene in
                let blob = scene.seed.largeLayer
                let path = path(blob)
                try await blocking {
                    let connection = try Connection(port: scene.mirror.port)
                    try connection.send("GET", path)
                    _ = try connection.readHead()
                    _ = try connection.read(100_000)
                }
                try await scene.settle()
                let seen = try await scene.upstream.during {
                    let answer = try await scene.mirror.get(path)
                    #expect(Digest.of(answer.body).description == blob.digest)
                }
                #expect(seen.isEmpty)
            }
        }

        @Test func `the first bytes arrive while the upstream is still sending`() async throws {
            try await withScene(RecorderManners(blobRate: 1 << 20)) { scene in
                let path = path(scene.seed.largeLayer)
                let connection = try await blocking {
                    let connection = try Connection(port: scene.mirror.port)
                    try connection.send("GET", path)
                    #expect(try connection.readHead().status == 200)
                    #expect(try connection.read(100_000).bytes.count == 100_000)
                    return connection
                }
                // The recorder logs a request when it has ended.
                #expect(try await scene.upstream.requests().filter { $0.isBlob && $0.method == "GET" }.isEmpty)
                withExtendedLifetime(connection) {}
            }
        }

        @Test func `an unknown blob is 404 BLOB_UNKNOWN`() async throws {
            try await withScene { scene in
                let digest = Digest.of(Array("never stored anywhere".utf8))
                for method in ["GET", "HEAD"] {
                    let answer = try await ask(method, "/v2/library/harbour/blobs/\(digest)", port: scene.mirror.port)
                    #expect(answer.status == 404)
                    if method == "GET" { #expect(answer.errorCode == "BLOB_UNKNOWN") }
                }
            }
        }

        @Test func `a blob is not shown through a repository that does not have it`() async throws {
            try await withScene { scene in
                let blob = scene.seed.harbour.layers[1]
                try await scene.mirror.warm(path(blob))
                try await scene.settle()
                let answer = try await scene.mirror.get("/v2/library/fleet/blobs/\(blob.digest)")
                #expect(answer.status == 404)
                #expect(answer.errorCode == "BLOB_UNKNOWN")
            }
        }
    }

    @Suite("bytes that do not match their digest") struct MismatchTests {
        /// Changes the last byte of a blob in the registry's own storage, which serves it as it lies there.
        private func spoil(_ blob: Described, in scene: Scene) throws {
            let hex = blob.digest.dropFirst("sha256:".count)
            let path = scene.bench.path("storage/docker/registry/v2/blobs/sha256/\(hex.prefix(2))/\(hex)/data")
            var bytes = try Data(contentsOf: URL(fileURLWithPath: path))
            bytes[bytes.count - 1] ^= 0xFF
            try bytes.write(to: URL(fileURLWithPath: path))
        }

        @Test func `a large blob never completes and is not stored`() async throws {
            try await withScene(ownStorage: true) { scene in
                let blob = scene.seed.largeLayer
                try spoil(blob, in: scene)
                let answer = try await scene.mirror.get("/v2/library/harbour/blobs/\(blob.digest)")
                #expect(answer.status == 200)
                #expect(answer.ending == .reset)
                #expect(answer.body.count < blob.size)
                try await scene.settle()
                let storage = try await scene.mirror.statistics()["storage"]
                #expect(storage["blobs"].number == 0)
                #expect(storage["quarantined"].number == 1)
            }
        }

        @Test func `a small one is an honest 404 and is not stored`() async throws {
            try await withScene(ownStorage: true) { scene in
                let blob = scene.seed.smallLayer
                try spoil(blob, in: scene)
                let answer = try await scene.mirror.get("/v2/library/harbour/blobs/\(blob.digest)")
                #expect(answer.status == 404)
                #expect(answer.errorCode == "BLOB_UNKNOWN")
                try await scene.settle()
                #expect(try await scene.mirror.statistics()["storage"]["blobs"].number == 0)
            }
        }
    }
}
