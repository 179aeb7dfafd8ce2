// Ways out over libcurl: what an address rule keeps from being connected to, proxies, TLS.
import Glibc
import HTTPSemantics
import HTTPTypes
import Synchronization
import TestSupport
import Testing

@testable import Upstream

@Suite("Way: which addresses are connected to") struct WayAddressTests {
    private let publicOnly = Way(addresses: AddressRule(allowing: []))

    @Test(arguments: [false, true])
    func `a refused address gets no connection`(_ isIPv6: Bool) async throws {
        let listener = try Listener(isIPv6: isIPv6) { $0.answerAll() }
        try await CurlTransport.run { transport in
            let answer = try await transport.fetch("\(listener.url)secret?signature=secret", .get, publicOnly)
            #expect(answer.failure?.error == .destinationIPProhibited)
            #expect(answer.failure?.words == "\(isIPv6 ? "[::1]" : "127.0.0.1") is a loopback address")
            #expect(listener.accepted == 0)
            // It was there to be connected to.
            let loopback = Way(addresses: AddressRule(allowing: [.loopback]))
            #expect(try await transport.fetch(listener.url, .get, loopback).ends == [.complete])
        }
    }

    @Test func `a name is judged by the address it leads to`() async throws {
        let listener = try Listener { $0.answerAll() }
        try await CurlTransport.run { transport in
            let url = "http://localhost:\(listener.port)/"
            let answer = try await transport.fetch(url, .get, publicOnly)
            #expect(answer.failure?.error == .destinationIPProhibited)
            let words = try #require(answer.failure?.words)
            #expect(words.hasPrefix("localhost is at ") && words.hasSuffix(", a loopback address"))
            #expect(listener.accepted == 0)
            #expect(try await transport.fetch(url).ends == [.complete])
        }
    }

    @Test func `an IPv4-mapped address is judged as what it is connected to`() async throws {
        let listener = try Listener { $0.answerAll() }
        try await CurlTransport.run { transport in
            let url = "http://[::ffff:127.0.0.1]:\(listener.port)/"
            let answer = try await transport.fetch(url, .get, publicOnly)
            #expect(answer.failure?.error == .destinationIPProhibited, "\(answer.ends)")
            #expect(listener.accepted == 0)
            #expect(try await transport.fetch(url).ends == [.complete])
        }
    }

    @Test func `a connection that another rule left open is not used`() async throws {
        let listener = try Listener { $0.answerAll() }
        try await CurlTransport.run { transport in
            #expect(try await transport.fetch(listener.url).ends == [.complete])
            #expect(try await transport.fetch(listener.url).ends == [.complete])
            #expect(listener.accepted == 1)  // it is kept open
            let answer = try await transport.fetch(listener.url, .get, publicOnly)
            #expect(answer.failure?.error == .destinationIPProhibited)
            #expect(listener.accepted == 1)
            #expect(listener.heads.count == 2)
        }
    }

    @Test func `programs that are started meanwhile do not inherit a connection`() async throws {
        let listener = try Listener { $0.answerAll() }
        try await CurlTransport.run { transport in
            let answer = try await transport.fetch(listener.url)
            #expect(answer.ends == [.complete])  // and the connection is kept open
            let ours = (CInt(0)..<4096).filter { peerPort(of: $0) == listener.port }
            let inherited = ours.map { fcntl($0, F_GETFD) & FD_CLOEXEC }
            #expect(inherited == [FD_CLOEXEC])
        }
    }

    @Test func `stopping ends the transfers of every rule`() async throws {
        let listener = try Listener { connection in _ = connection.read(1_000_000) }  // never answers
        let transport = CurlTransport()
        let recorders = [AddressRule.any, AddressRule(allowing: [.loopback])].map { rule in
            let recorder = TransferRecorder()
            if let url = UpstreamURL(listener.url) {
                let request = TransferRequest(
                    method: .get, url: url, fields: [:], version: .http1, connectTimeout: .seconds(20),
                    stallTimeout: .seconds(20), way: Way(addresses: rule))
                _ = transport.begin(request, recorder)
            }
            return recorder
        }
        await transport.stop()
        for recorder in recorders { #expect(recorder.now.ends == [.cancelled]) }
        #expect(try await transport.fetch(listener.url, .get, publicOnly).ends == [.cancelled])
    }
}

@Suite("Way: through a proxy") struct WayProxyTests {
    private func way(_ scheme: String, _ proxy: Listener, _ login: String = "") throws -> Way {
        let url: ProxyURL = try #require(ProxyURL("\(scheme)://\(login)\(proxy.authority)"))
        return Way(proxy: url)
    }

