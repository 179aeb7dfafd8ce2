// Ways out: HTTP and SOCKS proxies for an upstream, by configuration and by environment.

import Foundation
import OCI
import Testing

extension Conformance {
    @Suite("a proxy towards the upstream") struct ProxyTests {
        /// A name that the mirror cannot resolve: only a proxy in a world of its own can.
        private static let name = "registry.test"
        private static let manifest = "/v2/library/harbour/manifests/latest"

        private struct Way {
            let bench: Bench
            let seed: Seed
            let registry: DebianRegistry
            /// For who shall know the name.
            let knowing: Surroundings

            var endpoint: String { "http://\(ProxyTests.name):\(registry.port)" }

            func mirror(_ keys: [String], at endpoint: String? = nil, variables: [String: String] = [:]) async throws
                -> Mirror
            {
                try await Mirror.start(
                    on: bench,
                    configuration: "log: {level: trace}\n" + Mirror.dockerHub(at: [endpoint ?? self.endpoint], keys),
                    surroundings: Surroundings(variables: variables))
            }

            /// Pulls an image whole, a range of it too.
            func pull(through mirror: Mirror) async throws {
                #expect(try await mirror.head(ProxyTests.manifest).status == 200)
                let answer = try await mirror.get(ProxyTests.manifest)
                #expect(Digest.of(answer.body).description == seed.harbour.manifest.digest, "\(answer.summary)")
                for blob in seed.harbour.blobs {
                    let answer = try await mirror.get("/v2/library/harbour/blobs/\(blob.digest)")
                    #expect(Digest.of(answer.body).description == blob.digest, "\(answer.status)")
                }
            }

            /// The upstream cannot be reached, and the words tell why without a secret.
            func expectFailure(of mirror: Mirror, _ word: String, secret: String) async throws {
                let answer = try await mirror.get(ProxyTests.manifest)
                #expect((500...504).contains(answer.status), "\(answer.summary)")
                let told = (answer.fields["Proxy-Status"] ?? "") + answer.text
                #expect(told.contains(word), "\(told)")
                let said = try await told + mirror.child.outputText() + mirror.get("/stats").text
                #expect(!said.contains(secret))
            }
        }

        private func withWay(_ body: (Way) async throws -> Void) async throws {
            let seed = try await Seed.shared()
            try await withBench { bench in
                let registry = try await DebianRegistry.start(on: bench, storage: seed.storage)
                let hosts = try bench.write("127.0.0.1 localhost \(Self.name)\n", to: "hosts")
                try await body(
                    Way(bench: bench, seed: seed, registry: registry, knowing: Surroundings(hosts: hosts)))
            }
        }

        @Test func `tinyproxy is spoken to with its password, and resolves the name`() async throws {
            try await withWay { way in
                let proxy = try await Tinyproxy.start(on: way.bench, surroundings: way.knowing)
                let mirror = try await way.mirror(["proxy: \(proxy.url)"])
                try await way.pull(through: mirror)
                let asked = try proxy.requests()
                #expect(asked.contains("HEAD \(way.endpoint)\(Self.manifest) HTTP/1.1"), "\(asked)")
                #expect(asked.allSatisfy { $0.contains(" \(way.endpoint)/v2/") }, "\(asked)")
                #expect(!mirror.child.outputText().contains(Tinyproxy.password))
            }
        }

        @Test func `tinyproxy tunnels what is TLS, and sees no more than the name`() async throws {
            try await withWay { way in
                let front = try await TLSFront.start(on: way.bench, to: way.registry.port, names: ["DNS:\(Self.name)"])
                let proxy = try await Tinyproxy.start(
                    on: way.bench, connectPorts: [front.port], surroundings: way.knowing)
                let mirror = try await way.mirror(
                    ["proxy: \(proxy.url)", "ca-file: \(front.authority.certificate)"],
                    at: "https://\(Self.name):\(front.port)")
                try await way.pull(through: mirror)
                #expect(Set(try proxy.requests()) == ["CONNECT \(Self.name):\(front.port) HTTP/1.1"])
            }
        }

