// The upstreams of the configuration: built in, in the file, and on the command line.

import OCI
import Testing

@testable import wharf

@Suite("Configuration: upstreams") struct ConfigurationUpstreamTests {
    let folder: ConfigurationFolder

    init() throws { folder = try ConfigurationFolder() }

    private func upstream(_ name: String, _ configuration: Configuration) throws -> Configuration.Upstream {
        try #require(configuration.upstreams.first { $0.name == name })
    }

    @Test func `the built-in ones are asked at their own names, Docker Hub where it really is`() throws {
        let (configuration, _) = try folder.load("")
        for upstream in configuration.upstreams {
            #expect(upstream.login == nil)
            #expect(upstream.endpoints.count == 1)
            guard upstream.name != "docker.io" else { continue }
            #expect(upstream.endpoints.map(\.description) == ["https://\(upstream.name)"])
            #expect(upstream.authHosts.isEmpty)
        }
        let hub = try upstream("docker.io", configuration)
        #expect(hub.endpoints.map(\.description) == ["https://registry-1.docker.io"])
        #expect(hub.authHosts == ["auth.docker.io"])
    }

    @Test func `naming any keeps the others, the named ones first`() throws {
        let (configuration, _) = try folder.load("upstreams: {quay.io: {fresh-for: 5s}, registry.acme.org:5000: {}}")
        #expect(configuration.upstreams.map(\.name).prefix(3) == ["quay.io", "registry.acme.org:5000", "docker.io"])
        #expect(configuration.upstreams.count == Configuration.builtInNames.count + 1)
        #expect(try upstream("quay.io", configuration).freshness.freshFor == .seconds(5))
        let acme = try upstream("registry.acme.org:5000", configuration)
        #expect(acme.endpoints.map(\.description) == ["https://registry.acme.org:5000"])
    }

    @Test func `every key that acts does`() throws {
        let password = try folder.file("password", "s3cret\r\n")
        let (configuration, warnings) = try folder.load(
            """
            upstreams:
              ghcr.io:
                endpoints: [https://one.acme.org, "http://two:5000/prefix/"]
                allow-http: true
                auth-hosts: [Auth.acme.org, "auth:8443"]
                username: joe
                password-file: \(password)
                first-byte-timeout: 4s
                stall-timeout: 5s
                min-speed: 1kB/s
                give-up-after: 6s
                background-fill: stop
                range-idle: 7s
                ranges: 2
                max-transfers: 3
                max-bandwidth: 5MB/s
            """)
        #expect(warnings.isEmpty)
        let ghcr = try upstream("ghcr.io", configuration)
        #expect(ghcr.endpoints.map(\.description) == ["https://one.acme.org", "http://two:5000/prefix"])
        #expect(ghcr.authHosts == ["auth.acme.org", "auth:8443"])
        #expect(ghcr.login == Configuration.Login(username: "joe", password: Secret("s3cret")))
        #expect([ghcr.firstByteTimeout, ghcr.stallTimeout] == [.seconds(4), .seconds(5)])
        #expect([ghcr.giveUpAfter, ghcr.rangeIdle] == [.seconds(6), .seconds(7)])
        #expect(ghcr.minSpeed == 1000 && ghcr.maxBandwidth == 5_000_000)
        #expect(ghcr.ranges == 2 && ghcr.maxTransfers == 3)
        #expect(!ghcr.finishesInBackground)
    }

