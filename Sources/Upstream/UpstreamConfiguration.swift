// How one upstream is reached, and what each host is trusted with.
import HTTPSemantics
import OCI

/// One base URL under which an upstream speaks the distribution API.
package struct UpstreamEndpoint: Hashable, Sendable, CustomStringConvertible {
    package let origin: UpstreamURL.Origin
    /// Empty, or a path without its last "/" that `/v2/` follows.
    package let prefix: String

    /// Nil unless the text is an http or https URL without query, user name and password.
    package init?(_ text: String) {
        guard let url = UpstreamURL(text), url.query == nil else { return nil }
        origin = url.origin
        var prefix = url.path[...]
        while prefix.last == "/" { prefix.removeLast() }
        self.prefix = String(prefix)
    }

    package var description: String { "\(origin)\(prefix)" }

    func url(_ endpoint: Endpoint, query: String?) -> UpstreamURL {
        UpstreamURL(origin: origin, path: prefix + endpoint.path, query: query)
    }
}

/// What each host of an upstream is trusted with:
///
/// | host | asked | sees credentials | sees the token |
/// |---|---|---|---|
/// | the endpoint's scheme, host and port | yes | if it challenges `Basic` | yes |
/// | a realm on the endpoint's host and port | yes | yes | gives it |
/// | a realm on an `authHosts` host | yes, https only unless the endpoint is http | yes | gives it |
/// | a realm anywhere else | **never** | no | no |
/// | a redirect's target | yes, never from https to http | no | no |
package struct UpstreamConfiguration: Sendable {
    /// The registry's host as images are named by: `docker.io`.
    package var name: String
    /// Tried in this order.
    package var endpoints: [UpstreamEndpoint]
    /// `host` (any port) or `host:port`, besides the endpoint's own, that a token realm may name.
    package var authHosts: [String]
    /// Nil: anonymous.
    package var credentials: Credentials?
    package var allowHTTP: Bool
    /// Bounds a verb before its head: tokens, redirects, further endpoints, all together.
    package var firstByteTimeout: Duration
    /// Ends a transfer that moves no byte for so long.
    package var stallTimeout: Duration
    /// Bounds name lookup, TCP and TLS of one connection.
    package var connectTimeout: Duration
    /// Connections for blobs at the same time; who waits for one, and who goes first, is `ConnectionBudget`'s.
    package var maxTransfers: Int
    /// Bytes a second of blobs, all transfers together; manifests count, but do not wait. Nil: no bound.
    package var maxBandwidth: Int64?

    package init(
        name: String, endpoints: [UpstreamEndpoint], authHosts: [String] = [], credentials: Credentials? = nil,
        allowHTTP: Bool = false, firstByteTimeout: Duration = .seconds(15), stallTimeout: Duration = .seconds(20),
        connectTimeout: Duration = .seconds(5), maxTransfers: Int = 16, maxBandwidth: Int64? = nil
    ) {
        self.name = name
        self.endpoints = endpoints
        self.authHosts = authHosts
        self.credentials = credentials
        self.allowHTTP = allowHTTP
        self.firstByteTimeout = firstByteTimeout
        self.stallTimeout = stallTimeout
        self.connectTimeout = connectTimeout
        self.maxTransfers = maxTransfers
        self.maxBandwidth = maxBandwidth
    }

    /// The token service that a challenge names, if it may be asked at all.
    func realm(_ text: String, of endpoint: UpstreamEndpoint) throws(UpstreamError) -> UpstreamURL {
        guard let realm = UpstreamURL(text) else {
            throw .refused("\(endpoint) names a token realm that is no http or https URL")
        }
        if realm.origin == endpoint.origin { return realm }
        guard realm.origin.isSecure || !endpoint.origin.isSecure else {
            throw .refused("\(endpoint) names the token realm \(realm) without TLS")
        }
        let isOwn = realm.origin.host == endpoint.origin.host && realm.origin.port == endpoint.origin.port
        guard isOwn || authHosts.contains(where: { realm.origin.isNamed($0) }) else {
            throw .refused("\(endpoint) names the token realm host \(realm.origin.authority), not in auth-hosts")
        }
        return realm
    }
}

extension UpstreamURL.Origin {
    /// Whether `host` or `host:port` means this one.
    fileprivate func isNamed(_ name: String) -> Bool {
        let name = name.lowercased()
        return name == host || name == "\(host):\(port)"
    }
}
