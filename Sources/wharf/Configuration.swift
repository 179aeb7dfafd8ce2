// The effective configuration as plain values, with the defaults, and where each value came from.

package import OCI

package struct Configuration: Sendable {
    /// `HOST:PORT` to listen on.
    package struct ListenAddress: Hashable, Sendable, CustomStringConvertible {
        /// A name or an address; an IPv6 address without its brackets.
        package let host: String
        /// 0: any that is free.
        package let port: Int

        package init(host: String, port: Int) {
            self.host = host
            self.port = port
        }

        package var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
    }

    /// How much of a disk.
    package enum Capacity: Hashable, Sendable {
        case bytes(Int64)
        /// Of the file system that holds the data, from 0 to 1.
        case share(Double)
    }

    package struct Cache: Hashable, Sendable {
        package var maxSize = Capacity.share(0.8)
        /// The disk is never filled beyond this, whatever `maxSize` says.
        package var minFree = Capacity.share(0.05)
        /// Eviction stops when usage is at this share of `maxSize`, from 0 to 1.
        package var lowWatermark = 0.9
        /// What a served manifest names is not evicted for so long; zero: off.
        package var lease = Duration.seconds(15 * 60)
        /// Of the bytes that stored blobs are served with, how many are hashed again, from 0 to 1.
        package var verifyRate = 0.01
        /// Images never evicted.
        package var pins: [ImagePattern] = []
    }

    package struct Login: Hashable, Sendable {
        package let username: String
        package let password: Secret
    }

    /// Which way leads to an upstream.
    package enum Proxy: Hashable, Sendable {
        /// What `https_proxy`, `http_proxy`, `all_proxy` and `no_proxy` say.
        case environment
        /// None, whatever the environment says.
        case direct
        /// A URL; a password may be in it.
        case url(Secret)
    }

    /// Whether redirects may lead to addresses that are not the Internet's.
    package enum PrivateAddresses: String, Sendable, CaseIterable {
        /// To those of the endpoint's own class.
        case auto
        case always = "true"
        case never = "false"
    }

    package struct ClientCertificate: Hashable, Sendable {
        package let certificateFile: String
        package let keyFile: String
    }

    /// How long what is known of tags, manifests and blobs holds.
    package struct Freshness: Hashable, Sendable {
        /// A tag is served without asking for so long.
        package var freshFor = Duration.seconds(60)
        /// After that, for so long, it is served at once while the upstream is asked.
        package var staleWhileRevalidate = Duration.zero
        /// How long it is served when the upstream fails.
        package var staleIfError = Duration.seconds(30 * 86_400)
        /// What the upstream does not have is remembered for so long.
        package var negativeFor = Duration.seconds(10)
        /// A tag that the upstream no longer has is forgotten; else it is served as if the upstream had failed.
        package var forgetsAbsent = false
        /// A tag, once stored, is never asked for again. Only where a `TagRule` says so.
        package var isImmutable = false
    }

    /// What holds for some tags of an upstream instead of what holds for all.
    package struct TagRule: Hashable, Sendable {
        package let pattern: TagPattern
        /// The upstream's, but for what the rule names.
        package let freshness: Freshness
    }

    package struct Upstream: Hashable, Sendable {
        /// The registry's host as images are named by.
        package let name: String
        /// Tried in order.
        package var endpoints: [EndpointURL]
        /// `host`, at any port, or `host:port`: besides the endpoint's own, what a token realm may name.
        package var authHosts: [String]
        package var allowsHTTP = false
        /// `nil`: anonymous, but for what `dockerConfig` says.
        package var login: Login?
        /// Docker's `config.json`, whose logins and credential helpers are used.
        package var dockerConfig: String?
        package var proxy = Proxy.environment
        /// PEM: trusted besides the system's.
        package var caFile: String?
        package var clientCertificate: ClientCertificate?
        package var privateAddresses = PrivateAddresses.auto
        /// Repositories that may be pulled; what `deny` names may not, whatever `allow` says.
        package var allow: [NamePattern]?
        package var deny: [NamePattern] = []
        package var freshness = Freshness()
        /// In the order of the file: the first that matches a tag counts.
        package var tags: [TagRule] = []
        package var firstByteTimeout = Duration.seconds(15)
        package var stallTimeout = Duration.seconds(20)
        /// Bytes a second; slower, with another way at hand, is replaced.
        package var minSpeed: Int64 = 64 << 10
        /// After the status line: no progress for so long ends the answer.
        package var giveUpAfter = Duration.seconds(60)
        /// What was begun is finished without its clients.
        package var finishesInBackground = true
        /// What only ranges began is completed after so long without any.
        package var rangeIdle = Duration.seconds(60)
        /// Connections for one large blob.
        package var ranges = 4
        /// Connections for blobs at once.
        package var maxTransfers = 16
        /// Bytes a second, all transfers together; `nil`: no limit.
        package var maxBandwidth: Int64?
        /// Of what the files named above held when this was read.
        package var fileContents: [Digest] = []
    }

    package struct Limits: Hashable, Sendable {
        package var connections = 20_000
        package var connectionsPerAddress = 4096
        package var headerTimeout = Duration.seconds(15)
        package var idleTimeout = Duration.seconds(120)
        package var clientStallTimeout = Duration.seconds(60)
    }

    /// The raw values are those of swift-log's `Logger.Level`.
    package enum LogLevel: String, Sendable, CaseIterable {
        case trace, debug, info, notice, warning, error, critical
    }

    package enum LogFormat: String, Sendable, CaseIterable { case text, json }

    /// Who says something, where that has a level of its own; `requests` is the one line a request.
    package enum LogRoom: String, Sendable, CaseIterable {
        case requests, server, cache, upstream, store, hosting
    }

    package struct Log: Hashable, Sendable {
        package var level = LogLevel.info
        /// Of some rooms another one.
        package var levels: [LogRoom: LogLevel] = [:]
        package var format = LogFormat.text
    }

    package var listen = [ListenAddress(host: "0.0.0.0", port: 5000)]
    package var data = "/var/lib/wharf"
    package var cache = Cache()
    /// Those that were named, in that order, then the built-in ones that were not.
    package var upstreams: [Upstream] = builtInNames.map { Upstream(name: $0) }
    /// One of `upstreams`.
    package var defaultUpstream = "docker.io"
    /// Repositories of this registry's own, and what holds for them.
    package var hosting = Hosting()
    /// Who sends it may do more than pull; `nil`: nobody may, over the network.
    package var adminToken: Secret?
    /// `nil`: there are none.
    package var users: Users?
    package var push: [PushRule] = []
    /// Whether the list of what was pushed here is shown.
    package var showsCatalog = false
    /// A second address, where clients are asked to log in.
    package var loginListen: ListenAddress?
    /// What is spoken on `listen`; `nil`: clear text.
    package var tls: TLS?
    package var limits = Limits()
    package var drain = Duration.seconds(30)
    package var log = Log()
    package var offline = false
    /// Key, such as `upstreams.docker.io.fresh-for`, to where its value was given; what is not here is a default.
    package var origins: [String: Origin] = [:]

    package func origin(of key: String) -> Origin { origins[key] ?? .builtIn }

    /// The upstreams there are without configuration, each anonymous.
    package static let builtInNames = [
        "docker.io", "ghcr.io", "quay.io", "registry.k8s.io", "gcr.io", "mcr.microsoft.com", "public.ecr.aws",
        "nvcr.io",
    ]
}

