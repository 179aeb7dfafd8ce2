// What a config.json says, by host: the many ways to write a registry's name made one. Pure.
import FoundationEssentials

/// A parsed `config.json`.
struct DockerConfigContent: Equatable, Sendable {
    /// Bytes.
    static let sizeLimit = 1 << 20

    /// What is wrong with the file, or with an entry, from which only its own registry suffers; the words go on from
    /// the file's name.
    struct Mistake: Error, Equatable {
        let words: String
    }

    private struct Entry: Decodable {
        let auth, username, password, identitytoken, registrytoken: String?
    }

    private struct File: Decodable {
        let auths: [String: Entry?]?
        let credHelpers: [String: String]?
        let credsStore: String?
    }

    private var logins: [String: Result<Credentials, Mistake>] = [:]
    private var helpers: [String: String] = [:]
    private let store: String?

    /// Nil where it is no JSON object, or a key of ours is of another type.
    init?(parsing bytes: some Sequence<UInt8>) {
        // What exactly is wrong is not told: the decoder's words may hold a piece of the file.
        guard let file = try? JSONDecoder().decode(File.self, from: Data(bytes)) else { return nil }
        store = file.credsStore
        // Sorted, so that of several keys for one registry it is always the same that counts.
        for (key, name) in (file.credHelpers ?? [:]).sorted(by: { $0.key < $1.key }) {
            guard let host = RegistryKey.host(of: key), helpers[host] == nil else { continue }
            helpers[host] = name
        }
        for (key, entry) in (file.auths ?? [:]).sorted(by: { $0.key < $1.key }) {
            guard let host = RegistryKey.host(of: key), let entry, let login = Self.login(entry, of: key) else {
                continue
            }
            if case .success = logins[host] { continue }
            logins[host] = login
        }
    }

    func steps(for registry: RegistryKey) throws(Mistake) -> [DockerConfig.Step] {
        var steps: [DockerConfig.Step] = []
        let name = registry.names.compactMap { helpers[$0] }.first ?? store ?? ""
        if !name.isEmpty {
            guard let helper = CredentialHelper(name) else {
                throw Mistake(words: "names a credential helper that is none: letters, digits and ._- make one")
            }
            steps.append(.helper(helper, server: registry.server))
        }
        if let login = registry.names.compactMap({ logins[$0] }).first { steps.append(.credentials(try login.get())) }
        return steps
    }

    /// Nil for an entry that holds nothing, as Docker leaves it where a helper has the credentials.
    private static func login(_ entry: Entry, of key: String) -> Result<Credentials, Mistake>? {
        var (username, password) = (entry.username ?? "", entry.password ?? "")
        if let auth = entry.auth, !auth.isEmpty {
            guard let text = Data(base64Encoded: auth).flatMap({ String(validating: $0, as: UTF8.self) }),
                let colon = text.firstIndex(of: ":")
            else {
                let key = AnswerRules.printable(key, limit: 128)
                return .failure(Mistake(words: "has an auth for \(key) that is no base64 of user:password"))
            }
            username = String(text[..<colon])
            password = String(text[text.index(after: colon)...])
            while password.last == "\0" { password.removeLast() }  // as docker/cli does
        }
        if let token = entry.registrytoken, !token.isEmpty {
            return .success(Credentials(registryToken: token, username: username))
        }
        if let token = entry.identitytoken, !token.isEmpty {
            return .success(Credentials(identityToken: token, username: username))
        }
        return username.isEmpty ? nil : .success(Credentials(username: username, password: password))
    }
}

/// One registry by all the names that a key may have for it.
struct RegistryKey: Equatable, Sendable {
    /// Docker Hub's, whose helpers know it by this alone.
    private static let dockerHub = "docker.io"
    private static let dockerHubServer = "https://index.docker.io/v1/"

    /// Lowercase, `host` or `host:port`.
    let names: [String]
    /// What a helper is asked for.
    let server: String

    /// An endpoint's own name, and its upstream's if that is another.
    static func candidates(for endpoint: UpstreamURL.Origin, of upstream: String) -> [RegistryKey] {
        let own = canonical(endpoint.authority)
        let named = canonical(upstream.lowercased())
        let key = RegistryKey(names: [own, "\(endpoint.host):\(endpoint.port)"], server: server(own))
        return key.names.contains(named) ? [key] : [key, RegistryKey(names: [named], server: server(named))]
    }

    /// The host that a key of `config.json` is for: `host`, or a URL of it with nothing but the API's root behind. Nil
    /// for any other, such as a key for one repository: what is meant for a part is not for the whole.
    static func host(of key: String) -> String? {
        var rest = key.lowercased()[...]
        if let scheme = ["https://", "http://"].first(where: { rest.hasPrefix($0) }) { rest.removeFirst(scheme.count) }
        let parts = rest.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard let host = parts.first, !host.isEmpty else { return nil }
        guard parts.count == 1 || ["", "v1", "v1/", "v2", "v2/"].contains(parts[1]) else { return nil }
        return canonical(String(host))
    }

    private static func canonical(_ host: String) -> String {
        ["index.docker.io", "registry-1.docker.io"].contains(host) ? dockerHub : host
    }

    private static func server(_ host: String) -> String { host == dockerHub ? dockerHubServer : host }
}
