// Programs that keep credentials: how they are run, what is believed of them, and that they cannot hold us up.
import Foundation
import OCI
import TestSupport
import Testing

@testable import Upstream

@Suite("Credential helpers") struct CredentialHelperTests {
    private let directory: TemporaryDirectory
    private let helper = CredentialHelper("test")!  // within the grammar

    init() throws { directory = try TemporaryDirectory() }

    private var environment: [String: String] {
        ["PATH": "relative:\(directory.path):/usr/bin:/bin", "HOME": "/nowhere"]
    }

    private func install(_ script: String, as name: String = "docker-credential-test") throws {
        let path = try directory.write(Array("#!/bin/sh\n\(script)\n".utf8), to: name)
        #expect(chmod(path, 0o755) == 0)
    }

    private func ask(clock: ManualClock = ManualClock()) async -> Result<Credentials?, UpstreamError> {
        await outcome { [helper, environment] () async throws(UpstreamError) in
            try await helper.credentials(for: "reg.example:5000", environment: environment, clock: clock)
        }
    }

    private func read(_ name: String) throws -> String {
        try String(contentsOfFile: directory.path(name), encoding: .utf8)
    }

    private static func answer(_ username: String, _ secret: String) -> String {
        #"echo '{"ServerURL": "x", "Username": "\#(username)", "Secret": "\#(secret)"}'"#
    }

    // MARK: One run

    @Test func `it gets the host on its standard input, get as its argument, and our environment`() async throws {
        try install(
            """
            printf '%s %s %s|' "$0" "$*" "$HOME" >"\(directory.path("seen"))"; cat >>"\(directory.path("seen"))"
            \(Self.answer("carol", "s3"))
            """)
        #expect(try await ask().get() == Credentials(username: "carol", password: "s3"))
        #expect(try read("seen") == "\(directory.path("docker-credential-test")) get /nowhere|reg.example:5000")
    }

    @Test func `it inherits no descriptor and no signal that we ignore`() async throws {
        try Data().write(to: URL(fileURLWithPath: directory.path("open")))
        let low = open(directory.path("open"), O_RDONLY)  // without O_CLOEXEC
        let descriptor = fcntl(low, F_DUPFD, 500)
        defer { close(low) }
        signal(SIGPIPE, SIG_IGN)  // as this program does anyway
        defer { close(descriptor) }
        try install(
            """
            ls /proc/self/fd >"\(directory.path("descriptors"))"
            sed -n 's/^Sig[BI][lg][kn]:.//p' /proc/self/status >"\(directory.path("signals"))"
            readlink /proc/self/fd/2 >"\(directory.path("errors"))"
            \(Self.answer("carol", "s3"))
            """)
        _ = try await ask().get()
        #expect(try read("descriptors") == "0\n1\n2\n3\n")  // 3 is the directory that it reads
        let signals = try read("signals").split(separator: "\n").map { UInt64($0, radix: 16) }
        try #require(signals.count == 2)
        #expect(signals[0] == 0)  // blocked
        #expect(signals[1].map { $0 & ~0x1_8000_0000 } == 0)  // ignored, but for two that are the C library's own
        #expect(try read("errors") == "/dev/null\n")
    }

    @Test func `a user named <token> has an identity token`() async throws {
        try install(Self.answer("<token>", "id"))
        #expect(try await ask().get() == Credentials(identityToken: "id"))
    }

    @Test(arguments: [
        "echo 'credentials not found in native keychain'; exit 1", "echo; echo credentials not found; exit 1",
        #"echo '{"Username": "", "Secret": ""}'"#,
    ])
    func `one that knows nothing has no credentials`(_ script: String) async throws {
        try install(script)
        #expect(try await ask().get() == nil)
    }

    @Test(arguments: [
        ("echo secret; exit 3", "ended with status 3"), ("echo secret", "answered no JSON object"),
        ("exec </dev/null; yes secret", "answered more than 65536 bytes"), ("kill -TERM $$", "ended with status 143"),
        ("", "answered no JSON object"), ("exec >&-; exit 7", "ended with status 7"),
    ])
    func `one that fails is named with the reason, and nothing it printed`(
        _ script: String, _ words: String
    ) async throws {
        try install(script)
        #expect(await ask() == .failure(.credentialsRefused(message: "docker-credential-test \(words)")))
    }

    @Test func `one that is not there, not ours to run, or no program is named`() async throws {
        func words() async -> String {
            if case .failure(.credentialsRefused(let words)) = await ask() { words } else { "" }
        }
        #expect(await words() == "docker-credential-test is not on PATH")
        try directory.write(Array("\u{7F}ELF nothing".utf8), to: "docker-credential-test")
        #expect(chmod(directory.path("docker-credential-test"), 0o755) == 0)
        #expect(await words().hasPrefix("docker-credential-test cannot be run: "))
    }

