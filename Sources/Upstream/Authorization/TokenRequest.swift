// A challenge's token service asked for a token, and its answer read.
import FoundationEssentials
import HTTPTypes

/// One request to a token service.
///
/// Without credentials, or with a user name and password: `GET <realm>?service=…&scope=…`, distribution's "Token
/// Authentication Specification". With an identity token: `POST` of a form, its "OAuth2 Token Authentication".
struct TokenRequest: Hashable, Sendable {
    static let bodyLimit = 256 * 1024
    /// Bytes of a token; no server takes a longer field.
    static let tokenLimit = 16 * 1024
    /// Believed for no longer, whatever a service says; seconds.
    private static let longestLifetime = 3600.0
    private static let client = "wharf"

    /// Trusted already, by `UpstreamConfiguration.realm`.
    let realm: UpstreamURL
    let service: String?
    let scope: TokenScope

    /// What goes over the wire to have it.
    struct Message: Sendable {
        let method: HTTPRequest.Method
        let url: UpstreamURL
        var fields = HTTPFields()
        var body: [UInt8] = []
    }

    func message(as credentials: Credentials?) -> Message {
        let service = service.map { [(name: "service", value: $0)] } ?? []
        guard let identityToken = credentials?.identityToken else {
            var message = Message(method: .get, url: realm.adding(service + scope.parts.map { ("scope", $0) }))
            message.fields[.authorization] = credentials?.basic
            return message
        }
        // The query of a URL and a form are written alike where all but the unreserved is percent-encoded.
        let form = UpstreamURL(origin: realm.origin, path: "/").adding(
            [("grant_type", "refresh_token")] + service
                + [("scope", scope.text), ("client_id", Self.client), ("refresh_token", identityToken)])
        var message = Message(method: .post, url: realm, body: Array((form.query ?? "").utf8))
        message.fields[.contentType] = "application/x-www-form-urlencoded"
        return message
    }

    /// The token of a 2xx answer, and the identity token that takes the place of the one that was shown.
    ///
    /// - Parameter askedAt: taken before the request was sent, so that the lifetime is never overrated.
    static func token(
        in body: [UInt8], askedAt: Duration
    ) throws(UpstreamError) -> (token: Token, identityToken: String?) {
        struct Body: Decodable {
            let token: String?
            let accessToken: String?
            let refreshToken: String?
            let expiresIn: Double?

            enum CodingKeys: String, CodingKey {
                case token
                case accessToken = "access_token"
                case refreshToken = "refresh_token"
                case expiresIn = "expires_in"
            }
        }
        // What exactly is wrong with a stranger's JSON matters to nobody: there is no token in it.
        guard let body = try? JSONDecoder().decode(Body.self, from: Data(body)) else {
            throw .refused("the token service answered no JSON object with a token")
        }
        let texts = [body.token, body.accessToken].compactMap { $0 }.filter { !$0.isEmpty }
        guard let text = texts.first, text.utf8.count <= tokenLimit, Token.fitsField(text) else {
            throw .refused("the token service answered no token that fits a header field")
        }
        let seconds = body.expiresIn.map { min(max($0, 0), longestLifetime) }
        let lifetime = seconds.map { Duration.seconds($0) } ?? Token.defaultLifetime
        let identityToken = body.refreshToken.flatMap { $0.isEmpty ? nil : $0 }
        return (Token(text: text, askedAt: askedAt, lifetime: lifetime), identityToken)
    }

    /// Whether a 400 says that the identity token is no good: RFC 6749 §5.2.
    static func isInvalidGrant(_ body: [UInt8]) -> Bool {
        struct Body: Decodable {
            let error: String
        }
        // Any other body is another failure.
        return (try? JSONDecoder().decode(Body.self, from: Data(body)))?.error == "invalid_grant"
    }
}
