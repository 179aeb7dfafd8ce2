// How a tag is kept up with: what it costs the upstream, how a move is seen and told, and what the rules by pattern do.

import Foundation
import OCI
import TestSupport
import Testing

extension Conformance {
    @Suite("a tag that is fresh, and one that moves") struct FreshnessTests {
        @Test func `a thousand pulls in a minute cost the upstream at most two HEADs and no GET`() async throws {
            try await withStub { scene in
                let image = try await scene.warm(1)
                scene.upstream.clearLog()
                let answers = try await scene.pull(times: 1000)
                #expect(answers == [TagAnswer(image): 2000])
                #expect(scene.questions.count <= 2, "\(scene.questions.prefix(10))")
                #expect(scene.questions.allSatisfy { $0 == "HEAD latest" })
            }
        }

        @Test func `fifty who ask at once are one question, and each of them gets what it brought`() async throws {
            try await withStub { scene in
                let image = scene.ship(1)
                let gate = StubGate()
                scene.upstream.inject(.hold(gate), into: "/manifests/latest", times: 1)
                let port = scene.mirror.port
                let connections = try await blocking {
                    try (0..<50).map { _ in
                        let connection = try Connection(port: port, within: StubScene.patience)
                        try connection.send("GET", StubScene.manifest("latest"))
                        return connection
                    }
                }
                try await scene.upstreamSees("the question") { $0.held == 1 }
                gate.open()
                let answers = try await blocking {
                    try connections.map { connection in
                        let head = try connection.readHead()
                        return TagAnswer(status: head.status, digest: head.fields["Docker-Content-Digest"])
                    }
                }
                #expect(Set(answers) == [TagAnswer(image)])
                // Who came late found it fresh.
                #expect(scene.questions == ["HEAD latest", "GET \(image.manifest.digest)"])
                #expect(try await scene.count("total") == 50)
            }
        }

        @Test func `a move is seen after fresh-for, told once in the log and once as an event`() async throws {
            try await withStub(keys: ["fresh-for: 1s"]) { scene in
                let old = try await scene.warm(1)
                let new = scene.ship(2)
                try await eventually(within: .seconds(10), "the new image is served") {
                    try await scene.ask().isManifest(new.manifest)
                }
                _ = try await scene.pull(times: 20)
                let newest = scene.ship(3)
                try await eventually(within: .seconds(10), "the newest image is served") {
                    try await scene.ask().isManifest(newest.manifest)
                }
                // The second event being the second move proves that the first was told once.
                let images = [old, new, newest].map { "\($0.manifest.digest)" }
                for (event, move) in zip(try await scene.mirror.events(2), zip(images, images.dropFirst())) {
                    #expect(event.name == "tag-moved")
                    #expect(Int64(event.id) != nil, "\(event)")
                    let value = try event.value
                    #expect(value["image"].text == "docker.io/\(StubScene.repository):latest")
                    #expect([value["from"].text, value["to"].text] == [move.0, move.1])
                    #expect(value["at"].text?.hasSuffix("Z") == true)
                }
                let lines = scene.logged("tag moved")
                #expect(lines.count == 2, "\(lines)")
                #expect(lines.allSatisfy { $0.contains(" info ") })
                #expect(lines.first.map { $0.contains(images[0]) && $0.contains(images[1]) } == true)
            }
        }

        @Test func `the old manifest is still served by its digest, whatever the upstream has done with it`()
            async throws
        {
            try await withStub(keys: ["fresh-for: 0s"]) { scene in
                let old = try await scene.warm(1)
                let new = scene.ship(2)
                scene.upstream.remove(old.manifest.digest, from: StubScene.repository)
                #expect(try await scene.ask().isManifest(new.manifest))
                scene.upstream.clearLog()
                let answer = try await scene.ask("\(old.manifest.digest)")
                #expect(answer.isManifest(old.manifest), "\(answer.summary)")
                #expect(answer.cacheStatus.hasPrefix("wharf; hit"))
                #expect(scene.questions.isEmpty)
            }
        }

