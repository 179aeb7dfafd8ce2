// Endpoints in their order, the deadline before the head, and cancelling.
import HTTPSemantics
import OCI
import TestSupport
import Testing

@testable import Upstream

@Suite("Endpoints, deadlines and cancelling") struct FailoverTests {
    private let name = Laboratory.name
    private let tag = Reference("3")!  // a literal of the grammar

    /// Two registries with one image.
    private func run(_ body: (Laboratory, StubRegistry, TestImage) async throws -> Void) async throws {
        try await Laboratory.run { laboratory in
            let second = try await StubRegistry.start()
            var builder = ImageBuilder()
            let image = builder.image()
            laboratory.stub.add(image, to: "\(name)", tag: "3")
            second.add(image, to: "\(name)", tag: "3")
            try await body(laboratory, second, image)
            await second.stop()
        }
    }

    private func resolve(_ upstream: UpstreamRegistry) async -> UpstreamError? {
        await failure { () async throws(UpstreamError) in try await upstream.resolve(name, tag) }
    }

    @Test(arguments: [
        StubFault.status(503), .status(429), .html, .redirect(to: "ftp://nowhere/"), .status(400),
        .status(404, fields: [("Proxy-Status", "wharf; error=connection_refused")]),
    ])
    func `the next endpoint is asked when one fails`(_ fault: StubFault) async throws {
        try await run { laboratory, second, image in
            laboratory.stub.inject(fault, into: "/v2/")
            let upstream = laboratory.upstream(endpoints: [laboratory.stub.url, second.url])
            let facts = try await upstream.resolve(name, tag)
            #expect(facts.digest == image.manifest.digest)
            #expect(upstream.figures.map(\.errors) == [1, 0])
            #expect(upstream.figures.map(\.url) == [laboratory.stub.url, second.url])
            #expect(upstream.figures[0].lastError != nil)
        }
    }

    @Test func `an endpoint that is down is asked last until a probe beside a request finds it up`() async throws {
        try await run { laboratory, second, _ in
            let upstream = laboratory.upstream(endpoints: [laboratory.stub.url, second.url])
            laboratory.stub.inject(.status(502), into: "/v2/", times: 2)
            #expect(await resolve(upstream) == nil)
            #expect(upstream.figures.map(\.breaker) == ["open", "closed"])
            #expect(upstream.figures.map(\.isHealthy) == [false, true])
            #expect(await resolve(upstream) == nil)
            #expect(laboratory.stub.log.requests.count == 1)
            // The first probe fails, so the next is due two seconds later.
            laboratory.clock.advance(by: .seconds(1))
            #expect(await resolve(upstream) == nil)
            await laboratory.stub.wait { $0.requests.count == 2 }
            #expect(laboratory.stub.log.requests.last?.path == "/v2/")
            await upstream.wait(until: "open")
            laboratory.clock.advance(by: .seconds(1))
            #expect(await resolve(upstream) == nil)
            laboratory.clock.advance(by: .seconds(1))
            #expect(await resolve(upstream) == nil)
            await upstream.wait(until: "closed")
            #expect(laboratory.stub.log.requests.count == 3)
            #expect(second.log.requests.count == 5)
            #expect(await resolve(upstream) == nil)
            #expect(second.log.requests.count == 5)
            #expect(upstream.figures.map(\.isHealthy) == [true, true])
        }
    }

    @Test(arguments: [StubFault.status(403), .status(404), .status(429), .redirect(to: "/elsewhere")])
    func `a probe that is answered at all closes the breaker`(_ fault: StubFault) async throws {
        try await run { laboratory, second, _ in
            let upstream = laboratory.upstream(endpoints: [laboratory.stub.url, second.url])
            laboratory.stub.inject(.status(502), into: "/v2/", times: 1)
            #expect(await resolve(upstream) == nil)
            laboratory.stub.inject(fault, into: "/v2/", times: 1)
            laboratory.clock.advance(by: .seconds(1))
            #expect(await resolve(upstream) == nil)
            await upstream.wait(until: "closed")
        }
    }

    @Test func `with one endpoint spent and the other down nothing may be pulled`() async throws {
        try await run { laboratory, second, _ in
            let upstream = laboratory.upstream(endpoints: [laboratory.stub.url, second.url])
            laboratory.stub.inject(.fields([("RateLimit-Remaining", "0;w=21600")]), into: "/manifests/")
            #expect(await resolve(upstream) == nil)
            #expect(!upstream.isSpent)
            await second.stop()
            _ = await resolve(upstream)
            #expect(upstream.isSpent)
        }
    }

    @Test func `several questions of one answer are bounded together`() async throws {
        try await run { laboratory, _, _ in
            let upstream = laboratory.upstream()
            let gate = StubGate()
            laboratory.stub.inject(.hold(gate), into: "/manifests/")
            async let errors = upstream.together { () async -> [UpstreamError?] in
                [await resolve(upstream), await resolve(upstream)]
            }
            await laboratory.stub.wait { $0.held == 1 }
            await laboratory.clock.sleepers(1)
            laboratory.clock.advance(by: .seconds(15))
            #expect(await errors.map { $0?.proxyError } == [.httpResponseTimeout, .httpResponseTimeout])
            #expect(laboratory.stub.log.held == 1)
        }
    }

