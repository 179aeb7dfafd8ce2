// A tag that is known is served whatever happens to the upstream, marked as what it is, and soon.

import Foundation
import OCI
import TestSupport
import Testing

extension Conformance {
    @Suite("stale-if-error") struct StaleTests {
        private static let keys = ["fresh-for: 0s"]
        private static let path = "/v2/library/fleet/manifests/latest"

        /// A client with less patience than the mirror's `first-byte-timeout`.
        private func ask(_ method: String, _ path: String, _ mirror: Mirror) async throws -> Answer {
            try await ConformanceTests.ask(method, path, port: mirror.port, within: StubScene.patience)
        }

        @Test(arguments: Outage.allCases)
        func `serves what is stored, and says so`(outage: Outage) async throws {
            try await withScene(keys: Self.keys) { scene in
                try await scene.mirror.warm(Self.path)
                let mirror = try await outage.befall(
                    scene.upstream, of: scene.mirror, keys: Self.keys, on: scene.bench)
                let before = try await mirror.statistics()["requests"]
                async let askedByHead = ask("HEAD", Self.path, mirror)
                let answer = try await ask("GET", Self.path, mirror)
                let head = try await askedByHead
                #expect(Digest.of(answer.body).description == scene.seed.fleet.digest)
                for answer in [answer, head] {
                    #expect(answer.status == 200, "\(answer.summary)")
                    #expect(answer.fields["Docker-Content-Digest"] == scene.seed.fleet.digest)
                    #expect(answer.missingMarksOfStaleness.isEmpty, "\(answer.missingMarksOfStaleness)")
                }
                let after = try await mirror.statistics()["requests"]
                #expect(after["stale"].number == before["stale"].number.map { $0 + 2 })
                #expect(after["total"].number == before["total"].number.map { $0 + 2 })

                // What never changes is no staler for an outage.
                let byDigest = try await ask("GET", "/v2/library/fleet/manifests/\(scene.seed.fleet.digest)", mirror)
                #expect(byDigest.status == 200)
                #expect(byDigest.fields["Warning"] == nil)
                #expect(byDigest.cacheStatus.hasPrefix("wharf; hit"))
            }
        }

        @Test(arguments: [Outage.broken, .silent, .reset])
        func `ends with the outage`(outage: Outage) async throws {
            try await withScene(keys: Self.keys, ownStorage: true) { scene in
                let path = "/v2/acme/tool/manifests/1.0"
                try await scene.mirror.warm(path)
                let mirror = try await outage.befall(
                    scene.upstream, of: scene.mirror, keys: Self.keys, on: scene.bench)
                #expect(try await ask("GET", path, mirror).missingMarksOfStaleness.isEmpty)
                let image = "127.0.0.1:\(scene.registry.port)/acme/tool"
                try await scene.registry.push("docker://\(image):1.1", to: "acme/tool:1.0", with: scene.bench)
                try Outage.end(at: scene.upstream)
                let moved = try #require(scene.seed.fleetImages["amd64"]).manifest.digest
                try await eventually(within: .seconds(20), "the tag is seen to have moved") {
                    try await ask("GET", path, mirror).fields["Docker-Content-Digest"] == moved
                }
                #expect(try await ask("GET", path, mirror).fields["Warning"] == nil)
            }
        }

        @Test func `has an end: beyond it the failure is told as it is`() async throws {
            try await withStub(keys: ["fresh-for: 0s", "stale-if-error: 1s"]) { scene in
                try await scene.warm(1)
                scene.upstream.inject(.status(503), into: "/v2/")
                try await eventually(within: .seconds(10), "the failure is told") {
                    let answer = try await scene.ask()
                    #expect(answer.status == 200 || answer.status == 503, "\(answer.summary)")
                    return answer.status == 503
                }
            }
        }
    }

    @Suite("an upstream that hangs") struct HangingTests {
        /// What hangs, and after which question.
        enum Hang: String, CaseIterable {
            case head
            /// The token is no good any more, and the service that gives them says nothing.
            case token
            /// The HEAD has told a new digest; its GET is not answered.
            case fetch
            /// The GET's body begins, and stands.
            case body
        }

        private func hang(_ hang: Hang, _ gate: StubGate, _ new: TestImage, _ upstream: StubRegistry) {
            switch hang {
            case .head: upstream.inject(.hold(gate), into: "/manifests/latest", method: "HEAD", times: 1)
            case .token:
                upstream.revokeTokens()
                upstream.inject(.hold(gate), into: "/token", times: 1)
            case .fetch: upstream.inject(.hold(gate), into: "\(new.manifest.digest)", method: "GET", times: 1)
            case .body: upstream.inject(.holdBody(at: 100, gate), into: "\(new.manifest.digest)", times: 1)
            }
        }

