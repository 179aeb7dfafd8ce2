// What a StubRegistry answers when nothing is wrong with it.
import Foundation
import OCI
import Synchronization

/// How a StubRegistry wants to be spoken to.
package enum StubAuthentication: Sendable {
    case none
    case basic(username: String, password: String)
    case bearer(StubBearer)

    package static func bearer() -> StubAuthentication { .bearer(StubBearer()) }
}

package struct StubBearer: Sendable {
    /// Which port the realm names: the registry's own, or the tokens'.
    package var door = StubDoor.registry
    /// Instead of that port's `/token`.
    package var realm: String?
    /// Left out of the answer if nil.
    package var expiresIn: Int? = 300
    /// Whom the token service knows; nil: it gives tokens to anyone.
    package var username: String?
    package var password: String?
    /// The member that holds the token.
    package var member = "token"
    /// What the form of OAuth2 has to show; nil: no such form is known, and it is answered 405.
    package var identityToken: String?
    /// Every form is answered with another identity token too, "identity-2" and so on, and the earlier ones are no
    /// good any more.
    package var rotates = false
    /// A token that no service gave and that is good for every scope.
    package var registryToken: String?
    /// Instead of the scope that is needed.
    package var scope: String?

    package init() {}
}

package struct StubOptions: Sendable {
    package var authentication: StubAuthentication
    /// Blobs are answered 307 to the blobs' port, with a signature in the query; that port refuses `Authorization`.
    package var redirectsBlobs: Bool
    /// Docker Hub's rate-limit fields on manifests.
    package var rateLimit: (limit: Int, remaining: Int)?

    package init(
        authentication: StubAuthentication = .none, redirectsBlobs: Bool = false,
        rateLimit: (limit: Int, remaining: Int)? = nil
    ) {
        self.authentication = authentication
        self.redirectsBlobs = redirectsBlobs
        self.rateLimit = rateLimit
    }
}

struct StubAnswer: Sendable {
    var status: Int
    var fields: [(name: String, value: String)] = []
    var body: [UInt8] = []
    /// A blob's or manifest's, whose bytes are counted and whose body faults act.
    var isContent = false

    static func json(_ status: Int, _ text: String, _ fields: [(name: String, value: String)] = []) -> StubAnswer {
        StubAnswer(
            status: status, fields: [("Content-Type", "application/json")] + fields, body: Array(text.utf8))
    }

    static func error(_ status: Int, _ code: ErrorCode, _ fields: [(name: String, value: String)] = []) -> StubAnswer {
        StubAnswer(
            status: status, fields: [("Content-Type", "application/json")] + fields, body: ErrorBody.json(code))
    }

    static func content(_ blob: TestBlob, type: String) -> StubAnswer {
        StubAnswer(
            status: 200,
            fields: [
                ("Content-Type", type), ("Docker-Content-Digest", "\(blob.digest)"), ("ETag", "\"\(blob.digest)\""),
                ("Accept-Ranges", "bytes"),
            ], body: blob.bytes, isContent: true)
    }
}

extension StubRegistry {
    /// The right answer, before any fault and before `Range`.
    func answer(to request: StubRequest) -> StubAnswer {
        switch request.door {
        case .tokens: return token(request)
        case .blobs: return signedBlob(request)
        case .registry:
            if request.path == "/token" { return token(request) }
            guard let endpoint = try? Endpoint(path: request.path) else { return .error(404, .unsupported) }
            if let refusal = refusal(of: request, for: endpoint) { return refusal }
            return answer(to: request, at: endpoint)
        }
    }

    private func answer(to request: StubRequest, at endpoint: Endpoint) -> StubAnswer {
        switch endpoint {
        case .base: return .json(200, "{}")
        case .manifest(let name, let reference):
            return manifest(name, reference)
        case .blob(let name, let digest):
            let blob = state.withLock { state in
                state.repositories["\(name)"]?.blobs.contains(digest) == true ? state.content[digest] : nil
            }
            guard let blob else { return .error(404, .blobUnknown) }
            guard options.redirectsBlobs else { return .content(blob, type: "application/octet-stream") }
            let location = "\(url(.blobs))/store/\(digest)?signature=secret&for=\(request.method)"
            return StubAnswer(status: 307, fields: [("Location", location)], body: Array("moved".utf8))
        case .tags(let name):
            return tags(name, request.query ?? "")
        case .referrers, .uploads, .upload, .catalog: return .error(404, .unsupported)
        }
    }

    private func manifest(_ name: RepositoryName, _ reference: Reference) -> StubAnswer {
        let blob = state.withLock { state -> TestBlob? in
            guard let repository = state.repositories["\(name)"] else { return nil }
            switch reference {
            case .tag(let tag): return repository.tags["\(tag)"].flatMap { state.content[$0] }
            case .digest(let digest): return repository.manifests.contains(digest) ? state.content[digest] : nil
            }
        }
        guard let blob else { return .error(404, .manifestUnknown) }
        var answer = StubAnswer.content(blob, type: "\(blob.mediaType)")
        if let (limit, remaining) = options.rateLimit {
            answer.fields += [
                ("RateLimit-Limit", "\(limit);w=21600"), ("RateLimit-Remaining", "\(remaining);w=21600"),
                ("Docker-RateLimit-Source", "127.0.0.1"),
            ]
        }
        return answer
    }

