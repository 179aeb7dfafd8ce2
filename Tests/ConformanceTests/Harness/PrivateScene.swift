// The scene of the tests about credentials: a docker-registry that lets only some people pull, and a mirror of it.

import Foundation

struct PrivateScene: Sendable {
    let bench: Bench
    let seed: Seed
    let tokens: TokenServer
    /// Between mirror and registry; its log has what was shown to the registry.
    let upstream: Recorder
    let mirror: Mirror

    static let user = "alice"
    static let password = "token-secret-9"
    static let refreshToken = "refresh-secret-3"

    /// Someone who may pull the images of `library`.
    static let alice = TokenServer.Guest(
        name: user, password: password, refreshToken: refreshToken, repositories: ["library/.*"])
    /// Who comes without credentials, gets a token as from Docker Hub, and may pull nothing with it.
    static let stranger = TokenServer.Guest()

    static let manifest = "/v2/library/harbour/manifests/latest"

    var blobs: [String] { seed.harbour.blobs.map { "/v2/library/harbour/blobs/\($0.digest)" } }
}

/// Keys of the upstream that log in with a password.
func login(_ user: String, _ password: String, on bench: Bench) throws -> [String] {
    ["username: \(user)", "password-file: \(try bench.write(password + "\n", to: "password"))"]
}

/// What a mirror has to show.
enum PrivateAccess: Sendable {
    case none
    case password(String)
    /// The text of Docker's `config.json`, which lies on the bench under that name.
    case dockerConfig(String)

    fileprivate func keys(on bench: Bench) throws -> [String] {
        switch self {
        case .none: []
        case .password(let password): try login(PrivateScene.user, password, on: bench)
        case .dockerConfig(let text): ["docker-config: \(try bench.write(text, to: "config.json"))"]
        }
    }
}

/// Sets a scene with docker-registry's token authentication.
/// - Parameters:
///   - delay: seconds that the token service takes.
///   - helper: the shell script of a credential helper named `wharf-tests`, on the mirror's PATH.
///   - keys: of the upstream, besides `auth-hosts`.
///   - others: lines of the configuration outside `upstreams`.
func withPrivate(
    _ access: PrivateAccess = .password(PrivateScene.password), delay: Double = 0, helper: String? = nil,
    keys: [String] = [], others: [String] = [], _ body: (PrivateScene) async throws -> Void
) async throws {
    let seed = try await Seed.shared()
    try await withBench { bench in
        let tokens = try await TokenServer.start(on: bench, [PrivateScene.alice, PrivateScene.stranger], delay: delay)
        let registry = try await DebianRegistry.start(
            on: bench, storage: seed.storage, authentication: tokens.authentication)
        let upstream = try await Recorder.start(on: bench, to: registry.port)
        let programs = try bench.makeFolder("bin")
        if let helper {
            let path = try bench.write(helper, to: "bin/docker-credential-wharf-tests")
            try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: path)
        }
        let keys = try ["auth-hosts: [\"\(tokens.authority)\"]"] + access.keys(on: bench) + keys
        let mirror = try await Mirror.start(
            on: bench, configuration: others.map { "\($0)\n" }.joined() + Mirror.dockerHub(on: upstream.port, keys),
            surroundings: Surroundings(variables: ["PATH": "\(programs):\(Programs.searchPath)"]))
        try await body(
            PrivateScene(bench: bench, seed: seed, tokens: tokens, upstream: upstream, mirror: mirror))
    }
}

extension Mirror {
    /// Its warnings and errors so far.
    var complaints: [String] {
        child.outputText().split(separator: "\n").map(String.init)
            .filter { $0.contains(" warning ") || $0.contains(" error ") }
    }
}