    @Test func `http goes through an http proxy whole, our login to it only`() async throws {
        let proxy = try Listener { $0.proxyHTTP(to: 1) }
        try await CurlTransport.run { transport in
            let answer = try await transport.fetch(
                "http://registry.test:81/v2/", .get, try way("http", proxy, "user:p%40ss@"))
            #expect(answer.text == "GET http://registry.test:81/v2/ HTTP/1.1")
            #expect(answer.heads.first?.remoteAddress == nil)
            let head = try #require(proxy.heads.first)
            #expect(head.contains("\r\nProxy-Authorization: Basic dXNlcjpwQHNz\r\n"))
        }
    }

    @Test func `https is tunnelled, and each side sees only what is its own`() async throws {
        try await TLSServer.run { server in
            let proxy = try Listener { $0.proxyHTTP(to: server.port) }
            try await CurlTransport.run { transport in
                var way = try way("http", proxy, "user:pass@")
                way.caFile = server.caFile
                let answer = try await transport.fetch(
                    "https://registry.test:5000/v2/", .get, way, fields: [.authorization: "Bearer secret"])
                #expect(answer.heads.map(\.status) == [200], "\(answer.ends)")
                #expect(answer.heads.first?.fields[HTTPField.Name("X-Of")!] == nil)  // a token
                #expect(answer.heads.first?.remoteAddress == nil)
                #expect(answer.text.hasSuffix("Bearer secret"))
                let head = try #require(proxy.heads.first)
                #expect(head.hasPrefix("CONNECT registry.test:5000 HTTP/1.1\r\n"))
                #expect(head.contains("\r\nProxy-Authorization: Basic dXNlcjpwYXNz\r\n"))
                #expect(!head.contains("secret"))
            }
        }
    }

    @Test(arguments: [("403 Forbidden", ProxyError.destinationUnavailable), ("407 No", .proxyConfigurationError)])
    func `a refused CONNECT is told as the proxy's`(_ status: String, _ token: ProxyError) async throws {
        let proxy = try Listener { $0.proxyHTTP(to: 1, refusal: status) }
        try await CurlTransport.run { transport in
            let answer = try await transport.fetch(
                "https://registry.test/v2/?secret", .get, try way("http", proxy, "user:secret@"))
            #expect(answer.heads.isEmpty)
            #expect(answer.failure?.error == token)
            #expect(
                answer.failure?.words
                    == "the proxy http://\(proxy.authority) answered \(status.prefix(3)) to CONNECT registry.test:443")
        }
    }

    @Test(arguments: [false, true])
    func `SOCKS 5 gets the name, not an address, and our login`(_ demandsLogin: Bool) async throws {
        let listener = try Listener { $0.answerAll() }
        let proxy = try Listener { $0.proxySOCKS(to: listener.port, demandsLogin: demandsLogin) }
        try await CurlTransport.run { transport in
            let answer = try await transport.fetch(
                "http://registry.test:81/v2/", .get, try way("socks5h", proxy, demandsLogin ? "user:p%3Ass@" : ""))
            #expect(answer.text == "GET /v2/ HTTP/1.1", "\(answer.ends)")
            #expect(answer.heads.first?.remoteAddress == nil)
            #expect(proxy.destinations == ["registry.test:81"])
            #expect(proxy.logins == (demandsLogin ? ["user:p:ss"] : []))
        }
    }

    @Test(arguments: [
        (UInt8(5), ProxyError.connectionRefused), (2, .destinationUnavailable), (4, .destinationUnavailable),
    ])
    func `what SOCKS refuses is told as the proxy's`(_ reply: UInt8, _ token: ProxyError) async throws {
        let proxy = try Listener { $0.proxySOCKS(to: 1, reply: reply) }
        try await CurlTransport.run { transport in
            let answer = try await transport.fetch("http://registry.test/", .get, try way("socks5h", proxy))
            #expect(answer.failure?.error == token)
            #expect(answer.failure?.words.hasPrefix("through the proxy socks5h://\(proxy.authority): ") == true)
        }
    }