        @Test(arguments: Hang.allCases)
        func `keeps nobody waiting for a tag that is stored, and is heard when it speaks`(what: Hang) async throws {
            try await withStub(StubOptions(authentication: .bearer()), keys: ["fresh-for: 0s"]) { scene in
                let old = try await scene.warm(1)
                let new = scene.ship(2)
                let gate = StubGate()
                hang(what, gate, new, scene.upstream)
                let answer = try await scene.ask()
                #expect(answer.isManifest(old.manifest), "\(answer.summary)")
                #expect(answer.missingMarksOfStaleness.isEmpty, "\(answer.missingMarksOfStaleness)")
                #expect(scene.upstream.log.held == 1)
                gate.open()
                try await scene.storedManifests(2)
                await scene.upstream.stop()
                try await eventually(within: .seconds(10), "what came late is served") {
                    try await scene.ask().isManifest(new.manifest)
                }
            }
        }

        @Test func `or drips keeps nobody waiting either, and what it drips is whole in the end`() async throws {
            try await withStub(keys: ["fresh-for: 0s"]) { scene in
                let old = try await scene.warm(1)
                let new = scene.ship(2)
                scene.upstream.inject(.pace(200), into: "\(new.manifest.digest)", times: 1)
                let answer = try await scene.ask()
                #expect(answer.isManifest(old.manifest), "\(answer.summary)")
                try await scene.storedManifests(2)
                #expect(try await scene.ask().isManifest(new.manifest))
                #expect(scene.questions.filter { $0 == "GET \(new.manifest.digest)" }.count == 1)
            }
        }

        @Test func `has one question in flight, however many clients ask`() async throws {
            try await withStub(keys: ["fresh-for: 0s"]) { scene in
                let image = try await scene.warm(1)
                scene.upstream.clearLog()
                let gate = StubGate()
                scene.upstream.inject(.hold(gate), into: "/v2/", method: "HEAD")
                for _ in 0..<2 {
                    #expect(try await scene.pull(times: 50, connections: 50) == [TagAnswer(image): 100])
                }
                #expect(scene.questions == ["HEAD latest"])
                gate.open()
            }
        }

        @Test func `is not alone: another endpoint says what the tag names`() async throws {
            try await withStub(endpoints: 2, keys: ["fresh-for: 0s", "first-byte-timeout: 4s"]) { scene in
                let old = try await scene.warm(1)
                let new = scene.ship(2)
                let gate = StubGate()
                scene.upstream.inject(.hold(gate), into: "/v2/")
                let first = try await scene.ask()
                #expect(first.isManifest(old.manifest) || first.isManifest(new.manifest), "\(first.summary)")
                try await eventually(within: .seconds(20), "the new image is served") {
                    try await scene.ask().isManifest(new.manifest)
                }
                gate.open()
            }
        }

        @Test func `does not hold up the end of the program`() async throws {
            try await withStub(keys: ["fresh-for: 0s"]) { scene in
                try await scene.warm(1)
                let gate = StubGate()
                scene.upstream.inject(.hold(gate), into: "/manifests/latest")
                #expect(try await scene.ask().status == 200)
                #expect(try await scene.mirror.stop(within: .seconds(10)) == 0)
                gate.open()
            }
        }

        @Test func `holds up who asks for what is not stored no longer than first-byte-timeout`() async throws {
            try await withStub(keys: ["fresh-for: 0s", "first-byte-timeout: 2s"]) { scene in
                let image = try await scene.warm(1)
                let gate = StubGate()
                scene.upstream.inject(.hold(gate), into: "/manifests/")
                async let unknown = scene.ask("other")
                #expect(try await scene.ask().isManifest(image.manifest))
                #expect(try await unknown.status == 504)
                gate.open()
            }
        }
    }

    @Suite("on-upstream-404") struct AbsenceTests {
        @Test func `serve: a tag that was deleted upstream is served stale`() async throws {
            try await withStub(keys: ["fresh-for: 0s"]) { scene in
                let image = try await scene.warm(1)
                scene.upstream.remove(tag: "latest", from: StubScene.repository)
                for method in ["GET", "HEAD"] {
                    let answer = try await scene.ask(by: method)
                    #expect(answer.status == 200)
                    #expect(answer.fields["Docker-Content-Digest"] == "\(image.manifest.digest)")
                    #expect(answer.missingMarksOfStaleness.isEmpty, "\(answer.missingMarksOfStaleness)")
                    #expect(answer.cacheStatus.contains("fwd-status=404"))
                }
                #expect(try await scene.count("stale") == 2)
                // It is asked about all the same, and a tag that comes back is seen.
                let back = scene.ship(2)
                try await eventually(within: .seconds(20), "the tag is back") {
                    try await scene.ask().isManifest(back.manifest)
                }
            }
        }