extension Configuration.Upstream {
    /// An upstream with nothing said of it: `https://<name>`, and for Docker Hub the endpoint that it really has.
    package init(name: String) {
        self.name = name
        endpoints = [EndpointURL(secureHost: name == "docker.io" ? EndpointURL.dockerHubHost : name)]
        authHosts = Self.usualAuthHosts(of: endpoints)
    }

    /// Docker Hub is the one well-known registry whose tokens come from another host; that host is trusted only where
    /// Docker Hub's own endpoint is asked.
    static func usualAuthHosts(of endpoints: [EndpointURL]) -> [String] {
        endpoints.contains { $0.authority == EndpointURL.dockerHubHost } ? ["auth.docker.io"] : []
    }
}

/// Where a value was given.
package enum Origin: Hashable, Sendable, CustomStringConvertible {
    case flag(String)
    case environment(String)
    case file(String, line: Int)
    case builtIn

    package var description: String {
        switch self {
        case .flag(let name): name
        case .environment(let name): name
        case .file(let path, let line): "\(path):\(line)"
        case .builtIn: "default"
        }
    }
}

/// A text that nothing prints, interpolates or dumps.
package struct Secret: Hashable, Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// For the one place that sends it.
    package let revealed: String

    package init(_ text: String) { revealed = text }

    package var description: String { "<redacted>" }
    package var debugDescription: String { description }
    package var customMirror: Mirror { Mirror(self, children: [:]) }
}