        @Test func `that refuses to tunnel, refuses the password or is not there is told in words`() async throws {
            try await withWay { way in
                let proxy = try await Tinyproxy.start(on: way.bench, surroundings: way.knowing)
                let closed = try await way.mirror(
                    ["proxy: \(proxy.url)"], at: "https://\(Self.name):\(way.registry.port)")
                try await way.expectFailure(of: closed, "403", secret: Tinyproxy.password)
                let wrong = try await way.mirror(
                    ["proxy: http://\(Tinyproxy.user):wrong-secret-3@127.0.0.1:\(proxy.port)"],
                    at: "https://\(Self.name):\(way.registry.port)")
                try await way.expectFailure(of: wrong, "proxy", secret: "wrong-secret-3")
                let nobody = try await way.mirror(["proxy: http://a:gone-secret-4@127.0.0.1:\(try freePort())"])
                try await way.expectFailure(of: nobody, "refused", secret: "gone-secret-4")
            }
        }

        @Test func `of SOCKS 5 is spoken to with its password, and resolves the name`() async throws {
            try await withWay { way in
                let proxy = try await SocksServer.start(on: way.bench, surroundings: way.knowing)
                let mirror = try await way.mirror(["proxy: \(proxy.url)"])
                try await way.pull(through: mirror)
                #expect(Set(proxy.targets()) == ["\(Self.name):\(way.registry.port)"])
                #expect(!mirror.child.outputText().contains(SocksServer.password))
            }
        }

        @Test func `of the environment is used but for no_proxy, and where the configuration says none`() async throws {
            try await withWay { way in
                let proxy = try await Tinyproxy.start(on: way.bench, surroundings: way.knowing)
                let mirror = try await way.mirror([], variables: ["http_proxy": proxy.url])
                try await way.pull(through: mirror)
                let count = try proxy.requests().count
                #expect(count > 0)
                #expect(!mirror.child.outputText().contains(Tinyproxy.password))

                for (keys, exceptions) in [([], "example.org,\(Self.name)"), (["proxy: none"], "")] {
                    let straight = try await way.mirror(
                        keys, variables: ["http_proxy": proxy.url, "no_proxy": exceptions])
                    let answer = try await straight.get(Self.manifest)
                    // Straight there is nobody of that name.
                    #expect(answer.status == 502, "\(answer.summary)")
                    #expect(answer.fields["Proxy-Status"]?.contains("dns_error") == true)
                }
                #expect(try proxy.requests().count == count)
            }
        }

        @Test func `is not asked for addresses where no redirect may lead`() async throws {
            try await withBench { bench in
                let registry = Impostor.Door("registry", port: try freePort())
                let digest = Digest.of(Array("x".utf8))
                let targets = [
                    "169.254.169.254", "10.0.0.5", "[::ffff:10.0.0.5]", "[64:ff9b::a9fe:a9fe]", "100.64.0.7",
                ]
                let blob = { (target: String) in Digest.of(Array(target.utf8)) }
                let lines = targets.map {
                    Impostor.Line(
                        at: registry, "/v2/library/prize/blobs/\(blob($0))", status: 307,
                        ["Location": "http://\($0):8080/store"])
                }
                let impostor = try await Impostor.start(on: bench, [registry], lines)
                let hosts = try bench.write("127.0.0.1 localhost \(Self.name)\n", to: "hosts")
                let proxy = try await Tinyproxy.start(on: bench, surroundings: Surroundings(hosts: hosts))
                let mirror = try await Mirror.start(
                    on: bench,
                    configuration: Mirror.dockerHub(
                        at: ["http://\(Self.name):\(registry.port)"], ["proxy: \(proxy.url)"]))
                for target in targets {
                    let answer = try await mirror.get("/v2/library/prize/blobs/\(blob(target))")
                    #expect(answer.status == 404, "\(answer.summary)")
                    #expect(answer.fields["Proxy-Status"]?.contains("destination_ip_") == true, "\(target)")
                }
                _ = try await mirror.get("/v2/library/prize/blobs/\(digest)")
                #expect(try await !impostor.requests(to: registry).isEmpty)
                #expect(try proxy.requests().allSatisfy { $0.contains(Self.name) })
            }
        }
    }
}
