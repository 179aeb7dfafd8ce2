// What is shown to an endpoint in its `Authorization` field.

/// A bearer token and how long it may be used. Its text prints as `<redacted>`.
struct Token: Equatable, Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// As the token specification has it where `expires_in` is absent.
    static let defaultLifetime = Duration.seconds(60)

    let text: String
    /// On the asker's own clock, from just before the token was asked for.
    let expiry: Duration
    /// From here on a new one is fetched: a little before the expiry, so that no request dies of it on its way.
    let refreshAt: Duration

    init(text: String, askedAt: Duration, lifetime: Duration) {
        self.text = text
        expiry = askedAt + lifetime
        refreshAt = expiry - min(.seconds(10), lifetime / 4)
    }

    /// Visible ASCII alone: what a stranger sends cannot end the field it is put into.
    static func fitsField(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.allSatisfy { (0x21...0x7E).contains($0) }
    }

    var description: String { "<redacted>" }
    var debugDescription: String { "<redacted>" }
    var customMirror: Mirror { Mirror(self, children: [:]) }
}

/// Credentials, and the revision of their source that they are of: another revision may be other credentials.
struct Identity: Equatable, Sendable {
    let credentials: Credentials
    let revision: Int
}

enum Authorization: Equatable, Sendable {
    /// A token of a token service, for one scope.
    case bearer(Token)
    /// The credentials themselves, as the value of the field.
    case own(Identity, fieldValue: String)

    /// RFC 7617 §2; nil for credentials that are no user name and password.
    static func basic(_ identity: Identity) -> Authorization? {
        identity.credentials.basic.map { .own(identity, fieldValue: $0) }
    }

    /// RFC 6750 §2.1; nil for credentials that are no registry's token.
    static func registryToken(_ identity: Identity) -> Authorization? {
        identity.credentials.registryToken.map { .own(identity, fieldValue: "Bearer \($0)") }
    }

    var fieldValue: String {
        switch self {
        case .bearer(let token): "Bearer \(token.text)"
        case .own(_, let fieldValue): fieldValue
        }
    }
}

extension Authorization: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    var description: String { "<redacted>" }
    var debugDescription: String { "<redacted>" }
    var customMirror: Mirror { Mirror(self, children: [:]) }
}