    @Test func `every key about the way there acts`() throws {
        let file = try folder.file("some.pem", "x")
        let (configuration, warnings) = try folder.load(
            """
            upstreams:
              ghcr.io:
                docker-config: \(file)
                proxy: socks5h://joe:s3cret@gateway:1080
                ca-file: \(file)
                client-certificate: \(file)
                client-key: \(file)
                allow-private-addresses: false
                allow: ["acme/**"]
                deny: [acme/secret-*, "*/hidden"]
              quay.io: {proxy: none, allow-private-addresses: true}
            """)
        #expect(warnings.isEmpty)
        let ghcr = try upstream("ghcr.io", configuration)
        #expect(ghcr.dockerConfig == file && ghcr.caFile == file)
        #expect(ghcr.proxy == .url(Secret("socks5h://joe:s3cret@gateway:1080")))
        #expect(
            ghcr.clientCertificate == Configuration.ClientCertificate(certificateFile: file, keyFile: file))
        #expect(ghcr.privateAddresses == .never)
        #expect(ghcr.allow?.map(\.description) == ["acme/**"])
        #expect(ghcr.deny.map(\.description) == ["acme/secret-*", "*/hidden"])
        let quay = try upstream("quay.io", configuration)
        #expect(quay.proxy == .direct && quay.privateAddresses == .always && quay.allow == nil)
        let hub = try upstream("docker.io", configuration)
        #expect(hub.proxy == .environment && hub.privateAddresses == .auto && hub.dockerConfig == nil)
    }

    @Test func `a way there that cannot be is a mistake`() throws {
        let file = try folder.file("some.pem", "x")
        for (keys, message) in [
            ("client-certificate: \(file)", "client-certificate: needs a client-key"),
            ("client-key: \(file)", "client-key: needs a client-certificate"),
            ("ca-file: /nowhere/ca.pem", "no file that can be read"),
            ("docker-config: /nowhere/config.json", "no file that can be read"),
            ("proxy: gateway:3128", "no proxy"), ("proxy: ftp://joe:s3cret@gateway", "no proxy"),
            ("allow-private-addresses: yes", "none of auto, true, false"), ("allow: [\"a b\"]", "no pattern"),
            ("docker-config: \(file), username: joe, password-file: \(file)", "keep one of the two"),
        ] {
            let mistakes = try folder.mistakes("upstreams:\n  docker.io: {\(keys)}\n")
            #expect(mistakes.count == 1)
            #expect(mistakes[0].hasPrefix("2: upstreams.docker.io.") && mistakes[0].contains(message), "\(mistakes)")
            #expect(!mistakes[0].contains("s3cret"))
        }
    }

    @Test func `a password is printed nowhere`() throws {
        let password = try folder.file("password", "s3cret")
        let (configuration, _) = try folder.load(
            """
            upstreams: {docker.io: {username: joe, password-file: \(password), proxy: "http://joe:s3cret@gateway"}}
            """)
        var dumped = ""
        dump(configuration, to: &dumped)
        #expect(!dumped.contains("s3cret"))
        #expect(!"\(configuration)".contains("s3cret"))
        #expect("\(try #require(configuration.upstreams[0].login).password)" == "<redacted>")
    }

    @Test func `passwords that cannot be had are mistakes`() throws {
        let several = try folder.file("several", "a\nb\n")
        let empty = try folder.file("empty", "\n")
        let some = try folder.file("some", "a")
        for (keys, message) in [
            ("username: joe", "username: needs a password-file"),
            ("password-file: \(some)", "password-file: needs a username"),
            ("username: joe, password-file: /nowhere/p", "is no file that can be read"),
            ("username: joe, password-file: \(several)", "several lines"),
            ("username: joe, password-file: \(empty)", "without a password"),
        ] {
            let mistakes = try folder.mistakes("upstreams:\n  docker.io: {\(keys)}\n")
            #expect(mistakes.count == 1)
            #expect(mistakes[0].hasPrefix("2: upstreams.docker.io.") && mistakes[0].contains(message), "\(mistakes)")
        }
    }

    @Test func `Docker Hub's token host is trusted only where Docker Hub is asked`() throws {
        let (configuration, _) = try folder.load("upstreams: {docker.io: {endpoints: https://mirror.acme.org}}")
        #expect(try upstream("docker.io", configuration).authHosts.isEmpty)
        let (both, _) = try folder.load(
            "upstreams: {docker.io: {endpoints: [https://mirror.acme.org, https://registry-1.docker.io]}}")
        #expect(try upstream("docker.io", both).authHosts == ["auth.docker.io"])
        let (none, _) = try folder.load("upstreams: {docker.io: {auth-hosts: []}}")
        #expect(try upstream("docker.io", none).authHosts.isEmpty)
    }

    @Test func `the list can be closed`() throws {
        let (configuration, _) = try folder.load(
            "builtin-upstreams: false\ndefault-upstream: acme.org\nupstreams: {acme.org: {}}")
        #expect(configuration.upstreams.map(\.name) == ["acme.org"])
        #expect(configuration.defaultUpstream == "acme.org")
    }

    @Test(arguments: [
        ("builtin-upstreams: false", "1: default-upstream: docker.io is no upstream here"),
        ("default-upstream: acme.org", "1: default-upstream: acme.org is no upstream here"),
        ("upstreams: {acme.org: {endpoints: []}}", "1: upstreams.acme.org.endpoints: name at least one"),
        ("upstreams: {acme.org: {endpoints: http://a}}", "1: upstreams.acme.org.endpoints: http://a is without TLS"),
        ("upstreams: {acme.org: {endpoints: [https://u:p@a]}}", "1: upstreams.acme.org.endpoints: "),
        ("upstreams: {Acme.org: {}}", "1: upstreams: \"Acme.org\" is a host in capitals"),
        ("upstreams: {https://acme.org: {}}", "1: upstreams: \"https://acme.org\" is no registry's host"),
        (
            "upstreams: {acme.org: {fresh: 1s}}",
            "1: unknown key upstreams.acme.org.fresh; the nearest known key is fresh-for"
        ),
        ("upstreams: {acme.org: {first-byte-timeout: 0s}}", "1: upstreams.acme.org.first-byte-timeout: "),
        (
            "upstreams: {acme.org: {background-fill: yes}}",
            "1: upstreams.acme.org.background-fill: \"yes\" is none of finish, stop"
        ),
    ])
    func `mistakes are told with their line`(yaml: String, beginning: String) throws {
        let mistakes = try folder.mistakes(yaml)
        #expect(mistakes.count == 1)
        #expect(mistakes[0].hasPrefix(beginning), "\(mistakes)")
    }

    @Test func `a URL on the command line takes the place of the file's endpoints`() throws {
        let yaml = "upstreams: {docker.io: {endpoints: https://file.acme.org, fresh-for: 7s}}"
        let (configuration, _) = try folder.load(yaml) {
            $0.upstreams = ["http://127.0.0.1:5001", "https://second", "ghcr.io=https://g", "new.org:1=http://n"]
        }
        let hub = try upstream("docker.io", configuration)
        #expect(hub.endpoints.map(\.description) == ["http://127.0.0.1:5001", "https://second"])
        #expect(hub.allowsHTTP, "http on the command line allows it")
        #expect(hub.freshness.freshFor == .seconds(7))
        #expect(try upstream("ghcr.io", configuration).endpoints.map(\.description) == ["https://g"])
        #expect(try !upstream("ghcr.io", configuration).allowsHTTP)
        #expect(try upstream("new.org:1", configuration).endpoints.map(\.description) == ["http://n"])
        #expect(configuration.origin(of: "upstreams.docker.io.endpoints") == .flag("--upstream"))
        #expect(configuration.upstreams.map(\.name).prefix(3) == ["docker.io", "ghcr.io", "new.org:1"])
    }

    @Test func `the environment names them too`() throws {
        let (configuration, _) = try folder.load("", ["WHARF_UPSTREAM": "http://a:1, quay.io=https://q"])
        #expect(try upstream("docker.io", configuration).endpoints.map(\.description) == ["http://a:1"])
        #expect(try upstream("quay.io", configuration).endpoints.map(\.description) == ["https://q"])
    }

    @Test(arguments: [
        "", "docker.io", "ghcr.io=", "=https://a", "ftp://a", "a b=https://c", "https://a?b=c", "Ghcr.io=https://a",
    ])
    func `what is no upstream on the command line`(text: String) throws {
        let mistakes = try folder.mistakes("") { $0.upstreams = [text] }
        #expect(mistakes.count == 1)
        #expect(mistakes[0].hasPrefix("--upstream: "))
    }
}