        @Test func `a move is fetched by its digest, with one HEAD and one GET`() async throws {
            try await withStub(keys: ["fresh-for: 0s"]) { scene in
                try await scene.warm(1)
                let new = scene.ship(2)
                scene.upstream.clearLog()
                #expect(try await scene.ask().isManifest(new.manifest))
                #expect(scene.questions == ["HEAD latest", "GET \(new.manifest.digest)"])
            }
        }
    }

    @Suite("revalidation by If-None-Match") struct RevalidationTests {
        @Test func `docker-registry answers it 304, and that counts as revalidated`() async throws {
            try await withScene(keys: ["fresh-for: 0s"]) { scene in
                let path = "/v2/library/harbour/manifests/latest"
                try await scene.mirror.warm(path)
                let seen = try await scene.upstream.during {
                    let answer = try await scene.mirror.get(path)
                    #expect(answer.status == 200)
                    #expect(Digest.of(answer.body).description == scene.seed.harbour.manifest.digest)
                    #expect(answer.cacheStatus.hasPrefix("wharf; fwd=stale"), "\(answer.cacheStatus)")
                    #expect(answer.fields["Warning"] == nil)
                }
                #expect(seen.map { "\($0.method) \($0.status)" } == ["HEAD 304"])
                #expect(seen.map(\.condition) == ["\"\(scene.seed.harbour.manifest.digest)\""])
                let requests = try await scene.mirror.statistics()["requests"]
                #expect(requests["revalidated"].number == 1)
                #expect(requests["stale"].number == 0)
            }
        }

        @Test func `a 304 with nothing else in it makes the tag fresh again`() async throws {
            // Nothing is left of the tag once it is past its freshness, unless the upstream has confirmed it.
            try await withStub(keys: ["fresh-for: 1s", "stale-if-error: 0s"]) { scene in
                let image = try await scene.warm(1)
                scene.upstream.clearLog()
                scene.upstream.inject(.status(304), into: "/manifests/", method: "HEAD")
                try await eventually(within: .seconds(15), "it has been confirmed twice") {
                    let answer = try await scene.ask()
                    #expect(answer.isManifest(image.manifest), "\(answer.summary)")
                    #expect(answer.fields["Warning"] == nil)
                    return scene.questions.count > 2
                }
                #expect(scene.questions.allSatisfy { $0 == "HEAD latest" }, "\(scene.questions)")
            }
        }

        @Test func `the condition is ours: what a client knows or wants is not passed on`() async throws {
            try await withStub(keys: ["fresh-for: 0s"]) { scene in
                let old = try await scene.warm(1)
                let new = scene.ship(2)
                scene.upstream.clearLog()
                // A condition that held upstream would make the old tag fresh, were it the client's.
                let answer = try await scene.ask("latest", ["If-None-Match": "\"\(new.manifest.digest)\""])
                #expect(answer.status == 304, "\(answer.summary)")
                #expect(try await scene.ask("latest", ["If-None-Match": "*", "If-Match": "\"x\""]).status == 304)
                #expect(try await scene.ask("latest", ["If-None-Match": "\"x\""]).isManifest(new.manifest))
                let heads = scene.upstream.log.requests("/manifests/latest", method: "HEAD")
                #expect(heads.first?["If-None-Match"] == "\"\(old.manifest.digest)\"")
                #expect(heads.dropFirst().allSatisfy { $0["If-None-Match"] == "\"\(new.manifest.digest)\"" })
                #expect(heads.allSatisfy { $0["If-Match"] == nil })
            }
        }

        @Test func `a 304 that nobody asked for is a failure, and makes nothing fresh`() async throws {
            try await withStub(keys: ["fresh-for: 0s"]) { scene in
                scene.ship(1)
                scene.upstream.inject(.status(304), into: "/manifests/")
                for method in ["GET", "HEAD"] {
                    let answer = try await scene.ask(by: method)
                    #expect((500...504).contains(answer.status), "\(method): \(answer.summary)")
                }
                scene.upstream.heal()
                try await scene.warm(1)
                #expect(try await scene.count("revalidated") == 0)
            }
        }
    }