    @Test(arguments: ["sleep 1000 & echo $! >PID; wait", "exec >&-; echo $$ >PID; while :; do sleep 1000; done"])
    func `one that says nothing is killed after ten seconds, with its children`(_ script: String) async throws {
        let pid = directory.path("pid")
        try install("trap '' TERM INT HUP\n" + script.replacing("PID", with: "\(pid).new; mv \(pid).new \(pid)"))
        let clock = ManualClock()
        let asking = Task { await ask(clock: clock) }
        await clock.sleepers(1)
        while !FileManager.default.fileExists(atPath: pid) { await Task.yield() }
        clock.advance(by: .seconds(10))
        #expect(
            await asking.value
                == .failure(.credentialsRefused(message: "docker-credential-test gave no answer within 10 s")))
        let child = try #require(Int32(try read("pid").trimmingCharacters(in: .whitespacesAndNewlines)))
        // Killed; where nobody reaps orphans it may stay as a zombie.
        let stat = (try? String(contentsOfFile: "/proc/\(child)/stat", encoding: .utf8)) ?? ") Z"
        #expect(stat.split(separator: ")").last?.hasPrefix(" Z") == true || kill(child, 0) != 0, "\(stat)")
    }

    // MARK: At an upstream

    private func source() throws -> CredentialSource {
        let path = try directory.write(Array(#"{"credHelpers": {"docker.io": "test"}}"#.utf8), to: "config.json")
        return .dockerConfig(DockerConfig(path: path, environment: environment))
    }

    /// Counts its runs, and says what is in the file `login`.
    private func installCounting() throws {
        try install("echo run >>\"\(directory.path("runs"))\"; cat \"\(directory.path("login"))\"")
    }

    private func says(_ username: String, _ password: String) throws {
        try directory.write(Array(#"{"Username": "\#(username)", "Secret": "\#(password)"}"#.utf8), to: "login")
    }

    private func runs() throws -> Int { try read("runs").split(separator: "\n").count }

    @Test func `it is run once for all who ask, and again after five minutes`() async throws {
        try await Laboratory.runWithImage(.basic(username: "user", password: "secret")) { laboratory in
            try installCounting()
            try says("user", "secret")
            let upstream = laboratory.upstream(from: try source())
            let askers = (1...10).map { _ in Task { await laboratory.resolve(upstream) } }
            for asker in askers { #expect(await asker.value == nil) }
            laboratory.clock.advance(by: .seconds(299))
            #expect(await laboratory.resolve(upstream) == nil)
            #expect(try runs() == 1)
            let revision = upstream.credentialRevision
            laboratory.clock.advance(by: .seconds(2))
            #expect(await laboratory.resolve(upstream) == nil)
            #expect(try runs() == 2)
            #expect(upstream.credentialRevision == revision)
        }
    }

    @Test(arguments: [true, false])
    func `after a 401 it is asked anew, and what it says then is shown at once`(_ isBearer: Bool) async throws {
        var bearer = StubBearer()
        bearer.username = "user"
        bearer.password = "new"
        bearer.expiresIn = 20
        try await Laboratory.runWithImage(isBearer ? .bearer(bearer) : .basic(username: "user", password: "new")) {
            laboratory in
            try installCounting()
            try says("user", "old")
            let recorder = WarningRecorder()
            let upstream = laboratory.upstream(from: try source(), logger: recorder.logger)
            #expect(await laboratory.resolve(upstream)?.isCredentialsRefused == true)
            let revision = upstream.credentialRevision
            let before = try runs()
            try says("user", "new")
            laboratory.clock.advance(by: .seconds(11))
            #expect(await laboratory.resolve(upstream) == nil)
            #expect(try runs() == before + 1)
            #expect(upstream.credentialRevision == revision + 1)
            #expect(recorder.warnings.count == 1)
            #expect(!recorder.all.contains("old") && !recorder.all.contains("\"new\""))
        }
    }

    @Test func `one that fails is told once and not run again at once`() async throws {
        try await Laboratory.runWithImage(.basic(username: "user", password: "secret")) { laboratory in
            try install("echo run >>\"\(directory.path("runs"))\"; echo hidden; exit 1")
            let recorder = WarningRecorder()
            let upstream = laboratory.upstream(from: try source(), logger: recorder.logger)
            for _ in 0..<3 { #expect(await laboratory.resolve(upstream)?.isCredentialsRefused == true) }
            #expect(try runs() == 1)
            #expect(recorder.warnings.count == 1)
            #expect(recorder.warnings.first?.contains("docker-credential-test ended with status 1") == true)
            #expect(!recorder.all.contains("hidden"))
            laboratory.clock.advance(by: .seconds(11))
            _ = await laboratory.resolve(upstream)
            #expect(try runs() == 2)
        }
    }

    @Test func `one that knows nothing leaves us anonymous`() async throws {
        try await Laboratory.runWithImage(.bearer()) { laboratory in
            try install("echo credentials not found in native keychain; exit 1")
            let upstream = laboratory.upstream(from: try source())
            #expect(await laboratory.resolve(upstream) == nil)
            #expect(laboratory.stub.log.requests("/token").map(\.isAuthorized) == [false])
        }
    }
}
