// The configuration file: defaults, precedence, and every mistake at once with its line.

import OCI
import Testing

@testable import wharf

@Suite("Configuration file") struct ConfigurationFileTests {
    let folder: ConfigurationFolder

    init() throws { folder = try ConfigurationFolder() }

    @Test(arguments: ["", "\n", "# only a comment\n", "---\n", "{}", "cache:\nlog: ~\n"])
    func `an empty file means the defaults`(yaml: String) throws {
        let (configuration, warnings) = try folder.load(yaml)
        #expect(warnings.isEmpty)
        #expect(configuration.listen.map(\.description) == ["0.0.0.0:5000"])
        #expect(configuration.data == "/var/lib/wharf")
        #expect(configuration.cache == Configuration.Cache())
        #expect(configuration.cache.maxSize == .share(0.8))
        #expect(configuration.upstreams.map(\.name) == Configuration.builtInNames)
        #expect(configuration.drain == .seconds(30))
        #expect(!configuration.offline)
        #expect(configuration.origin(of: "cache.max-size") == .builtIn)
    }

    @Test func `a room that there is not, and a level that there is not, are mistakes`() {
        let thrown = #expect(throws: ConfigurationMistakes.self) {
            try folder.load("log:\n  levels:\n    shop: debug\n    cache: loud\n")
        }
        let mistakes = thrown?.mistakes.map { "\($0)" } ?? []
        #expect(mistakes.contains { $0.contains("unknown key log.levels.shop") })
        #expect(mistakes.contains { $0.contains("log.levels.cache: \"loud\" is none of trace") })
    }

    @Test func `without a file there are the defaults`() throws {
        let (configuration, _) = try Configuration.load(file: nil, flags: .init(), environment: [:])
        #expect(configuration.defaultUpstream == "docker.io")
    }

    @Test func `what the file says is what holds, and from where`() throws {
        let (configuration, warnings) = try folder.load(
            """
            listen: [127.0.0.1:5000, "[::1]:5001"]
            data: /srv/wharf
            cache:
              max-size: 10GiB
              min-free: 1GB
              low-watermark: 75%
              verify-rate: 100%
            limits: {connections: 7, connections-per-address: 3, header-timeout: 1s, idle-timeout: 2s, client-stall-timeout: 3s}
            drain: 5s
            log: {level: debug, format: json, levels: {store: trace, requests: error}}
            offline: true
            """)
        #expect(warnings.isEmpty)
        #expect(configuration.listen.map(\.description) == ["127.0.0.1:5000", "[::1]:5001"])
        #expect(configuration.data == "/srv/wharf")
        #expect(configuration.cache.maxSize == .bytes(10 << 30))
        #expect(configuration.cache.minFree == .bytes(1_000_000_000))
        #expect(configuration.cache.lowWatermark == 0.75)
        #expect(configuration.cache.verifyRate == 1)
        #expect(configuration.limits.connections == 7)
        #expect(configuration.limits.connectionsPerAddress == 3)
        #expect(configuration.limits.clientStallTimeout == .seconds(3))
        #expect(configuration.drain == .seconds(5))
        #expect(
            configuration.log
                == Configuration.Log(level: .debug, levels: [.store: .trace, .requests: .error], format: .json))
        #expect(configuration.offline)
        #expect(configuration.origin(of: "cache.max-size") == .file(folder.path("wharf.yaml"), line: 4))
        #expect(configuration.origin(of: "listen") == .file(folder.path("wharf.yaml"), line: 1))
    }

    @Test func `flags count before the environment, that before the file`() throws {
        let yaml = "data: /file\nlisten: 1.1.1.1:1\ncache: {max-size: 1GB}\nlog: {level: error}\n"
        let environment = [
            "WHARF_DATA": "/environment", "WHARF_MAX_SIZE": "2GB", "WHARF_LISTEN": "2.2.2.2:2,3.3.3.3:3",
            "WHARF_OFFLINE": "true", "WHARF_LOG_FORMAT": "json", "WHARF_LOG_LEVEL": "",
            "WHARF_PORT": "tcp://10.0.0.1:5000",
        ]
        let (configuration, _) = try folder.load(yaml, environment) { $0.data = "/flag" }
        #expect(configuration.data == "/flag")
        #expect(configuration.cache.maxSize == .bytes(2_000_000_000))
        #expect(configuration.listen.map(\.description) == ["2.2.2.2:2", "3.3.3.3:3"])
        #expect(configuration.offline)
        #expect(configuration.log == Configuration.Log(level: .error, format: .json))
        #expect(configuration.origin(of: "data") == .flag("--data"))
        #expect(configuration.origin(of: "cache.max-size") == .environment("WHARF_MAX_SIZE"))
        #expect(configuration.origin(of: "log.level") == .file(folder.path("wharf.yaml"), line: 4))
    }

    @Test func `the file may be named by flag or by environment`() throws {
        let path = try folder.file("other.yaml", "data: /other\n")
        var flags = Configuration.Flags()
        #expect(try Configuration.load(file: nil, flags: flags, environment: ["WHARF_CONFIG": path]).0.data == "/other")
        flags.config = path
        #expect(
            try Configuration.load(file: nil, flags: flags, environment: ["WHARF_CONFIG": "/no"]).0.data == "/other")
    }

    @Test func `every mistake is told at once, each with its line, in order`() throws {
        let mistakes = try folder.mistakes(
            """
            listen: nowhere
            cache:
              max-sise: 80%
              min-free: lots
            drian: 30s
            log: {level: loud}
            limits:
              connections: 0
            offline: maybe
            """, ["WHARF_DATA": "/x"]
        ) { $0.maxSize = "0B" }
        let beginnings = [
            "1: listen: \"nowhere\"", "3: unknown key cache.max-sise; the nearest known key is max-size",
            "4: cache.min-free: \"lots\"", "5: unknown key drian; the nearest known key is drain",
            "6: log.level: \"loud\" is none of trace, debug, info", "8: limits.connections: \"0\"",
            "9: offline: \"maybe\"", "--max-size: cache.max-size: \"0B\"",
        ]
        #expect(mistakes.count == beginnings.count)
        for (mistake, beginning) in zip(mistakes, beginnings) { #expect(mistake.hasPrefix(beginning)) }
    }

    @Test(arguments: [
        ("- a\n", "1: the file must have keys"), ("just text\n", "1: the file must have keys"),
        ("cache: 80%\n", "1: cache must have keys"), ("data: [a]\n", "1: data: one value"),
        ("data: {a: b}\n", "1: data: one value"), ("listen: {a: b}\n", "1: listen: a list"),
        ("listen: [[a]]\n", "1: listen: each member"), ("listen: []\n", "1: listen: name at least one"),
        ("upstreams: [docker.io]\n", "1: upstreams must have keys"), ("prefetch: {a: b}\n", "1: prefetch: a list"),
        ("? [a]\n: b\n", "1: a key must be a word"), ("a: b\na: c\n", "1: more than once, first here: a"),
        ("cache:\n  pin: []\n  pin: []\n", "2: more than once, first here: pin"), ("a:\n\t- b\n", "2: no YAML"),
        ("data: [a\n", "2: no YAML"), ("listen: [::]:5000\n", "1: no YAML"), ("data: \"\"\n", "1: data: \"\" is empty"),
        ("1: 2\n", "1: unknown key 1"), ("data: *x\n", "1: no YAML"), ("<<: {data: a}\n", "1: unknown key <<"),
    ])
    func `a file of another shape`(yaml: String, beginning: String) throws {
        let mistakes = try folder.mistakes(yaml)
        #expect(mistakes.first?.hasPrefix(beginning) == true, "\(mistakes)")
    }

    @Test func `an address in brackets that stands without quotes is explained`() throws {
        #expect(try folder.mistakes("listen: [::]:5000\n")[0].contains("in quotes"))
    }

    @Test func `a file that is not there, is a folder, or is no text`() throws {
        for path in [folder.path("none.yaml"), folder.path(".")] {
            #expect(throws: ConfigurationMistakes.self) {
                try Configuration.load(file: path, flags: .init(), environment: [:])
            }
        }
        #expect(try folder.mistakes("data: \u{0}")[0].contains("no YAML"))
    }

    @Test func `keys that do not act yet are named in one warning, and checked`() throws {
        let (configuration, warnings) = try folder.load(
            """
            cache: {lease: 5m, pin: [docker.io/library/debian:12]}
            prefetch: [{images: [debian], platforms: [linux/amd64], every: 6h}]
            storage: s3
            metadata:
            """)
        #expect(configuration.cache.lease == .seconds(300))
        #expect(configuration.cache.pins.map(\.description) == ["docker.io/library/debian:12"])
        #expect(warnings.count == 1)
        for name in ["prefetch[0].images", "storage"] { #expect(warnings[0].contains(name)) }
        #expect(warnings[0].contains("known but not acting yet: "))
        #expect(!warnings[0].contains("metadata"))
        #expect(!warnings[0].contains("cache"))

        let mistakes = try folder.mistakes("cache: {lease: soon, pin: [\"a b\"]}\nprefetch: [{image: [a]}]\n")
        #expect(mistakes.count == 3)
        #expect(mistakes[2].contains("the nearest known key is images"))
    }

    @Test(arguments: [
        ("access: {anonymous-pull: false}", "access.anonymous-pull does not act yet"),
        ("access: yes", "access must have keys"), ("tls: yes", "tls must have keys"),
        ("access: {allow-networks: [10.0.0.0/8]}", "access.allow-networks does not act yet"),
        ("access: {trusted-proxies: [10.0.0.1]}", "access.trusted-proxies does not act yet"),
        ("access: {htpaswd: /x}", "unknown key access.htpaswd; the nearest known key is htpasswd"),
    ])
    func `what would open a door or pretend to close one is refused until it acts`(yaml: String, message: String) throws
    {
        #expect(try folder.mistakes(yaml).contains { $0.hasPrefix("1: \(message)") })
    }

    @Test func `the admin's token is read from its file, and printed nowhere`() throws {
        let file = try folder.file("token", "0123456789abcdef\n")
        let (configuration, warnings) = try folder.load("access:\n  admin-token-file: \(file)\n")
        #expect(warnings.isEmpty)
        #expect(configuration.adminToken?.revealed == "0123456789abcdef")
        #expect(
            configuration.origin(of: "access.admin-token-file") == .file(folder.path("wharf.yaml"), line: 2))
        var dumped = "\(configuration)"
        dump(configuration, to: &dumped)
        #expect(!dumped.contains("0123456789abcdef"))
        #expect(try folder.load("access: {admin-token-file: }").0.adminToken == nil)
    }

    @Test(arguments: [
        ("", "without a token"), ("\n\n", "without a token"),
        ("0123456789abcdef\n0123456789abcdef\n", "several lines"),
        ("0123456789 abcdef\n", "blanks or other than ASCII in it; make one with: openssl rand -hex 32"),
        ("0123456789abcdef ", "blanks"), ("0123456789abcdef\t", "blanks"), ("0123456789abcdef\u{0}", "blanks"),
        ("0123456789abcdeé", "blanks or other than ASCII"),
    ])
    func `a token that cannot be sent is a mistake that does not repeat it`(
        text: String, message: String
    ) throws {
        let file = try folder.file("token", text)
        let mistakes = try folder.mistakes("access:\n  admin-token-file: \(file)\n")
        #expect(mistakes.count == 1)
        #expect(mistakes[0].hasPrefix("2: access.admin-token-file: ") && mistakes[0].contains(message), "\(mistakes)")
        #expect(!mistakes[0].contains("0123456789"))
    }

    @Test func `a token's file that cannot be read is a mistake`() throws {
        for path in ["/nowhere/token", folder.path(".")] {
            let mistakes = try folder.mistakes("access: {admin-token-file: \(path)}")
            #expect(mistakes.count == 1 && mistakes[0].contains("no file that can be read"), "\(mistakes)")
        }
    }

    @Test func `the whole file of the contract, each value its default, is right`() throws {
        let (configuration, warnings) = try folder.load(ContractFile.text)
        #expect(warnings.isEmpty)
        #expect(configuration.upstreams.map(\.name) == Configuration.builtInNames)
        #expect(configuration.upstreams[0].freshness == Configuration.Freshness())
        #expect(configuration.cache == Configuration.Cache())
        #expect(configuration.limits == Configuration.Limits())
        #expect(configuration.upstreams[0].authHosts == ["auth.docker.io"])
    }
}