    @Suite("stale-while-revalidate") struct BackgroundTests {
        @Test func `serves at once while one HEAD goes on, and what it brought afterwards`() async throws {
            try await withStub(keys: ["fresh-for: 0s", "stale-while-revalidate: 1h"]) { scene in
                let old = try await scene.warm(1)
                let new = scene.ship(2)
                scene.upstream.clearLog()
                let gate = StubGate()
                scene.upstream.inject(.hold(gate), into: "/manifests/latest", method: "HEAD", times: 1)
                // The upstream says nothing before all fifty have theirs.
                let served = try await withThrowingTaskGroup(of: Bool.self) { group in
                    for _ in 0..<50 {
                        group.addTask {
                            let answer = try await scene.ask()
                            return answer.isManifest(old.manifest) && !answer.cacheStatus.contains("stale-if-error")
                        }
                    }
                    return try await group.reduce(into: 0) { $0 += $1 ? 1 : 0 }
                }
                #expect(served == 50)
                try await scene.upstreamSees("the question") { $0.held == 1 }
                #expect(scene.questions == ["HEAD latest"])
                gate.open()
                try await scene.storedManifests(2)
                // Nobody but the background can have brought it, and it is known without the upstream.
                await scene.upstream.stop()
                try await eventually(within: .seconds(10), "the new image is served") {
                    try await scene.ask().isManifest(new.manifest)
                }
                #expect(try await scene.count("error") == 0)
                #expect(try await scene.count("miss") == 1)
            }
        }

        @Test func `goes on serving when the question fails, and asks again`() async throws {
            try await withStub(keys: ["fresh-for: 0s", "stale-while-revalidate: 1h"]) { scene in
                let old = try await scene.warm(1)
                let new = scene.ship(2)
                scene.upstream.inject(.status(503), into: "/manifests/", times: 1)
                let answer = try await scene.ask()
                #expect(answer.isManifest(old.manifest))
                #expect(!answer.cacheStatus.contains("stale-if-error"), "\(answer.cacheStatus)")
                try await eventually(within: .seconds(20), "the new image is served") {
                    try await scene.ask().isManifest(new.manifest)
                }
            }
        }
    }

    @Suite("rules for tags by pattern") struct TagRuleTests {
        private static let rules =
            #"tags: {"*-nightly": {fresh-for: 0s}, "v*": {immutable: true}, "cargo:kept-*": {fresh-for: 1h}, "#
            + #""other/**": {fresh-for: 0s}}"#

        @Test func `a nightly tag is asked about each time, others when the upstream's own value says`() async throws {
            try await withStub(keys: ["fresh-for: 1h", Self.rules]) { scene in
                for tag in ["1-nightly", "v1", "latest"] { try await scene.warm(1, as: tag) }
                scene.upstream.clearLog()
                for tag in ["1-nightly", "v1", "latest"] { _ = try await scene.pull(tag, times: 2, connections: 1) }
                #expect(scene.questions == [String](repeating: "HEAD 1-nightly", count: 4))
                let moved = scene.ship(2, as: "1-nightly")
                #expect(try await scene.ask("1-nightly").isManifest(moved.manifest))
            }
        }

        @Test func `an immutable tag is never asked about again: moved, gone, or after a restart`() async throws {
            try await withStub(keys: [Self.rules, "fresh-for: 0s", "stale-if-error: 0s"]) { scene in
                var images: [String: TestImage] = [:]
                for (seed, tag) in ["v1", "kept-1", "latest", "vv-nightly"].enumerated() {
                    images[tag] = try await scene.warm(UInt64(seed + 1), as: tag)
                }
                for (seed, tag) in ["v1", "kept-1", "latest", "vv-nightly"].enumerated() {
                    scene.ship(UInt64(seed + 11), as: tag)
                }
                scene.upstream.clearLog()
                let first = try await scene.ask("v1")
                #expect(first.cacheStatus.hasPrefix("wharf; hit"), "\(first.cacheStatus)")
                for (tag, isKept) in ["v1": true, "kept-1": true, "latest": false, "vv-nightly": false] {
                    let image = try #require(images[tag])
                    #expect(try await scene.ask(tag).isManifest(image.manifest) == isKept, "\(tag)")
                }
                let asked = Set(scene.questions.filter { $0.hasPrefix("HEAD") })
                // The first rule that fits counts: "vv-nightly" is a nightly one.
                #expect(asked == ["HEAD latest", "HEAD vv-nightly"])

                await scene.upstream.stop()
                let again = try await scene.restarted(after: SIGTERM)
                let answer = try await again.ask("v1")
                #expect(try answer.isManifest(#require(images["v1"]).manifest), "\(answer.summary)")
                #expect(answer.fields["Warning"] == nil)
            }
        }
    }

