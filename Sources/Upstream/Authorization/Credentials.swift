// A user name and a password, or a token in their place, that nothing prints.
import FoundationEssentials

/// Who we are to an upstream. Printed, interpolated or dumped, it reads `<redacted>`.
package struct Credentials: Hashable, Sendable {
    private enum Secret: Hashable, Sendable {
        case password(String)
        /// Exchanged at the token service for tokens (OAuth2's refresh token).
        case identityToken(String)
        /// Shown to the registry as it is.
        case registryToken(String)
    }

    /// Empty where a token says it all.
    private let username: String
    private let secret: Secret

    package init(username: String, password: String) {
        self.username = username
        secret = .password(password)
    }

    /// Takes the password from a file, without the line end that editors leave there.
    package init(username: String, passwordFile path: String) throws {
        var password = try String(contentsOfFile: path, encoding: .utf8)
        while password.hasSuffix("\n") || password.hasSuffix("\r\n") { password.removeLast() }
        self.init(username: username, password: password)
    }

    /// - Parameter username: only to be told whose it is.
    package init(identityToken: String, username: String = "") {
        self.username = username
        secret = .identityToken(identityToken)
    }

    /// - Parameter username: only to be told whose it is.
    package init(registryToken: String, username: String = "") {
        self.username = username
        secret = .registryToken(registryToken)
    }

    /// RFC 7617 §2, for an `Authorization` field; nil for tokens.
    var basic: String? {
        guard case .password(let password) = secret else { return nil }
        return "Basic " + Data("\(username):\(password)".utf8).base64EncodedString()
    }

    var identityToken: String? { if case .identityToken(let token) = secret { token } else { nil } }

    /// Nil too where it does not fit a header field.
    var registryToken: String? {
        guard case .registryToken(let token) = secret, Token.fitsField(token) else { return nil }
        return token
    }

    /// The same credentials after the token service has given another token in place of theirs.
    func rotated(to identityToken: String) -> Credentials {
        Credentials(identityToken: identityToken, username: username)
    }

    /// Whose they are, printable and without anything secret.
    var owner: String {
        let name = AnswerRules.printable(username, limit: 64)
        return switch secret {
        case .password: "user \(name)"
        case .identityToken: "the identity token" + (name.isEmpty ? "" : " of \(name)")
        case .registryToken: "the registry token" + (name.isEmpty ? "" : " of \(name)")
        }
    }
}

extension Credentials: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String { "<redacted>" }
    package var debugDescription: String { "<redacted>" }
    package var customMirror: Mirror { Mirror(self, children: [:]) }
}

/// Where the credentials of an upstream come from.
package enum CredentialSource: Sendable {
    case anonymous
    case login(Credentials)
    case dockerConfig(DockerConfig)

    package var isAnonymous: Bool { if case .anonymous = self { true } else { false } }

    /// Where to look when they are not accepted.
    var advice: String {
        switch self {
        case .anonymous: "there are none"
        case .login: "check username and password-file"
        case .dockerConfig(let config): "check \(config.path)"
        }
    }
}
