// Credentials that are wrong: told once, remembered for a moment, and never mistaken for an image that is not there.
import HTTPSemantics
import Logging
import OCI
import Synchronization
import TestSupport
import Testing

@testable import Upstream

extension Laboratory {
    static let tag = Reference("3")!  // a literal of the grammar

    /// An upstream whose credentials come from anywhere.
    func upstream(
        from source: CredentialSource, named name: String = "docker.io", endpoints: [String]? = nil,
        authHosts: [String] = [], logger: Logger = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
    ) -> UpstreamRegistry {
        let configuration = UpstreamConfiguration(
            name: name, endpoints: (endpoints ?? [stub.url]).compactMap { UpstreamEndpoint($0) },
            authHosts: authHosts, credentials: source, allowHTTP: true)
        return UpstreamRegistry(
            configuration, transport: transport, clock: clock, now: { 1_700_000_000 }, logger: logger,
            instance: "test")
    }

    /// What comes of asking for an image that is there.
    func resolve(
        _ upstream: UpstreamRegistry, _ name: RepositoryName = Laboratory.name
    ) async -> UpstreamError? {
        await failure { () async throws(UpstreamError) in try await upstream.resolve(name, Self.tag) }
    }

    /// Runs the body against a stub that has `library/alpine:3`, `library/other:3`, and wants to be spoken to so.
    static func runWithImage(
        _ authentication: StubAuthentication, _ body: (Laboratory) async throws -> Void
    ) async throws {
        try await run(StubOptions(authentication: authentication)) { laboratory in
            var builder = ImageBuilder()
            let image = laboratory.stub.add(builder.image(), to: "\(name)", tag: "3")
            laboratory.stub.add(image, to: "library/other", tag: "3")
            try await body(laboratory)
        }
    }
}

extension UpstreamError {
    var isCredentialsRefused: Bool { if case .credentialsRefused = self { true } else { false } }
    var isDenied: Bool { if case .denied = self { true } else { false } }
}

/// Keeps the warnings, and all lines with their metadata.
final class WarningRecorder: Sendable {
    private let entries = Mutex<[(level: Logger.Level, text: String)]>([])

    var warnings: [String] { entries.withLock { $0.filter { $0.level >= .warning }.map(\.text) } }
    var all: String { entries.withLock { $0.map(\.text).joined(separator: "\n") } }

    var logger: Logger {
        var logger = Logger(label: "test") { _ in Handler(recorder: self) }
        logger.logLevel = .trace
        return logger
    }

    private struct Handler: LogHandler {
        let recorder: WarningRecorder
        var metadata: Logger.Metadata = [:]
        var logLevel = Logger.Level.trace

        subscript(metadataKey key: String) -> Logger.MetadataValue? {
            get { metadata[key] }
            set { metadata[key] = newValue }
        }

        func log(event: LogEvent) {
            recorder.entries.withLock { $0.append((event.level, "\(event.message) \(event.metadata ?? [:])")) }
        }
    }
}

@Suite("Credentials that are not accepted") struct CredentialTests {
    private let other = RepositoryName("library/other")!  // a literal of the grammar
    private let wrong = CredentialSource.login(Credentials(username: "carol", password: "wrong-secret"))
    private let right = CredentialSource.login(Credentials(username: "user", password: "secret"))

    private var bearer: StubAuthentication {
        var bearer = StubBearer()
        bearer.username = "user"
        bearer.password = "secret"
        return .bearer(bearer)
    }

    @Test func `a token service's 401 is said in plain words, without anything secret`() async throws {
        try await Laboratory.runWithImage(bearer) { laboratory in
            let recorder = WarningRecorder()
            let upstream = laboratory.upstream(from: wrong, logger: recorder.logger)
            guard case .credentialsRefused(let message) = await laboratory.resolve(upstream) else {
                Issue.record("expected a refusal of the credentials")
                return
            }
            let words = "docker.io does not accept the credentials for user carol at 127.0.0.1:"
            #expect(message.hasPrefix(words) && message.hasSuffix(": check username and password-file"), "\(message)")
            #expect(recorder.warnings.count == 1)
            #expect(recorder.warnings.first?.hasPrefix(words) == true)
            #expect(!recorder.all.contains("wrong-secret"))
            #expect(!recorder.all.contains("Y2Fyb2w6"))  // carol: in base64
        }
    }

    @Test(arguments: [true, false])
    func `nobody asks again for ten seconds, and then one does`(_ isBearer: Bool) async throws {
        try await Laboratory.runWithImage(isBearer ? bearer : .basic(username: "user", password: "secret")) {
            laboratory in
            let recorder = WarningRecorder()
            let upstream = laboratory.upstream(from: wrong, logger: recorder.logger)
            func shown() -> Int {
                laboratory.stub.log.requests.filter { $0.authorization?.hasPrefix("Basic ") == true }.count
            }
            for name in [Laboratory.name, other, Laboratory.name] {
                let error = await laboratory.resolve(upstream, name)
                #expect(error?.isCredentialsRefused == true, "\(String(describing: error))")
            }
            #expect(shown() == 1)
            laboratory.clock.advance(by: .seconds(9))
            _ = await laboratory.resolve(upstream)
            #expect(shown() == 1)
            laboratory.clock.advance(by: .seconds(2))
            _ = await laboratory.resolve(upstream)
            #expect(shown() == 2)
            #expect(recorder.warnings.count == 1, "\(recorder.warnings)")
        }
    }