/// Section 2 of the contract, each key on a line of its own.
private enum ContractFile {
    static let text = """
        listen: 0.0.0.0:5000
        data: /var/lib/wharf
        cache:
          max-size: 80%
          min-free: 5%
          low-watermark: 90%
          lease: 15m
          pin: []
        upstreams:
          docker.io:
            endpoints: [https://registry-1.docker.io]
            auth-hosts: [auth.docker.io]
            username:
            password-file:
            docker-config:
            fresh-for: 60s
            stale-while-revalidate: 0s
            stale-if-error: 30d
            on-upstream-404: serve
            negative-for: 10s
            tags: {}
            first-byte-timeout: 15s
            stall-timeout: 20s
            min-speed: 64KiB/s
            give-up-after: 60s
            background-fill: finish
            range-idle: 60s
            ranges: 4
            max-transfers: 16
            max-bandwidth:
            proxy:
            ca-file:
            client-certificate:
            client-key:
            allow-http: false
            allow-private-addresses: auto
            allow: ["**"]
            deny: []
          ghcr.io: {}
        builtin-upstreams: true
        default-upstream: docker.io
        hosted: []
        access:
          htpasswd:
          allow-networks: []
          anonymous-pull: true
          admin-token-file:
          trusted-proxies: []
          catalog: false
          push: []
          login-listen:
        tls: {certificate: , key: , client-ca: }
        limits: {connections: 20000, connections-per-address: 4096, header-timeout: 15s, idle-timeout: 120s, client-stall-timeout: 60s}
        drain: 30s
        log: {level: info, format: text}
        offline: false
        prefetch: []
        storage:
        metadata:
        """
}
