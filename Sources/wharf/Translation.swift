// The configuration in each room's own words.

import Frontend
import Glibc
import HTTPServer
import Hosting
import OCI
import PullThrough
import Store
import Upstream

extension StoreConfiguration {
    init(_ configuration: Configuration) {
        self.init(root: configuration.data)
        maxSize = Bound(configuration.cache.maxSize)
        minFree = Bound(configuration.cache.minFree)
        lowWatermark = configuration.cache.lowWatermark
        lease = configuration.cache.lease
        verifyRate = configuration.cache.verifyRate
        let pins = configuration.cache.pins
        isPinned = { repository, tag in pins.contains { $0.matches(repository, tag: tag) } }
    }
}

extension StoreConfiguration.Bound {
    fileprivate init(_ capacity: Configuration.Capacity) {
        switch capacity {
        case .bytes(let bytes): self = .bytes(bytes)
        case .share(let share): self = .share(share)
        }
    }
}

extension UpstreamConfiguration {
    /// - Parameter environment: where the proxies are named, if the configuration names none.
    init(_ upstream: Configuration.Upstream, environment: [String: String]) throws {
        let endpoints = try upstream.endpoints.map { text in
            guard let endpoint = UpstreamEndpoint("\(text)") else {
                throw StartFailure("\(text) is no endpoint of \(upstream.name): write it as https://host[:port][/path]")
            }
            return endpoint
        }
        self.init(
            name: upstream.name, endpoints: endpoints, authHosts: upstream.authHosts,
            credentials: CredentialSource(upstream, environment: environment),
            allowHTTP: upstream.allowsHTTP, firstByteTimeout: upstream.firstByteTimeout,
            stallTimeout: upstream.stallTimeout)
        maxTransfers = upstream.maxTransfers
        maxBandwidth = upstream.maxBandwidth
        proxies = Proxies(configured: Proxies.Configured(upstream.proxy), environment: environment)
        caFile = upstream.caFile
        identity = upstream.clientCertificate.map {
            ClientIdentity(certificateFile: $0.certificateFile, keyFile: $0.keyFile)
        }
        privateAddresses =
            switch upstream.privateAddresses {
            case .auto: .auto
            case .always: .always
            case .never: .never
            }
    }
}

extension CredentialSource {
    fileprivate init(_ upstream: Configuration.Upstream, environment: [String: String]) {
        if let login = upstream.login {
            self = .login(Credentials(username: login.username, password: login.password.revealed))
        } else if let path = upstream.dockerConfig {
            self = .dockerConfig(DockerConfig(path: path, environment: environment))
        } else {
            self = .anonymous
        }
    }
}

extension Proxies.Configured {
    fileprivate init(_ proxy: Configuration.Proxy) {
        switch proxy {
        case .environment: self = .environment
        case .direct: self = .direct
        // Checked when it was read.
        case .url(let secret): self = ProxyURL(secret.revealed).map(Self.proxy) ?? .direct
        }
    }
}

extension FreshnessPolicy {
    init(_ freshness: Configuration.Freshness) {
        self.init(
            freshFor: freshness.freshFor, staleWhileRevalidate: freshness.staleWhileRevalidate,
            staleIfError: freshness.staleIfError, negativeFor: freshness.negativeFor,
            forgetsAbsent: freshness.forgetsAbsent, isImmutable: freshness.isImmutable)
    }
}

extension Configuration.Upstream {
    /// The policy of the tags that have one of their own: of the first rule that matches.
    var tagPolicy: @Sendable (RepositoryName, Tag) -> FreshnessPolicy? {
        let rules = tags.map { (pattern: $0.pattern, policy: FreshnessPolicy($0.freshness)) }
        return { repository, tag in
            rules.first { $0.pattern.matches(tag.description, of: repository) }?.policy
        }
    }
}

extension FillPolicy {
    init(_ upstream: Configuration.Upstream) {
        self.init()
        ranges = upstream.ranges
        giveUpAfter = upstream.giveUpAfter
        stallTimeout = upstream.stallTimeout
        minSpeed = upstream.minSpeed
        finishes = upstream.finishesInBackground
        rangeIdle = upstream.rangeIdle
    }
}

extension Configuration.Upstream {
    /// Whether a repository may be pulled. Docker Hub's own images go by their short names too.
    func allows(_ repository: RepositoryName) -> Bool {
        let library = "library/"
        let full = repository.description
        var names = [full]
        if name == ImageReference.dockerHub, full.hasPrefix(library) {
            names.append(String(full.dropFirst(library.count)))
        }
        func isNamed(_ patterns: [NamePattern]) -> Bool { patterns.contains { names.contains(where: $0.matches) } }
        return !isNamed(deny) && allow.map(isNamed) ?? true
    }
}

extension ServerConfiguration {
    /// As many as the system grants.
    private static var descriptors: Int {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return .max }
        return max(96, Int(clamping: limit.rlim_cur))
    }

    init(_ configuration: Configuration) {
        self.init(addresses: configuration.listen.map { Address($0) })
        loginAddresses = configuration.loginListen.map { [Address($0)] } ?? []
        // Some are left for the files that are read, the database, upstreams and the log: who comes beyond that is told
        // so, and nobody who is in suffers.
        let descriptors = Self.descriptors
        connections = min(configuration.limits.connections, descriptors - max(64, descriptors / 4))
        refusedAtOnce = min(refusedAtOnce, descriptors / 32)
        connectionsPerAddress = configuration.limits.connectionsPerAddress
        headerTimeout = configuration.limits.headerTimeout
        idleTimeout = configuration.limits.idleTimeout
        clientStallTimeout = configuration.limits.clientStallTimeout
        drain = configuration.drain
        tls = configuration.tls?.server
        adminSocket = "\(configuration.data)/\(AdminClient.socketName)"
    }
}

extension ServerConfiguration.Address {
    fileprivate init(_ address: Configuration.ListenAddress) { self.init(host: address.host, port: address.port) }
}

extension HostingPolicy {
    init(_ hosting: Configuration.Hosting) {
        self.init()
        readOnly = hosting.readOnly
        immutableTags = hosting.immutableTags
        quotas = hosting.quotas
        untaggedAfter = hosting.untaggedAfter
        abandonedAfter = hosting.abandonedAfter
    }
}

extension AccessRules {
    init(_ configuration: Configuration) {
        self.init(adminToken: configuration.adminToken?.revealed)
        passwords = configuration.users?.passwords
        showsCatalog = configuration.showsCatalog
        push = configuration.push.map { rule in
            Push(names: rule.names, users: rule.users.map { Set($0) }) { text in
                // What has no address came through the admin socket, whose owner needs no rule.
                guard let address = IPAddress(text) else { return false }
                return rule.networks.contains { $0.contains(address) }
            }
        }
    }
}
