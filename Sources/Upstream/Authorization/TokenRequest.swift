// A challenge's token service asked for a token, and its answer read.
import FoundationEssentials
import HTTPTypes

/// `GET <realm>?service=…&scope=…`: distribution's token authentication specification.
struct TokenRequest: Sendable {
    static let bodyLimit = 256 * 1024

    /// Trusted already, by `UpstreamConfiguration.realm`.
    let realm: UpstreamURL
    let service: String?
    let scope: String

    var url: UpstreamURL {
        realm.adding((service.map { [("service", $0)] } ?? []) + [("scope", scope)])
    }

    /// The token of a 2xx answer.
    ///
    /// - Parameter askedAt: taken before the request was sent, so that the lifetime is never overrated.
    static func token(in body: [UInt8], askedAt: Duration) throws(UpstreamError) -> Token {
        struct Body: Decodable {
            let token: String?
            let accessToken: String?
            let expiresIn: Double?

            enum CodingKeys: String, CodingKey {
                case token
                case accessToken = "access_token"
                case expiresIn = "expires_in"
            }
        }
        // What exactly is wrong with a stranger's JSON matters to nobody: there is no token in it.
        guard let body = try? JSONDecoder().decode(Body.self, from: Data(body)) else {
            throw .refused("the token service answered no JSON object with a token")
        }
        let texts = [body.token, body.accessToken].compactMap { $0 }.filter { !$0.isEmpty }
        guard let text = texts.first, text.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw .refused("the token service answered no token that fits a header field")
        }
        let lifetime = body.expiresIn.map { Duration.seconds(min(max($0, 0), 86_400)) } ?? Token.defaultLifetime
        return Token(text: text, askedAt: askedAt, lifetime: lifetime)
    }
}