    private func tags(_ name: RepositoryName, _ query: String) -> StubAnswer {
        guard let repository = state.withLock({ $0.repositories["\(name)"] }) else { return .error(404, .nameUnknown) }
        let last = Self.value("last", in: query)
        let tags = repository.tags.keys.sorted().filter { tag in last.map { tag > $0 } ?? true }
        let page = tags.prefix(Self.value("n", in: query).flatMap { Int($0) } ?? tags.count)
        let list = page.map { "\"\($0)\"" }.joined(separator: ",")
        var fields: [(name: String, value: String)] = []
        if page.count < tags.count, let end = page.last {
            fields.append(("Link", "</v2/\(name)/tags/list?last=\(end)&n=\(page.count)>; rel=\"next\""))
        }
        return .json(200, "{\"name\":\"\(name)\",\"tags\":[\(list)]}", fields)
    }

    private func signedBlob(_ request: StubRequest) -> StubAnswer {
        let plain = [(name: "Content-Type", value: "text/plain")]
        guard !request.isAuthorized else {
            return StubAnswer(status: 400, fields: plain, body: Array("only one auth mechanism allowed".utf8))
        }
        guard request.query?.contains("signature=secret") == true else {
            return StubAnswer(status: 403, fields: plain, body: Array("not signed".utf8))
        }
        let digest = request.path.split(separator: "/").last.flatMap { Digest($0) }
        guard let blob = digest.flatMap({ digest in state.withLock { $0.content[digest] } }) else {
            return StubAnswer(status: 404, fields: plain, body: Array("no such key".utf8))
        }
        return .content(blob, type: "application/octet-stream")
    }

    // MARK: Who may

    private func token(_ request: StubRequest) -> StubAnswer {
        guard case .bearer(let bearer) = options.authentication else { return .error(404, .unsupported) }
        if request.method == "POST" { return tokenByForm(request, bearer) }
        if let username = bearer.username {
            guard request.authorization == Self.basic(username, bearer.password ?? "") else {
                return .json(401, "{\"details\":\"incorrect username or password\"}")
            }
        }
        return grant(Self.value("scope", in: request.query ?? "") ?? "", bearer)
    }

    /// distribution's "OAuth2 Token Authentication".
    private func tokenByForm(_ request: StubRequest, _ bearer: StubBearer) -> StubAnswer {
        guard let first = bearer.identityToken else { return .error(405, .unsupported) }
        let form = String(decoding: request.body, as: UTF8.self)
        let isForm = request["Content-Type"] == "application/x-www-form-urlencoded"
        let asks = Self.value("grant_type", in: form) == "refresh_token" && Self.value("client_id", in: form) != nil
        guard isForm, asks else { return .json(400, "{\"error\":\"invalid_request\"}") }
        let isKnown = state.withLock { Self.value("refresh_token", in: form) == $0.identityToken ?? first }
        guard isKnown else { return .json(401, "{\"error\":\"invalid_grant\"}") }
        var other: String?
        if bearer.rotates {
            other = state.withLock { state in
                state.identityToken = "identity-\(state.lastToken + 2)"
                return state.identityToken
            }
        }
        return grant(Self.value("scope", in: form) ?? "", bearer, identityToken: other)
    }

    private func grant(_ scope: String, _ bearer: StubBearer, identityToken: String? = nil) -> StubAnswer {
        let number = state.withLock { state in
            state.lastToken += 1
            state.tokens["token-\(state.lastToken)"] = scope
            return state.lastToken
        }
        watched.change { $0.tokensIssued += 1 }
        let expiry = bearer.expiresIn.map { ",\"expires_in\":\($0)" } ?? ""
        let other = identityToken.map { ",\"refresh_token\":\"\($0)\"" } ?? ""
        return .json(200, "{\"\(bearer.member)\":\"token-\(number)\"\(expiry)\(other)}")
    }

    private func refusal(of request: StubRequest, for endpoint: Endpoint) -> StubAnswer? {
        switch options.authentication {
        case .none: return nil
        case .basic(let username, let password):
            if request.authorization == Self.basic(username, password) { return nil }
            return .error(401, .unauthorized, [("WWW-Authenticate", "Basic realm=\"stub\"")])
        case .bearer(let bearer):
            let scope = bearer.scope ?? endpoint.repository.map { "repository:\($0):pull" }
            let shown = request.authorization.flatMap { $0.hasPrefix("Bearer ") ? String($0.dropFirst(7)) : nil }
            let given = shown.flatMap { token in state.withLock { $0.tokens[token] } }
            if let given, scope == nil || given == scope { return nil }
            if let shown, shown == bearer.registryToken { return nil }
            let realm = bearer.realm ?? "\(url(bearer.door))/token"
            let challenge = "Bearer realm=\"\(realm)\",service=\"stub\"" + (scope.map { ",scope=\"\($0)\"" } ?? "")
            return .error(401, .unauthorized, [("WWW-Authenticate", challenge)])
        }
    }

    private static func basic(_ username: String, _ password: String) -> String {
        "Basic " + Data("\(username):\(password)".utf8).base64EncodedString()
    }

    private static func value(_ name: String, in query: String) -> String? {
        query.split(separator: "&").first { $0.hasPrefix("\(name)=") }
            .flatMap { String($0.dropFirst(name.count + 1)).removingPercentEncoding }
    }
}

extension Endpoint {
    fileprivate var repository: RepositoryName? {
        switch self {
        case .base, .catalog: nil
        case .manifest(let name, _), .blob(let name, _), .tags(let name), .referrers(let name, _), .uploads(let name),
            .upload(let name, _):
            name
        }
    }
}