        @Test func `forget: it is gone here too, and stays gone when the upstream fails`() async throws {
            try await withStub(keys: ["fresh-for: 0s", "negative-for: 0s", "on-upstream-404: forget"]) { scene in
                let image = try await scene.warm(1)
                scene.upstream.remove(tag: "latest", from: StubScene.repository)
                for method in ["HEAD", "GET"] {
                    let answer = try await scene.ask(by: method)
                    #expect(answer.status == 404, "\(answer.summary)")
                    if method == "GET" { #expect(answer.errorCode == "MANIFEST_UNKNOWN") }
                }
                let event = try #require(try await scene.mirror.events(1).first)
                #expect(event.name == "tag-forgotten")
                #expect(try event.value["image"].text == "docker.io/\(StubScene.repository):latest")
                #expect(try event.value["was"].text == "\(image.manifest.digest)")
                await scene.upstream.stop()
                let answer = try await scene.ask()
                #expect((500...504).contains(answer.status), "\(answer.summary)")
            }
        }

        @Test func `forget: an outage is no absence, and neither is another mirror's`() async throws {
            try await withStub(keys: ["fresh-for: 0s", "on-upstream-404: forget"]) { scene in
                let image = try await scene.warm(1)
                let othersFailure = [(name: "Proxy-Status", value: "wharf; error=connection_timeout")]
                let faults: [StubFault] = [
                    .status(404, fields: othersFailure), .status(403), .status(401), .status(503), .html,
                ]
                for fault in faults {
                    scene.upstream.inject(fault, into: "/v2/")
                    let answer = try await scene.ask()
                    #expect(answer.isManifest(image.manifest), "\(fault): \(answer.summary)")
                    #expect(answer.missingMarksOfStaleness.isEmpty, "\(fault): \(answer.missingMarksOfStaleness)")
                    scene.upstream.heal()
                }
            }
        }
    }

    @Suite("an upstream that answers 429 for an hour") struct RateLimitTests {
        private static let limited = StubFault.status(
            429, body: #"{"errors":[{"code":"TOOMANYREQUESTS","message":"You have reached your pull rate limit."}]}"#,
            fields: [("Retry-After", "3600")])

        @Test func `is not seen by who pulls what is stored, and sees next to nothing itself`() async throws {
            try await withStub(keys: ["fresh-for: 0s"]) { scene in
                let tags = ["1", "2", "3", "4", "5"]
                var images: [TestImage] = []
                for (seed, tag) in tags.enumerated() { images.append(try await scene.warm(UInt64(seed + 1), as: tag)) }
                scene.upstream.inject(Self.limited, into: "/v2/")
                scene.upstream.clearLog()
                for (tag, image) in zip(tags, images) {
                    #expect(try await scene.pull(tag, times: 60) == [TagAnswer(image): 120], "\(tag)")
                }
                // One that finds it out, and one a minute for the whole of the upstream.
                #expect(scene.questions.count <= 2, "\(scene.questions.prefix(10))")
                #expect(!scene.questions.contains { $0.hasPrefix("GET") }, "\(scene.questions.prefix(10))")
                #expect(try await scene.count("error") == 0)
                let answer = try await scene.ask("3")
                #expect(answer.missingMarksOfStaleness.isEmpty, "\(answer.missingMarksOfStaleness)")

                let again = try await scene.restarted(after: SIGTERM)
                for (tag, image) in zip(tags, images) {
                    #expect(try await again.pull(tag, times: 10) == [TagAnswer(image): 20], "\(tag)")
                }
                #expect(again.questions.count <= 3, "\(again.questions.prefix(10))")
            }
        }

        @Test func `is told as 429 with Retry-After to who asks for what is not stored`() async throws {
            try await withStub(keys: ["fresh-for: 0s"]) { scene in
                try await scene.warm(1)
                let other = scene.ship(2, as: "other")
                scene.upstream.inject(Self.limited, into: "/v2/")
                for reference in ["other", "\(other.manifest.digest)", "never"] {
                    for method in ["HEAD", "GET"] {
                        let answer = try await scene.ask(reference, by: method)
                        #expect(answer.status == 429, "\(method) \(reference): \(answer.summary)")
                        let delay = answer.fields["Retry-After"].flatMap { Int($0) }
                        #expect(delay.map { (3500...3600).contains($0) } == true, "\(String(describing: delay))")
                        if method == "GET" { #expect(answer.errorCode == "TOOMANYREQUESTS") }
                    }
                }
                // And it was not taken for absence.
                scene.upstream.heal()
                try await eventually(within: .seconds(10), "what is not stored can be had again") {
                    try await scene.ask("other").isManifest(other.manifest)
                }
            }
        }
    }
}
