// What may follow a redirect, and what must be dropped on the way.
import HTTPTypes

/// One question's way from hop to hop.
struct Redirects {
    static let limit = 5

    private let home: UpstreamURL.Origin
    private(set) var url: UpstreamURL
    private var count = 0

    /// - Parameter home: the endpoint's own origin.
    init(from url: UpstreamURL, home: UpstreamURL.Origin) {
        self.home = home
        self.url = url
    }

    /// Whether the way was chosen by an answer, and not by us.
    var isRedirected: Bool { count > 0 }

    /// Credentials and tokens go to the endpoint's own scheme, host and port and nowhere else.
    var isHome: Bool { url.origin == home }

    static func isRedirect(_ status: Int) -> Bool {
        switch status {
        case 301, 302, 303, 307, 308: true
        default: false
        }
    }

    /// Goes where the answer points. The method stays: only GET and HEAD are ever sent (RFC 9110 §15.4).
    ///
    /// The errors name hosts and paths, never a query: a signed `Location` is a secret.
    mutating func follow(_ head: ResponseHead) throws(UpstreamError) {
        count += 1
        guard count <= Self.limit else { throw .refused("\(home) leads on through more than \(Self.limit) redirects") }
        guard let location = head.fields[.location], let target = url.resolving(location) else {
            throw .refused("\(url.origin) answered \(head.status) without a Location that can be followed")
        }
        guard target.origin.isSecure || !url.origin.isSecure else {
            throw .refused("\(url.origin) redirects to \(target.origin), from https to http")
        }
        url = target
    }
}