    @Suite("a client's Cache-Control: no-cache") struct NoCacheTests {
        private static let token = "0123456789abcdef0123456789abcdef"

        @Test func `asks the upstream for who shows the admin token, and for nobody else`() async throws {
            let folder = try TemporaryDirectory()
            let file = try folder.write(Array("\(Self.token)\n".utf8), to: "token")
            try await withStub(others: ["access: {admin-token-file: \"\(file)\"}"]) { scene in
                let old = try await scene.warm(1)
                let new = scene.ship(2)
                scene.upstream.clearLog()
                let noCache = ["Cache-Control": "no-cache"]
                let strangers = [
                    [:], ["Authorization": "Bearer \(Self.token.dropLast())"],
                    ["Authorization": "Bearer \(Self.token)0"], ["Authorization": "Bearer "],
                    ["Authorization": "Bearer \(Self.token.uppercased())"], ["Authorization": "Basic \(Self.token)"],
                    ["Authorization": Self.token], ["X-Admin-Token": Self.token],
                ]
                for stranger in strangers {
                    for method in ["HEAD", "GET"] {
                        let answer = try await scene.ask("latest", noCache.merging(stranger) { $1 }, by: method)
                        #expect(answer.status == 200, "\(stranger)")
                        #expect(answer.fields["Docker-Content-Digest"] == "\(old.manifest.digest)", "\(stranger)")
                    }
                }
                #expect(scene.questions.isEmpty, "\(scene.questions)")

                let admin = ["Authorization": "Bearer \(Self.token)"]
                #expect(try await scene.ask("latest", admin).isManifest(old.manifest))
                #expect(scene.questions.isEmpty, "the token alone asks for nothing")
                let answer = try await scene.ask("latest", admin.merging(noCache) { $1 })
                #expect(answer.isManifest(new.manifest), "\(answer.summary)")
                // Directives are compared without regard to case: RFC 9111 §5.2.
                let newest = scene.ship(3)
                let listed = admin.merging(["Cache-Control": "max-stale=5, No-Cache"]) { $1 }
                #expect(try await scene.ask("latest", listed).isManifest(newest.manifest))
                // What was asked for one is known to all.
                #expect(try await scene.ask().isManifest(newest.manifest))
                #expect(scene.upstream.log.requests.allSatisfy { !$0.isAuthorized })
                #expect(scene.logged(Self.token).isEmpty)
            }
        }

        @Test func `is ignored where no token is configured, and takes nothing from who asks in an outage`()
            async throws
        {
            try await withStub { scene in
                let image = try await scene.warm(1)
                scene.upstream.clearLog()
                for value in ["Bearer", "Bearer ", "Bearer nil", "Bearer null"] {
                    let fields = ["Cache-Control": "no-cache", "Authorization": value]
                    #expect(try await scene.ask("latest", fields).isManifest(image.manifest), "\(value)")
                }
                #expect(scene.questions.isEmpty)
            }
            let folder = try TemporaryDirectory()
            let file = try folder.write(Array(Self.token.utf8), to: "token")
            try await withStub(others: ["access: {admin-token-file: \"\(file)\"}"]) { scene in
                let image = try await scene.warm(1)
                await scene.upstream.stop()
                let fields = ["Cache-Control": "no-cache", "Authorization": "Bearer \(Self.token)"]
                let answer = try await scene.ask("latest", fields)
                #expect(answer.isManifest(image.manifest), "\(answer.summary)")
                #expect(answer.missingMarksOfStaleness.isEmpty, "\(answer.missingMarksOfStaleness)")
            }
        }
    }
}
