// A token service and one request to it, by the rules that hold for every answer.
import HTTPTypes
import Logging

/// Fetches tokens. Redirects are not followed: the answer is a secret, and so may be what is shown for it.
struct TokenService: Sendable {
    enum Reply: Sendable {
        case granted(Token, identityToken: String?)
        /// 401, 403, or what OAuth2 has in place of 401.
        /// `isVoid`: an identity token that is no good for anything any more (RFC 6749 §5.2, `invalid_grant`).
        case refused(status: Int, message: String, isVoid: Bool = false)
    }

    let sender: RequestSender

    /// - Parameter credentials: shown to it; nil: nothing.
    /// - Throws: whatever else comes of a request. A token service that has no such path is a failure, no unknown
    ///   image.
    func token(for request: TokenRequest, as credentials: Credentials?) async throws(UpstreamError) -> Reply {
        let wire = sender.wire
        let origin = request.realm.origin
        let message = request.message(as: credentials)
        let sent = sender.request(
            message.method, message.url, message.fields, body: message.body, version: .http2, to: .realm)
        let askedAt = wire.uptime()
        let answer = try await Deadline(sender.configuration.firstByteTimeout, clock: wire.clock).bound {
            () async throws(UpstreamError) in
            let exchange = Exchange(hasBody: true) { [rules = wire.rules] head, _ in
                if let refusal = rules.refusal(of: head, from: origin) { return .refuse(refusal) }
                guard (200...299).contains(head.status) else {
                    return .collect(limit: AnswerRules.errorBodyLimit, beyond: nil)
                }
                return .collect(
                    limit: TokenRequest.bodyLimit,
                    beyond: .refused("\(origin) answered more than \(TokenRequest.bodyLimit) bytes for a token"))
            }
            return try await exchange.answer(to: sent, over: wire.transport)
        }
        let status = answer.head.status
        if (200...299).contains(status) {
            let (token, identityToken) = try TokenRequest.token(in: answer.body, askedAt: askedAt)
            return .granted(token, identityToken: identityToken)
        }
        wire.logger.debug("no token", metadata: ["realm": "\(request.realm)", "status": "\(status)"])
        let words = AnswerRules.words(of: answer)
        if status == 400, credentials?.identityToken != nil, TokenRequest.isInvalidGrant(answer.body) {
            return .refused(status: 401, message: "\(origin.authority): \(words)", isVoid: true)
        }
        switch AnswerRules.error(of: answer, from: origin, isHome: true, now: wire.now()) {
        case .denied(let status, let message): return .refused(status: status, message: message)
        case .unknown(let message): throw .failed(status: status, message: message)
        case let error: throw error
        }
    }
}
