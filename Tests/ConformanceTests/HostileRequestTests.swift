// Requests that were made to hurt: odd paths, odd ranges, many at once. Refused or harmless, and never passed on.

import Foundation
import OCI
import TestSupport
import Testing

extension Conformance {
    @Suite("requests made to hurt") struct HostileRequestTests {
        private static let digest = "sha256:" + String(repeating: "0", count: 64)

        /// Paths that no registry has; with what they may be answered.
        private static let paths: [(String, Set<Int>)] = [
            ("/v2/../../etc/passwd", [404]),
            ("/v2/..%2f..%2fetc/passwd/blobs/\(digest)", [400]),
            ("/v2/%2e%2e/%2e%2e/blobs/\(digest)", [400]),
            ("/v2/a/../b/blobs/\(digest)", [400]),
            ("/v2/./a/blobs/\(digest)", [400]),
            ("/v2/a/blobs/../../\(digest)", [404]),
            ("/v2/a/blobs/%2e%2e%2f\(digest)", [400]),
            ("/v2/a/blobs/\(digest)%00", [400]),
            ("/v2/a/blobs/\(digest)/..", [404]),
            ("/v2/a/blobs/sha256%3A..%2f..%2f\(String(repeating: "0", count: 56))", [400]),
            ("/v2/a/blobs/sha256:../../../../../../../../../../../../etc/passwd", [400, 404]),
            ("/v2/a%5c..%5cb/blobs/\(digest)", [400]),
            ("/v2/a\\..\\b/blobs/\(digest)", [400]),
            ("/v2//a/blobs/\(digest)", [400]),
            ("//v2/a/blobs/\(digest)", [404]),
            ("/v2/a//blobs/\(digest)", [400]),
            ("/v2/a/blobs//\(digest)", [400, 404]),
            ("/v2/a/manifests/%ff%fe", [400]),
            ("/v2/a/manifests/%c0%af", [400]),
            ("/v2/a/manifests/%", [400]),
            ("/v2/a/manifests/%zz", [400]),
            ("/v2/a/manifests/%252e%252e", [404]),
            ("/v2/a/manifests/a%0d%0aHost:evil", [400, 404]),
            ("/v2/a/manifests/\(String(repeating: "a", count: 4_000))", [404]),
            ("/v2/\(String(repeating: "a/", count: 3_000))a/manifests/latest", [400]),
            ("/v2/\(String(repeating: "a", count: 15_000))/manifests/latest", [400]),
            ("/v2/a/manifests/\(String(repeating: "%", count: 3_000))", [400]),
            ("/v2/%C3%A4/manifests/latest", [400]),
            ("/v2/a/manifests/latest?ns=..%2f..%2f", [404]),
            ("/v2/a/manifests/latest?ns=127.0.0.1:22", [404]),
            ("/v2/a/manifests/latest?ns=%ff", [404]),
            ("/v2/a/manifests/latest?ns=%00", [404]),
            ("/v2/a/manifests/latest?ns=\(String(repeating: "a", count: 8_000))", [404]),
            ("/v2/a/manifests/latest?\(String(repeating: "&", count: 8_000))ns=evil", [404]),
            ("/stats/../v2/", [404]), ("/livez/", [404]), ("/livez%00", [404]), ("/STATS", [404]),
        ]

        @Test func `an odd path is refused, and nobody is asked for it`() async throws {
            try await withStub { scene in
                for (path, statuses) in Self.paths {
                    let answer = try await scene.mirror.get(path)
                    #expect(statuses.contains(answer.status), "\(path.prefix(80)): \(answer.summary)")
                    #expect(answer.ending == .complete && answer.body.count < 20_000, "\(path.prefix(80))")
                }
                #expect(scene.upstream.log.requests.isEmpty)
                #expect(scene.mirror.child.exitStatus == nil)
            }
        }

        /// What a blob of this size answers to a `Range`: the status, and the part of a 206.
        private static let size = 300_000
        private static let ranges: [(field: String, status: Int, part: Range<Int>?)] = [
            ("bytes=0-9223372036854775807", 206, 0..<size),
            ("bytes=0-9223372036854775808", 206, 0..<size),
            ("bytes=0-\(String(repeating: "9", count: 10_000))", 206, 0..<size),
            ("bytes=9223372036854775807-", 416, nil),
            ("bytes=9223372036854775808-9223372036854775809", 416, nil),
            ("bytes=-9223372036854775808", 206, 0..<size),
            ("bytes=--5", 200, nil),
            ("bytes=-5-", 200, nil),
            ("bytes=+0-5", 200, nil),
            ("bytes=0x0-0x5", 200, nil),
            ("bytes=5-0", 200, nil),
            ("bytes=0-0,5-0", 200, nil),
            ("bytes=\(String(repeating: ",", count: 15_000))0-0", 206, 0..<1),
            ("bytes=\(String(repeating: "0-,", count: 5_000))0-", 200, nil),
            ("bytes=\((0..<1_200).map { "\($0)-299999" }.joined(separator: ","))", 200, nil),
            ("bytes=\(String(repeating: "0-0,", count: 3_500))0-0", 200, nil),
            ("bytes=\(String(repeating: "400000-,", count: 50))7-9", 206, 7..<10),
            ("bytes=\(String(repeating: " ", count: 10_000))0-0", 206, 0..<1),
        ]

        @Test func `an odd Range costs no more than the blob, cold and stored`() async throws {
            try await withStub { scene in
                for isStored in [false, true] {
                    for (index, (field, status, part)) in Self.ranges.enumerated() {
                        let blob = scene.cargo(Self.size, seed: UInt64(index))
                        if isStored { try await scene.mirror.warm(scene.path(blob)) }
                        let pulled = try await scene.pull(blob, range: field)
                        let what = Comment(rawValue: "\(field.prefix(60)), stored: \(isStored): \(pulled)")
                        #expect(pulled.status == status, what)
                        if let part { #expect(pulled.isPart(part), what) }
                        if status == 200 { #expect(pulled.isWhole, what) }
                    }
                }
                try await scene.settle()
                // Each blob came once, however many ranges were asked for.
                let most = Self.ranges.count * Self.size
                #expect(try await scene.bytesFromUpstream() <= most)
            }
        }

        @Test func `a thousand requests in one go, with blobs among them, are answered in order`() async throws {
            try await withStub { scene in
                let blob = scene.cargo(100_000)
                try await scene.mirror.warm(scene.path(blob))
                let kinds: [(path: String, status: Int, body: [UInt8]?)] = [
                    ("/v2/", 200, nil), (scene.path(blob), 200, blob.bytes), ("/livez", 200, nil),
                    ("/v2/library/cargo/manifests/..", 404, nil), ("/nothing", 404, nil),
                ]
                let wrong = try await blocking {
                    let connection = try Connection(port: scene.mirror.port)
                    let text = (0..<1_000).map { "GET \(kinds[$0 % kinds.count].path) HTTP/1.1\r\nHost: m\r\n\r\n" }
                    Thread.detachNewThread { try? connection.send(raw: text.joined()) }  // Fails where the reader does.
                    return try (0..<1_000).filter { number in
                        let kind = kinds[number % kinds.count]
                        let head = try connection.readHead()
                        let (body, ending) = try connection.readBody(after: head)
                        let isRight = head.status == kind.status && ending == .complete
                        return !isRight || kind.body.map { $0 != body } ?? false
                    }
                }
                #expect(wrong == [])
            }
        }
    }
}
