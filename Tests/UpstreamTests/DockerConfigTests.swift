// Docker's config.json: whose credentials it holds, by all the names that a registry has there.
import Foundation
import OCI
import TestSupport
import Testing

@testable import Upstream

@Suite("Docker's config.json") struct DockerConfigTests {
    private let directory: TemporaryDirectory

    init() throws { directory = try TemporaryDirectory() }

    @discardableResult private func write(_ text: String, to name: String = "config.json") throws -> String {
        try directory.write(Array(text.utf8), to: name)
    }

    private func config(_ text: String) throws -> DockerConfig {
        DockerConfig(path: try write(text), environment: [:])
    }

    private func steps(
        _ text: String, for endpoint: String = "https://ghcr.io", of upstream: String = "ghcr.io"
    ) throws -> [DockerConfig.Step] {
        let endpoint = try #require(UpstreamEndpoint(endpoint))
        return try config(text).steps(for: endpoint.origin, of: upstream).steps
    }

    private func login(_ username: String, _ password: String) -> DockerConfig.Step {
        .credentials(Credentials(username: username, password: password))
    }

    private func helper(_ name: String, _ server: String) throws -> DockerConfig.Step {
        .helper(try #require(CredentialHelper(name)), server: server)
    }

    private func message(_ work: () throws -> Void) -> String? {
        do { try work() } catch UpstreamError.credentialsRefused(let message) { return message } catch { return nil }
        return nil
    }

    private static let entry = #"{"auth": "Y2Fyb2w6cGE6c3M="}"#  // carol:pa:ss

    // MARK: Keys

    @Test(arguments: [
        "docker.io", "index.docker.io", "registry-1.docker.io", "https://index.docker.io/v1/",
        "https://index.docker.io/v1", "https://index.docker.io", "https://docker.io/v2/", "http://docker.io/",
        "HTTPS://Index.Docker.io/v1/",
    ])
    func `all of Docker Hub's names mean docker.io`(_ key: String) throws {
        let text = #"{"auths": {"\#(key)": \#(Self.entry)}}"#
        #expect(try steps(text, for: "https://registry-1.docker.io", of: "docker.io") == [login("carol", "pa:ss")])
        #expect(try steps(text, for: "http://127.0.0.1:5000", of: "docker.io") == [login("carol", "pa:ss")])
        #expect(try steps(text) == [])
    }

    @Test(arguments: [
        "reg.example:5000", "https://reg.example:5000", "http://reg.example:5000/v2/", "Reg.Example:5000/v1/",
    ])
    func `a key with a port is for that port alone`(_ key: String) throws {
        let text = #"{"auths": {"\#(key)": \#(Self.entry)}}"#
        #expect(try steps(text, for: "https://reg.example:5000", of: "x") == [login("carol", "pa:ss")])
        for other in [
            "https://reg.example", "https://reg.example:5001", "http://reg.example", "http://reg.example:50",
        ] {
            #expect(try steps(text, for: other, of: "x") == [], "\(other)")
        }
    }

    @Test(arguments: ["reg.example", "https://reg.example/", "reg.example:443"])
    func `a key without a port, or with the scheme's own, is for that one`(_ key: String) throws {
        let text = #"{"auths": {"\#(key)": \#(Self.entry)}}"#
        #expect(try steps(text, for: "https://reg.example", of: "x") == [login("carol", "pa:ss")])
        #expect(try steps(text, for: "https://reg.example:5000", of: "x") == [])
    }

    @Test(arguments: [
        "reg.example/acme", "https://reg.example/v1/acme", "evil-reg.example", "reg.example.evil", "example",
        "*.example", "https://user@reg.example", "https://evil/reg.example", "https://", "", "/", "ftp://reg.example",
        "https://index.docker.io/v1/access-token",
    ])
    func `a key for something else, or for a part, is not for the registry`(_ key: String) throws {
        let text = #"{"auths": {"\#(key)": \#(Self.entry)}}"#
        #expect(try steps(text, for: "https://reg.example", of: "reg.example") == [])
        #expect(try steps(text, for: "https://registry-1.docker.io", of: "docker.io") == [])
    }

    @Test func `an endpoint's own entry goes before its upstream's`() throws {
        let text = #"""
            {"auths": {"docker.io": {"username": "hub", "password": "1"},
                       "mirror:5000": {"username": "own", "password": "2"}}}
            """#
        #expect(
            try steps(text, for: "http://mirror:5000", of: "docker.io") == [login("own", "2"), login("hub", "1")])
    }

    // MARK: Entries

    @Test func `a token in an entry goes before a password`() throws {
        func only(_ entry: String) throws -> [DockerConfig.Step] { try steps(#"{"auths": {"ghcr.io": \#(entry)}}"#) }
        #expect(
            try only(#"{"auth": "Y2Fyb2w6cA==", "identitytoken": "id"}"#)
                == [.credentials(Credentials(identityToken: "id", username: "carol"))])
        #expect(
            try only(#"{"identitytoken": "id", "registrytoken": "reg"}"#)
                == [.credentials(Credentials(registryToken: "reg"))])
        #expect(try only(#"{"username": "u", "password": "p"}"#) == [login("u", "p")])
        #expect(try only(#"{"auth": "Y2Fyb2w6cAAA", "username": "x", "password": "y"}"#) == [login("carol", "p")])
        for empty in ["{}", #"{"auth": ""}"#, #"{"email": "a@b"}"#, "null"] { #expect(try only(empty) == []) }
    }

    @Test(arguments: ["Y2Fyb2w=", "not base64", "/w=="])
    func `an entry that makes no sense is an error for its registry alone, and shows nothing`(_ auth: String) throws {
        let text = #"{"auths": {"ghcr.io": {"auth": "\#(auth)"}, "quay.io": {"username": "u", "password": "p"}}}"#
        let words = try #require(message { _ = try steps(text) })
        #expect(words == "\(directory.path("config.json")) has an auth for ghcr.io that is no base64 of user:password")
        #expect(try steps(text, for: "https://quay.io", of: "quay.io") == [login("u", "p")])
    }

    // MARK: Helpers

    @Test func `a host's helper goes before the store, and the store before what is written there`() throws {
        let text = #"""
            {"credHelpers": {"ghcr.io": "gh"}, "credsStore": "pass", "auths": {"https://quay.io": \#(Self.entry)}}
            """#
        #expect(try steps(text) == [helper("gh", "ghcr.io")])
        #expect(
            try steps(text, for: "https://quay.io", of: "quay.io")
                == [helper("pass", "quay.io"), login("carol", "pa:ss")])
        #expect(
            try steps(text, for: "https://registry-1.docker.io", of: "docker.io")
                == [helper("pass", "https://index.docker.io/v1/")])
        #expect(
            try steps(text, for: "http://mirror:5000", of: "docker.io")
                == [helper("pass", "mirror:5000"), helper("pass", "https://index.docker.io/v1/")])
    }

    @Test(arguments: ["../../bin/sh", "a b", "a;b", "a/b", "ä", "-\\u0000"])
    func `a helper's name cannot lead anywhere else`(_ name: String) throws {
        let words = message { _ = try steps(#"{"credHelpers": {"ghcr.io": "\#(name)"}}"#) }
        #expect(words?.contains("names a credential helper that is none") == true)
    }

    // MARK: The file

    @Test(arguments: ["", "[]", "{", #"{"auths": []}"#, #"{"auths": {"ghcr.io": "secret"}}"#])
    func `a file that is not Docker's is an error that names it`(_ text: String) throws {
        #expect(message { _ = try steps(text) } == "\(directory.path("config.json")) is not JSON as Docker writes it")
    }

    @Test func `what cannot be read is an error that names it, and a pipe is not waited for`() throws {
        let endpoint = try #require(UpstreamEndpoint("https://ghcr.io")).origin
        let fifo = directory.path("fifo")
        #expect(mkfifo(fifo, 0o600) == 0)
        let large = try directory.write([UInt8](repeating: 32, count: (1 << 20) + 1), to: "large")
        for path in [directory.path("none"), directory.path, fifo, large] {
            let config = DockerConfig(path: path, environment: [:])
            let words = message { _ = try config.steps(for: endpoint, of: "ghcr.io") }
            #expect(words?.hasPrefix("\(path) ") == true, "\(path): \(words ?? "")")
        }
    }

    @Test func `the file is read again when it is another, and the revision says whether its content is`() throws {
        let endpoint = try #require(UpstreamEndpoint("https://ghcr.io")).origin
        let config = try config(#"{"auths": {"ghcr.io": \#(Self.entry)}}"#)
        let first = try config.steps(for: endpoint, of: "ghcr.io")
        #expect(first.steps == [login("carol", "pa:ss")])
        #expect(config.revision == first.revision)

        // In place and by another file moved there, as editors and Docker do.
        try write(#"{"auths": {"ghcr.io": {"username": "u", "password": "longer"}}}"#)
        #expect(try config.steps(for: endpoint, of: "ghcr.io").steps == [login("u", "longer")])
        try write(#"{"auths": {"ghcr.io": {"username": "v", "password": "longer"}}}"#, to: "new")
        #expect(rename(directory.path("new"), config.path) == 0)
        let third = try config.steps(for: endpoint, of: "ghcr.io")
        #expect(third.steps == [login("v", "longer")])
        #expect(third.revision == first.revision + 2)

        try write(#"{ "auths": {"ghcr.io": {"username": "v", "password": "longer"}}}"#)
        #expect(config.revision == third.revision)
        #expect(unlink(config.path) == 0)
        #expect(throws: UpstreamError.self) { try config.steps(for: endpoint, of: "ghcr.io") }
        #expect(config.revision == third.revision + 1)
    }

    // MARK: At an upstream

    @Test func `a corrected password counts at once, and the revision tells of it`() async throws {
        try await Laboratory.runWithImage(.basic(username: "user", password: "secret")) { laboratory in
            let key = "127.0.0.1:\(laboratory.stub.port())"
            let config = try config(#"{"auths": {"\#(key)": {"username": "user", "password": "wrong"}}}"#)
            let recorder = WarningRecorder()
            let upstream = laboratory.upstream(from: .dockerConfig(config), logger: recorder.logger)
            guard case .credentialsRefused(let words) = await laboratory.resolve(upstream) else {
                Issue.record("expected a refusal of the credentials")
                return
            }
            #expect(words.hasSuffix(": check \(config.path)"))
            let revision = upstream.credentialRevision
            try write(#"{"auths": {"\#(key)": {"username": "user", "password": "secret"}}}"#)
            #expect(upstream.credentialRevision == revision + 1)
            #expect(await laboratory.resolve(upstream) == nil)
            #expect(recorder.warnings.count == 1)
        }
    }

    @Test func `tokens given for other credentials are not shown any more`() async throws {
        try await Laboratory.runWithImage(.bearer()) { laboratory in
            let config = try config(#"{"auths": {"docker.io": {"username": "a", "password": "1"}}}"#)
            let upstream = laboratory.upstream(from: .dockerConfig(config))
            #expect(await laboratory.resolve(upstream) == nil)
            #expect(await laboratory.resolve(upstream) == nil)
            #expect(laboratory.stub.log.tokensIssued == 1)
            try write(#"{"auths": {"docker.io": {"username": "b", "password": "22"}}}"#)
            #expect(await laboratory.resolve(upstream) == nil)
            let shown = laboratory.stub.log.requests("/token").map(\.authorization)
            #expect(shown == ["Basic YTox", "Basic YjoyMg=="])  // a:1, b:22
        }
    }

    @Test func `a file that cannot be read is told once, and keeps nobody from what is free`() async throws {
        try await Laboratory.runWithImage(.bearer()) { laboratory in
            let recorder = WarningRecorder()
            let config = DockerConfig(path: directory.path("none"), environment: [:])
            let upstream = laboratory.upstream(from: .dockerConfig(config), logger: recorder.logger)
            for _ in 0..<3 { #expect(await laboratory.resolve(upstream)?.isCredentialsRefused == true) }
            #expect(recorder.warnings.count == 1)
            #expect(recorder.warnings.first?.contains(config.path) == true)
            #expect(laboratory.stub.log.requests("/token").isEmpty)
        }
        try await Laboratory.runWithImage(.none) { laboratory in
            let config = DockerConfig(path: directory.path("none"), environment: [:])
            #expect(await laboratory.resolve(laboratory.upstream(from: .dockerConfig(config))) == nil)
        }
    }
}
