// Which proxy leads to a host: the configured one, or what the environment says.

/// Which proxy leads to a host: a configured one for all, else what the environment says.
///
/// The environment is read as Go's clients read it, Docker and containerd among them, since that is what whoever set
/// it has tried it with.
/// - Source: Go's `golang.org/x/net/http/httpproxy`.
package struct Proxies: Sendable {
    package enum Configured: Hashable, Sendable {
        /// What `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` say, each in capitals or not.
        case environment
        /// None, whatever the environment says.
        case direct
        /// This one for every host, whatever `NO_PROXY` says.
        case proxy(ProxyURL)
    }

    /// What of the environment cannot be read, one sentence each, for people. Never a value: it may hold a password.
    package private(set) var mistakes: [String] = []
    private var forAll: ProxyURL?
    private var forHTTPS: ProxyURL?
    private var forHTTP: ProxyURL?
    private var exceptions: [Exception] = []

    package init(configured: Configured, environment: [String: String]) {
        switch configured {
        case .direct: break
        case .proxy(let proxy): forAll = proxy
        case .environment: read(environment)
        }
    }

    package func proxy(for origin: UpstreamURL.Origin) -> ProxyURL? {
        if let forAll { return forAll }
        guard let proxy = origin.isSecure ? forHTTPS : forHTTP else { return nil }
        // A proxy elsewhere cannot lead to this host's own loopback.
        let isOwn = AddressClass(literal: origin.host) == .loopback || origin.host == "localhost"
        if isOwn || origin.host.hasSuffix(".localhost") { return nil }
        return exceptions.contains { $0.matches(origin) } ? nil : proxy
    }

    // MARK: The environment

    private mutating func read(_ environment: [String: String]) {
        let all = proxy(in: ["ALL_PROXY", "all_proxy"], of: environment)
        forHTTPS = proxy(in: ["HTTPS_PROXY", "https_proxy"], of: environment) ?? all
        // In a CGI program HTTP_PROXY is the request's `Proxy` field, so anybody's word (CVE-2016-5385).
        let isCGI = environment["REQUEST_METHOD"] != nil
        forHTTP = proxy(in: isCGI ? ["http_proxy"] : ["HTTP_PROXY", "http_proxy"], of: environment) ?? all
        guard let (name, list) = Self.value(of: ["NO_PROXY", "no_proxy"], in: environment) else { return }
        for entry in list.split(separator: ",") {
            let entry = entry.filter { $0 != " " && $0 != "\t" }.lowercased()
            guard !entry.isEmpty else { continue }
            if let exception = Exception(entry) {
                exceptions.append(exception)
            } else {
                mistakes.append("\(name): \"\(entry)\" is no host, address or block of addresses")
            }
        }
    }

    private mutating func proxy(in names: [String], of environment: [String: String]) -> ProxyURL? {
        guard let (name, text) = Self.value(of: names, in: environment) else { return nil }
        let proxy = ProxyURL(environment: text)
        if proxy == nil { mistakes.append("\(name) is no URL of an http, https or socks5h proxy") }
        return proxy
    }

    /// The first of the variables that says anything.
    private static func value(of names: [String], in environment: [String: String]) -> (name: String, text: String)? {
        for name in names {
            if let text = environment[name], !text.isEmpty { return (name, text) }
        }
        return nil
    }

    /// One entry of `NO_PROXY`, in lowercase.
    private enum Exception: Sendable {
        case everything
        case block(AddressBlock)
        case address(IPAddress, port: Int?)
        /// The host itself, unless only what is below it is meant.
        case domain(String, onlyBelow: Bool, port: Int?)

        init?(_ entry: String) {
            if entry == "*" {
                self = .everything
                return
            }
            if entry.contains("/") {
                guard let block = AddressBlock(entry) else { return nil }
                self = .block(block)
                return
            }
            var host = entry
            var port: Int?
            // A colon is a port's, unless an IPv6 address without brackets has several.
            if let colon = entry.lastIndex(of: ":"), IPAddress(entry) == nil {
                guard let number = UInt16(entry[entry.index(after: colon)...]) else { return nil }
                port = Int(number)
                host = String(entry[..<colon])
            }
            if let address = IPAddress(host) {
                self = .address(address, port: port)
                return
            }
            if host.hasPrefix("*.") { host.removeFirst() }
            let onlyBelow = host.hasPrefix(".")
            if onlyBelow { host.removeFirst() }
            guard !host.isEmpty, !host.contains(":") else { return nil }
            self = .domain(host, onlyBelow: onlyBelow, port: port)
        }

        func matches(_ origin: UpstreamURL.Origin) -> Bool {
            switch self {
            case .everything: true
            case .block(let block): IPAddress(origin.host).map { block.contains($0) } ?? false
            case .address(let address, let port):
                IPAddress(origin.host) == address && port ?? origin.port == origin.port
            case .domain(let name, let onlyBelow, let port):
                (origin.host.hasSuffix(".\(name)") || !onlyBelow && origin.host == name)
                    && port ?? origin.port == origin.port
            }
        }
    }
}