    @Test func `a login that SOCKS does not accept is a mistake of the configuration`() async throws {
        let proxy = try Listener { $0.proxySOCKS(to: 1, demandsLogin: true) }
        try await CurlTransport.run { transport in
            for login in ["", "nobody:secret@"] {
                let answer = try await transport.fetch("http://registry.test/", .get, try way("socks5h", proxy, login))
                #expect(answer.failure?.error == .proxyConfigurationError, "\(answer.ends)")
                #expect(answer.failure?.words.contains("secret") == false)
            }
        }
    }

    @Test func `a proxy that is not there is told by its name`() async throws {
        try await CurlTransport.run { transport in
            // Nobody has listened at port 1 for decades.
            for (proxy, token) in [
                ("http://127.0.0.1:1", ProxyError.connectionRefused), ("http://wharf.invalid:3128", .dnsError),
            ] {
                let url: ProxyURL = try #require(ProxyURL(proxy))
                let answer = try await transport.fetch("https://registry.test/", .get, Way(proxy: url))
                #expect(answer.failure?.error == token, "\(answer.ends)")
                #expect(answer.failure?.words.hasPrefix("through the proxy \(proxy): ") == true)
            }
        }
    }

    @Test(arguments: ["http", "socks5h"])
    func `what can be judged by its name is refused before the proxy hears of it`(_ scheme: String) async throws {
        let listener = try Listener { $0.answerAll() }
        let proxy = try Listener { connection in
            scheme == "http" ? connection.proxyHTTP(to: listener.port) : connection.proxySOCKS(to: listener.port)
        }
        try await CurlTransport.run { transport in
            var way = try way(scheme, proxy)
            way.addresses = AddressRule(allowing: [])
            for host in ["127.0.0.1", "[::1]", "localhost", "169.254.169.254", "[::ffff:a9fe:a9fe]", "%31%32%37.1"] {
                let answer = try await transport.fetch("http://\(host):81/", .get, way)
                #expect(answer.failure?.error == .destinationIPProhibited, "\(host) \(answer.ends)")
            }
            #expect(proxy.accepted == 0)
            // The proxy itself is configured, and may be on loopback.
            #expect(try await transport.fetch("http://registry.test:81/", .get, way).ends == [.complete])
            #expect(proxy.accepted == 1)
        }
    }

    @Test func `a connection through a proxy serves no one who goes straight`() async throws {
        let listener = try Listener { $0.answerAll() }
        let proxy = try Listener { $0.proxySOCKS(to: listener.port) }
        try await CurlTransport.run { transport in
            let way = try way("socks5h", proxy)
            for _ in 1...2 {
                for way in [way, Way()] {
                    let answer = try await transport.fetch(listener.url, .get, way)
                    #expect(answer.ends == [.complete], "\(String(describing: answer.failure))")
                }
            }
            #expect(proxy.accepted == 1)
            #expect(listener.accepted == 2)
        }
    }
}

@Suite("Way: TLS") struct WayTLSTests {
    @Test func `only what the system or the CA file trusts is trusted`() async throws {
        try await TLSServer.run { server in
            try await CurlTransport.run { transport in
                let stranger = try await transport.fetch(server.url)
                #expect(stranger.heads.isEmpty)
                #expect(stranger.failure?.error == .tlsCertificateError)
                let trusting = Way(caFile: server.caFile)
                #expect(try await transport.fetch(server.url, .get, trusting).heads.map(\.status) == [200])
                // The connection that trust has made is not the stranger's.
                #expect(try await transport.fetch(server.url).failure?.error == .tlsCertificateError)
                let otherName = try await transport.fetch("https://localhost:\(server.port)/", .get, trusting)
                #expect(otherName.failure?.error == .tlsCertificateError)
            }
        }
    }

    @Test func `an https proxy is trusted as the host is`() async throws {
        try await TLSServer.run { server in
            try await CurlTransport.run { transport in
                let proxy: ProxyURL = try #require(ProxyURL("https://127.0.0.1:\(server.port)"))
                // nginx takes the absolute form of a request, and so is proxy enough.
                let answer = try await transport.fetch(
                    "http://registry.test/v2/", .get, Way(proxy: proxy, caFile: server.caFile))
                #expect(answer.text.hasPrefix("HTTP/1.1 "), "\(answer.ends)")
                let stranger = try await transport.fetch("http://registry.test/v2/", .get, Way(proxy: proxy))
                #expect(stranger.failure?.error == .tlsCertificateError)
                #expect(stranger.failure?.words.hasPrefix("through the proxy \(proxy): ") == true)
            }
        }
    }

