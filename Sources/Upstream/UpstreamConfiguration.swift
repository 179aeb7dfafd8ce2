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

    /// Where the prefix begins with `/v2/`, as another mirror's or a proxy project's does, names follow it.
    func url(_ endpoint: Endpoint, query: String?) -> UpstreamURL {
        guard prefix == "/v2" || prefix.hasPrefix("/v2/") else {
            return UpstreamURL(origin: origin, path: prefix + endpoint.path, query: query)
        }
        let path = endpoint == .base ? endpoint.path : prefix + endpoint.path.dropFirst("/v2".count)
        return UpstreamURL(origin: origin, path: path, query: query)
    }
}

/// What each host of an upstream is trusted with:
///
/// | host | asked | sees credentials | sees the token |
/// |---|---|---|---|
/// | the endpoint's scheme, host and port | yes | if it challenges `Basic`; a registry token | yes |
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
    package var credentials: CredentialSource
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
    package var proxies = Proxies(configured: .direct, environment: [:])
    /// PEM: trusted besides the system's, by endpoints, token services and redirects' targets.
    package var caFile: String?
    /// Shown to endpoints and token services.
    package var identity: ClientIdentity?
    package var privateAddresses = PrivateAddresses.auto

    /// Where a redirect may lead besides the Internet.
    package enum PrivateAddresses: Sendable {
        /// To the endpoint's own class of address: loopback, or private.
        case auto
        /// To loopback, private and carrier-grade ones.
        case always
        case never
    }

    package init(
        name: String, endpoints: [UpstreamEndpoint], authHosts: [String] = [],
        credentials: CredentialSource = .anonymous,
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

    /// To which addresses a redirect may lead.
    ///
    /// - Parameter home: the class of the address at which the endpoint was met, if that is known.
    func addresses(
        of target: UpstreamURL.Origin, from endpoint: UpstreamEndpoint, at home: AddressClass?
    ) -> AddressRule {
        // The host that is configured may be anywhere.
        if target.host == endpoint.origin.host { return .any }
        switch privateAddresses {
        case .never: return AddressRule(allowing: [])
        case .always: return AddressRule(allowing: [.loopback, .private, .carrierGrade])
        case .auto:
            let home = home ?? AddressClass(literal: endpoint.origin.host) ?? .global
            return AddressRule(allowing: home == .loopback || home == .private ? [home] : [])
        }
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
        let isOwn = realm.origin.isSameHost(as: endpoint.origin)
        guard isOwn || authHosts.contains(where: { realm.origin.isNamed($0) }) else {
            throw .refused("\(endpoint) names the token realm host \(realm.origin.authority), not in auth-hosts")
        }
        // What is asked of a service that others share is ours to say: a query could ask for another scope.
        return isOwn ? realm : UpstreamURL(origin: realm.origin, path: realm.path)
    }
}

extension UpstreamURL.Origin {
    /// By host and port, whatever the scheme.
    func isSameHost(as other: UpstreamURL.Origin) -> Bool { host == other.host && port == other.port }

    /// Whether `host` or `host:port` means this one.
    fileprivate func isNamed(_ name: String) -> Bool {
        let name = name.lowercased()
        return name == host || name == "\(host):\(port)"
    }
}