    @Test func `once accepted, they are told about again when they are refused ten minutes later`() async throws {
        try await Laboratory.runWithImage(.basic(username: "user", password: "secret")) { laboratory in
            let recorder = WarningRecorder()
            let upstream = laboratory.upstream(from: right, logger: recorder.logger)
            for expected in [1, 2] {
                laboratory.stub.inject(
                    .status(401, fields: [("WWW-Authenticate", "Basic realm=\"x\"")]), into: "/manifests/", times: 2)
                let error = await laboratory.resolve(upstream)
                #expect(error?.isCredentialsRefused == true)
                #expect(recorder.warnings.count == expected)
                laboratory.stub.heal()
                laboratory.clock.advance(by: .seconds(600))
                #expect(await laboratory.resolve(upstream) == nil)
            }
        }
    }

    @Test func `a forbidden repository casts no doubt on credentials that are good for others`() async throws {
        try await Laboratory.runWithImage(bearer) { laboratory in
            let recorder = WarningRecorder()
            let upstream = laboratory.upstream(from: right, logger: recorder.logger)
            #expect(await laboratory.resolve(upstream) == nil)
            laboratory.stub.inject(.status(403, body: "not yours"), into: "/token", times: 1)
            guard case .denied(403, let message) = await laboratory.resolve(upstream, other) else {
                Issue.record("expected a denial")
                return
            }
            #expect(message.contains("not yours"))
            #expect(await laboratory.resolve(upstream, other) == nil)
            #expect(recorder.warnings.isEmpty)
        }
    }

    @Test func `a forbidden repository asked for first keeps nobody from the others`() async throws {
        try await Laboratory.runWithImage(bearer) { laboratory in
            let upstream = laboratory.upstream(from: right)
            laboratory.stub.inject(.status(403), into: "/token", times: 1)
            #expect(await laboratory.resolve(upstream, other)?.isCredentialsRefused == true)
            #expect(await laboratory.resolve(upstream) == nil)
            #expect(await laboratory.resolve(upstream, other)?.isCredentialsRefused == true)
            #expect(laboratory.stub.log.requests("/token").count == 2)
        }
    }

    @Test func `another endpoint is asked, and what it denies is a denial`() async throws {
        try await Laboratory.runWithImage(bearer) { laboratory in
            let second = try await StubRegistry.start(StubOptions(authentication: .bearer()))
            var builder = ImageBuilder()
            second.add(builder.image(), to: "\(Laboratory.name)", tag: "3")
            let upstream = laboratory.upstream(from: wrong, endpoints: [laboratory.stub.url, second.url])
            let error = await laboratory.resolve(upstream)
            #expect(error == nil)
            #expect(upstream.figures.map(\.errors) == [1, 0])
            #expect(upstream.figures.map(\.isHealthy) == [true, true])
            await second.stop()
        }
    }

    @Test func `Basic is shown to a registry that challenges with several schemes only where it offers no Bearer`()
        async throws
    {
        try await Laboratory.runWithImage(bearer) { laboratory in
            let realm = "Bearer realm=\"\(laboratory.stub.url)/token\",service=\"stub\""
            let challenges = [("WWW-Authenticate", "Negotiate YWJj, Basic realm=\"x\""), ("WWW-Authenticate", realm)]
            laboratory.stub.inject(.status(401, fields: challenges), into: "/manifests/", times: 1)
            #expect(await laboratory.resolve(laboratory.upstream(from: right)) == nil)
            let shown = laboratory.stub.log.requests("/manifests/").map { $0.authorization?.prefix(6) }
            #expect(shown == [nil, "Bearer"])

            laboratory.stub.inject(
                .status(401, fields: [("WWW-Authenticate", "Negotiate, NTLM")]), into: "/manifests/", times: 1)
            laboratory.stub.clearLog()
            #expect(await laboratory.resolve(laboratory.upstream(from: right))?.isDenied == true)
            #expect(laboratory.stub.log.requests.map(\.isAuthorized) == [false])
        }
    }

    // MARK: The value

    private let refusal = UpstreamError.credentialsRefused(message: "no")

    @Test func `a no is forgotten after ten seconds, and means nothing to other credentials`() {
        var standing = Standing()
        let meaning = standing.refused(1, isForbidden: false, scope: "a", refusal, at: .zero)
        #expect(meaning == refusal)
        #expect(standing.refusal(of: 1, scope: "b", at: .seconds(9)) == refusal)
        #expect(standing.refusal(of: 2, scope: "a", at: .seconds(9)) == nil)
        #expect(standing.refusal(of: 1, scope: "a", at: .seconds(10)) == nil)
    }

    @Test func `what was accepted before is doubted for one scope only`() {
        var standing = Standing()
        standing.accepted(1)
        let meanings = [
            standing.refused(1, isForbidden: false, scope: "a", refusal, at: .zero),
            standing.refused(1, isForbidden: true, scope: "c", refusal, at: .zero),
        ]
        #expect(meanings == [refusal, nil])
        #expect(standing.refusal(of: 1, scope: "a", at: .zero) == refusal)
        #expect(standing.refusal(of: 1, scope: "b", at: .zero) == nil)
        let ofOthers = standing.refused(2, isForbidden: true, scope: "c", refusal, at: .zero)
        #expect(ofOthers == refusal)
    }

    @Test func `people are told once for each of the credentials`() {
        var standing = Standing()
        let told = [1, 1, 2, 2].map { standing.shouldTell($0, at: .zero) }
        #expect(told == [true, false, true, false])
        standing.accepted(2)
        let isToldAgain = standing.shouldTell(2, at: .seconds(600))
        #expect(isToldAgain)
    }
}
