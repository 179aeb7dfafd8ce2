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

    var description: String { "<redacted>" }
    var debugDescription: String { "<redacted>" }
    var customMirror: Mirror { Mirror(self, children: [:]) }
}

enum Authorization: Equatable, Sendable {
    case basic(Credentials)
    case bearer(Token)

    /// RFC 7617 §2, RFC 6750 §2.1.
    var fieldValue: String {
        switch self {
        case .basic(let credentials): credentials.basic
        case .bearer(let token): "Bearer \(token.text)"
        }
    }
}