    @Test func `an endpoint from which nothing may be pulled is asked for manifests after the others`() async throws {
        try await run { laboratory, second, _ in
            let upstream = laboratory.upstream(endpoints: [laboratory.stub.url, second.url])
            laboratory.stub.inject(
                .status(429, fields: [("Retry-After", "600")]), into: "/manifests/", times: 1)
            #expect(await resolve(upstream) == nil)
            #expect(await resolve(upstream) == nil)
            #expect(laboratory.stub.log.requests.count == 1)
            #expect(upstream.figures.map(\.isSpent) == [true, false])
            #expect(!upstream.isSpent)
        }
    }

    @Test(arguments: [StubFault.status(404), .status(401), .status(403)])
    func `a registry's own no is final`(_ fault: StubFault) async throws {
        try await run { laboratory, second, _ in
            laboratory.stub.inject(fault, into: "/v2/")
            #expect(await resolve(laboratory.upstream(endpoints: [laboratory.stub.url, second.url])) != nil)
            #expect(second.log.requests.isEmpty)
        }
    }

    @Test func `the last endpoint's error is the one that is told, and an only one is always asked`() async throws {
        try await run { laboratory, second, _ in
            laboratory.stub.inject(.status(503), into: "/v2/")
            let both = laboratory.upstream(endpoints: [laboratory.stub.url, second.url])
            await second.stop()
            #expect(await resolve(both)?.proxyError == .connectionRefused)
            let single = laboratory.upstream()
            for _ in 1...2 {
                guard case .failed(503, _) = await resolve(single) else {
                    Issue.record("expected the 503")
                    return
                }
            }
            #expect(single.figures.first?.requests == 2)
        }
    }

    @Test func `no answer within first-byte-timeout is a timeout, and cancels the transfer`() async throws {
        try await run { laboratory, _, _ in
            laboratory.stub.inject(.hold(StubGate()), into: "/v2/")
            let upstream = laboratory.upstream()
            async let error = resolve(upstream)
            await laboratory.stub.wait { $0.held == 1 }
            await laboratory.clock.sleepers(1)
            laboratory.clock.advance(by: .seconds(15))
            #expect(await error?.proxyError == .httpResponseTimeout)
            await laboratory.stub.wait { $0.abandoned == 1 }
            #expect(upstream.figures.first?.isHealthy == false)
        }
    }

    @Test func `a silent endpoint leaves its share of the time to the next`() async throws {
        try await run { laboratory, second, image in
            laboratory.stub.inject(.hold(StubGate()), into: "/v2/")
            let upstream = laboratory.upstream(endpoints: [laboratory.stub.url, second.url])
            let asker = Task { try await upstream.resolve(name, tag) }
            await laboratory.stub.wait { $0.held == 1 }
            await laboratory.clock.sleepers(1)
            laboratory.clock.advance(by: .milliseconds(7500))
            let facts = try await asker.value
            #expect(facts.digest == image.manifest.digest)
        }
    }

    @Test func `a token service that is silent is bounded too`() async throws {
        try await Laboratory.run(StubOptions(authentication: .bearer())) { laboratory in
            laboratory.stub.inject(.hold(StubGate()), into: "/token")
            async let error = resolve(laboratory.upstream())
            await laboratory.stub.wait { $0.held == 1 }
            await laboratory.clock.sleepers(2)
            laboratory.clock.advance(by: .seconds(15))
            #expect(await error?.proxyError == .httpResponseTimeout)
        }
    }

    @Test func `a cancelled task cancels the transfer it waits for, and no other endpoint is asked`() async throws {
        try await run { laboratory, second, image in
            laboratory.stub.inject(.hold(StubGate()), into: "/v2/")
            let upstream = laboratory.upstream(endpoints: [laboratory.stub.url, second.url])
            let sink = RecordingSink()
            let task = Task {
                await failure { () async throws(UpstreamError) in
                    try await upstream.blob(name, image.layers[0].digest, into: sink)
                }
            }
            await laboratory.stub.wait { $0.held == 1 }
            task.cancel()
            #expect(await task.value == .cancelled)
            await laboratory.stub.wait { $0.abandoned == 1 }
            #expect(second.log.requests.isEmpty)
            #expect(sink.now.heads == 0 && sink.now.ends.isEmpty)
            #expect(upstream.figures.first?.errors == 0)
        }
    }

    @Test func `a task that is cancelled after the head leaves the stream alone`() async throws {
        try await run { laboratory, _, image in
            let sink = RecordingSink(pauseAt: 0)
            let upstream = laboratory.upstream()
            let task = Task {
                try await upstream.blob(name, image.layers[0].digest, into: sink)
            }
            _ = try await task.value
            task.cancel()
            await sink.wait { $0.isPaused }
            sink.unpause()
            #expect(await sink.end()?.error == nil)
        }
    }

    @Test func `http needs allow-http`() async throws {
        try await run { laboratory, _, _ in
            guard case .refused = await resolve(laboratory.upstream(allowHTTP: false)) else {
                Issue.record("expected a refusal")
                return
            }
            #expect(laboratory.stub.log.requests.isEmpty)
        }
    }

    @Test func `an upstream without endpoints says so`() async throws {
        try await run { laboratory, _, _ in
            #expect(await resolve(laboratory.upstream(endpoints: []))?.proxyError == .proxyConfigurationError)
        }
    }
}

extension UpstreamRegistry {
    /// Waits for the first endpoint's breaker: a probe tells nobody when it is done.
    fileprivate func wait(until breaker: String) async {
        while figures[0].breaker != breaker, !Task.isCancelled { try? await Task.sleep(for: .milliseconds(2)) }
    }
}
