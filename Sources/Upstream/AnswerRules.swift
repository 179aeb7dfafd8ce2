// Which answers may be used, decided from their heads; and what is said about those that may not. Pure.
import HTTPSemantics
import HTTPTypes
import OCI

/// The rules for one question. contract 5.6: never used are HTML, a 206 nobody asked for, an answer that has already
/// been through here.
struct AnswerRules: Sendable {
    /// Of any body but a manifest, tags list, token or blob: bytes kept for the message.
    static let errorBodyLimit = 64 * 1024

    /// The pseudonym that this program puts into `Via` (RFC 9110 §7.6.3).
    let pseudonym: String

    /// Nil if the answer may be used or is an error, whose status tells the rest.
    func refusal(of head: ResponseHead, from origin: UpstreamURL.Origin) -> UpstreamError? {
        if Via(head.fields[values: .via]).leadsBack(to: pseudonym) {
            return .unreachable(.proxyLoopDetected, "\(origin) leads back to this mirror")
        }
        guard (200...299).contains(head.status) else { return nil }
        guard Self.mediaType(of: head) != "text/html" else {
            return .refused("\(origin) answered with an HTML page")
        }
        return nil
    }

    /// The bytes a blob's 2xx brings, or why it may not be used.
    ///
    /// RFC 9110 §15.3.7: a 206 must be for a range that was asked for; a 200 may always come instead.
    static func blobRange(
        of head: ResponseHead, asked: BlobRange?, from origin: UpstreamURL.Origin
    ) -> Result<ContentRange?, UpstreamError> {
        switch head.status {
        case 200: return .success(nil)
        case 206:
            guard let asked else { return .failure(.contradicted("\(origin) answered 206 to a request without Range")) }
            guard mediaType(of: head) != "multipart/byteranges" else {  // §15.3.7.2: only where several were asked for
                return .failure(.refused("\(origin) answered several ranges where one was asked for"))
            }
            guard let range = head.fields[.contentRange].flatMap({ ContentRange($0) }), range.first == asked.first,
                asked.includes(range), head.length.map({ $0 == range.last - range.first + 1 }) ?? true
            else { return .failure(.contradicted("\(origin) answered another range than was asked for")) }
            return .success(range)
        default: return .failure(.failed(status: head.status, message: "no answer to GET of a blob"))
        }
    }

    /// What a status of 3xx to 5xx means. A host that was redirected to speaks for itself, not for the registry:
    /// its 404 or 403 is a failure, as is a 404 that another mirror made of a failure (RFC 9209). A 416 to a range is
    /// about the bytes, whoever sends it (RFC 9110 §15.5.17).
    static func error(
        of answer: Answer, from origin: UpstreamURL.Origin, isHome: Bool, hasRange: Bool = false, now: Int64
    ) -> UpstreamError {
        let (head, status) = (answer.head, answer.head.status)
        let message = "\(origin.authority): \(words(of: answer))"
        guard status != 429 else {
            let delay = head.fields[.retryAfter].flatMap { RetryAfter.parse($0, now: now) }
            return .rateLimited(retryAfter: delay, message: message)
        }
        if status == 416, hasRange {
            return .unsatisfiable(size: head.fields[.contentRange].flatMap { ContentRange.unsatisfiedSize($0) })
        }
        guard isHome else { return .failed(status: status, message: message) }
        switch status {
        case 401 where isMirrorsFailure(head), 403 where isMirrorsFailure(head), 404 where hasProxyError(head):
            return .failed(status: status, message: message)
        case 404: return .unknown(message: message)
        case 401, 403: return .denied(status: status, message: message)
        case 508: return .unreachable(.proxyLoopDetected, message)
        default: return .failed(status: status, message: message)
        }
    }

    /// What a proxy that forwards in the clear has answered in the upstream's place; nil where nothing tells the two
    /// apart. Registries do not speak HTML, proxies do.
    static func proxyError(of answer: Answer, proxy: ProxyURL) -> UpstreamError? {
        let status = answer.head.status
        if status == 407 {
            return .unreachable(.proxyConfigurationError, "the proxy \(proxy) wants another user name or password")
        }
        guard mediaType(of: answer.head) == "text/html" else { return nil }
        return .failed(status: status, message: "the proxy \(proxy) answered \(status) with an HTML page")
    }

    /// What the body says, in one printable line: the first error of an OCI body, or the start of a plain text.
    static func words(of answer: Answer) -> String {
        let text: String
        if let body = ErrorBody(parsing: answer.body) {
            text = body.message.isEmpty ? body.code : "\(body.code): \(body.message)"
        } else if mediaType(of: answer.head) == "text/plain" {
            text = String(decoding: answer.body.prefix(1024), as: UTF8.self)
        } else {
            text = ""
        }
        let words = printable(text, limit: 240)
        return words.isEmpty ? "HTTP \(answer.head.status)" : words
    }

    /// The first line of a text without what a terminal would obey.
    static func printable(_ text: String, limit: Int) -> String {
        let line = text.unicodeScalars.prefix { $0 != "\n" && $0 != "\r" }.filter { $0.properties.isPrintable }
        return String(String.UnicodeScalarView(line.prefix(limit)))
    }

    private static func mediaType(of head: ResponseHead) -> String? {
        head.fields[.contentType].flatMap { MediaType(field: $0) }?.rawValue
    }

    private static func hasProxyError(_ head: ResponseHead) -> Bool { !proxyErrors(head).isEmpty }

    /// Whether another mirror's no is about that mirror, and not what its upstream has said.
    private static func isMirrorsFailure(_ head: ResponseHead) -> Bool {
        proxyErrors(head).contains { $0 != ProxyError.httpRequestError.rawValue }
    }

    private static func proxyErrors(_ head: ResponseHead) -> [Substring] {
        guard let name = HTTPField.Name(ProxyStatus.fieldName), let field = head.fields[name] else { return [] }
        return field.split { $0 == ";" || $0 == "," || $0 == " " }.filter { $0.hasPrefix("error=") }.map {
            $0.dropFirst("error=".count)
        }
    }
}

extension BlobRange {
    fileprivate func includes(_ range: ContentRange) -> Bool {
        if case .part(let asked) = self { range.last <= asked.upperBound } else { true }
    }
}

extension Unicode.Scalar.Properties {
    fileprivate var isPrintable: Bool {
        switch generalCategory {
        case .control, .format, .surrogate, .privateUse, .unassigned, .lineSeparator, .paragraphSeparator: false
        default: true
        }
    }
}