    @Test func `HTTP/2 shares a connection, HTTP/1.1 has its own`() async throws {
        try await TLSServer.run { server in
            try await CurlTransport.run { transport in
                let way = Way(caFile: server.caFile)
                var words: [[Substring]] = []
                for version in [TransferRequest.Version.http2, .http2, .http1, .http1, .http2] {
                    let answer = try await transport.fetch(server.url, .get, way, version: version)
                    words.append(answer.text.split(separator: " "))
                }
                #expect(words.map { $0.first } == ["HTTP/2.0", "HTTP/2.0", "HTTP/1.1", "HTTP/1.1", "HTTP/2.0"])
                let connections = words.map { $0[1] }
                #expect(Set(connections).count == 2)
                #expect(connections[0] == connections[1] && connections[2] == connections[3])
                #expect(connections[4] == connections[0])
            }
        }
    }

    @Test func `a shared connection that has gone silent is not asked again`() async throws {
        try await TLSServer.run { server in
            let isSilent = Atomic(false)
            let swallowed = Watched(0)
            let relay = try Listener { [port = server.port] connection in
                // Those that are there when it happens, not those that come later.
                let isNew = isSilent.load(ordering: .acquiring)
                connection.relay(to: port) {
                    guard !isNew, isSilent.load(ordering: .acquiring) else { return false }
                    swallowed.change { $0 += 1 }
                    return true
                }
            }
            let url = "https://\(relay.authority)/"
            try await CurlTransport.run { transport in
                let way = Way(caFile: server.caFile)
                #expect(try await transport.fetch(url, .get, way, version: .http2).text.hasPrefix("HTTP/2.0"))
                isSilent.store(true, ordering: .releasing)
                let request = TransferRequest(
                    method: .get, url: try #require(UpstreamURL(url)), fields: [:], version: .http2,
                    connectTimeout: .seconds(20), stallTimeout: .seconds(20), way: way)
                let (first, second) = (TransferRecorder(), TransferRecorder())
                var givenUp = [transport.begin(request, first)]
                await swallowed.wait { $0 >= 1 }
                let before = swallowed.value
                givenUp.append(transport.begin(request, second))
                await swallowed.wait { $0 > before }
                givenUp[0].cancel()
                #expect(await first.end() == .cancelled)
                // The other still waits there, so this goes a way of its own.
                let beside = try await transport.fetch(url, .get, way, version: .http2)
                #expect(beside.text.hasPrefix("HTTP/1.1"), "\(beside.ends)")
                givenUp[1].cancel()
                #expect(await second.end() == .cancelled)
                let after = try await transport.fetch(url, .get, way, version: .http2)
                #expect(after.ends == [.complete])
            }
        }
    }

    @Test func `a client certificate is shown by its own way alone`() async throws {
        try await TLSServer.run { server in
            try await CurlTransport.run { transport in
                let anonymous = Way(caFile: server.caFile)
                var known = anonymous
                known.identity = ClientIdentity(certificateFile: server.client.certificate, keyFile: server.client.key)
                for version in [TransferRequest.Version.http1, .http2] {
                    for (way, verified) in [(anonymous, "NONE"), (known, "SUCCESS"), (anonymous, "NONE")] {
                        let answer = try await transport.fetch(server.url, .get, way, version: version)
                        #expect(answer.text.split(separator: " ").dropFirst(2).first == verified[...], "\(answer.ends)")
                    }
                }
            }
        }
    }

    @Test func `a file that cannot be used is named`() async throws {
        try await TLSServer.run { server in
            try await CurlTransport.run { transport in
                let garbage = try server.folder.write(Array("no PEM".utf8), to: "garbage.pem")
                for file in ["/nowhere/ca.pem", garbage] {
                    let answer = try await transport.fetch(server.url, .get, Way(caFile: file))
                    #expect(answer.failure?.error == .proxyConfigurationError, "\(answer.ends)")
                    #expect(answer.failure?.words.hasPrefix("the CA file \(file) cannot be used: ") == true)
                    for (certificate, key) in [(file, server.client.key), (server.client.certificate, file)] {
                        let identity = ClientIdentity(certificateFile: certificate, keyFile: key)
                        let way = Way(caFile: server.caFile, identity: identity)
                        let answer = try await transport.fetch(server.url, .get, way)
                        #expect(answer.failure?.error == .proxyConfigurationError, "\(answer.ends)")
                        let words = "the client certificate \(certificate) with the key \(key) cannot be used: "
                        #expect(answer.failure?.words.hasPrefix(words) == true, "\(answer.ends)")
                    }
                }
            }
        }
    }
}
