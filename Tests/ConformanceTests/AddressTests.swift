// Where redirects may lead by address: every class of them on a network of the test's own, by number and by name.

import Foundation
import OCI
import TestSupport
import Testing

extension Conformance {
    @Suite("a redirect to an address that is not the Internet's") struct AddressTests {
        /// The class of an address with what a redirect names; the attacker listens at `address`.
        private struct Target {
            let what: String
            /// What the `Location` has for a host.
            let host: String
            let address: String

            init(_ what: String, _ host: String, at address: String) {
                self.what = what
                self.host = host
                self.address = address
            }
        }

        private static let endpoint = "203.0.113.10"
        private static let neighbour = "203.0.113.20"
        private static let privateAddress = "10.9.8.7"

        private static let names = [
            ("registry.test", endpoint), ("cdn.test", neighbour), ("metadata.test", "169.254.169.254"),
            ("loopback.test", "127.0.0.1"), ("loopback6.test", "::1"), ("private.test", privateAddress),
            ("nat64.test", "64:ff9b::a9fe:a9fe"), ("unique-local.test", "fd00:9::7"),
            ("carrier.test", "100.64.0.7"),
            ("both.test", privateAddress), ("both.test", neighbour),
        ]

        private static let forbidden = [
            Target("metadata", "169.254.169.254", at: "169.254.169.254"),
            Target("metadata by name", "metadata.test", at: "169.254.169.254"),
            Target("metadata as one number", "2852039166", at: "169.254.169.254"),
            Target("metadata within v6", "[::ffff:169.254.169.254]", at: "169.254.169.254"),
            Target("metadata behind NAT64", "[64:ff9b::a9fe:a9fe]", at: "64:ff9b::a9fe:a9fe"),
            Target("metadata behind NAT64 by name", "nat64.test", at: "64:ff9b::a9fe:a9fe"),
            Target("loopback", "127.0.0.1", at: "127.0.0.1"),
            Target("loopback in hexadecimal", "0x7f000001", at: "127.0.0.1"),
            Target("loopback shortened", "127.1", at: "127.0.0.1"),
            Target("loopback as localhost", "localhost", at: "127.0.0.1"),
            Target("loopback by name", "loopback.test", at: "127.0.0.1"),
            Target("loopback as 0.0.0.0", "0.0.0.0", at: "127.0.0.1"),
            Target("loopback of v6", "[::1]", at: "::1"),
            Target("loopback of v6 by name", "loopback6.test", at: "::1"),
            Target("private", privateAddress, at: privateAddress),
            Target("private by name", "private.test", at: privateAddress),
            Target("private within v6", "[::ffff:\(privateAddress)]", at: privateAddress),
            Target("unique local", "[fd00:9::7]", at: "fd00:9::7"),
            Target("unique local by name", "unique-local.test", at: "fd00:9::7"),
            Target("carrier's", "100.64.0.7", at: "100.64.0.7"),
            Target("carrier's by name", "carrier.test", at: "100.64.0.7"),
        ]

        private static let allowed = [
            Target("public", neighbour, at: neighbour), Target("public by name", "cdn.test", at: neighbour),
            Target("public of v6", "[2001:db9::5]", at: "2001:db9::5"),
        ]

        /// A name of two addresses, of which only one may be connected to.
        private static let mixed = Target("public beside private", "both.test", at: neighbour)

        /// A name that leads to the Internet when it is looked up first, and to the metadata service ever after.
        private static let rebinding = (1...3).map { Target("name that changes, \($0)", "rebind.test", at: neighbour) }

        /// A blob of text for each target, at a registry on `address` that redirects it there.
        private struct World {
            let mirror: Mirror
            let impostor: Impostor
            let attackers: [String: Impostor.Door]

            func door(_ address: String) throws -> Impostor.Door {
                guard let door = attackers[address] else { throw HarnessError("nobody is at \(address)") }
                return door
            }

            /// Asks for the blob that leads there; the status, and who came to that address meanwhile.
            func ask(_ target: Target) async throws -> (answer: Answer, visits: [Impostor.Visit]) {
                let door = try door(target.address)
                let before = try await impostor.visits(to: door).count
                let answer = try await mirror.get("/v2/library/prize/blobs/\(World.blob(for: target).digest)")
                return (answer, Array(try await impostor.visits(to: door).dropFirst(before)))
            }

            static func blob(for target: Target) -> TestBlob {
                TestBlob(Array("what lies at \(target.what), \(target.host)\n".utf8))
            }
        }

        /// - Parameters:
        ///   - keys: of the upstream at `endpoint`.
        ///   - others: lines of the configuration's `upstreams`, by the port at which every attacker listens.
        private func withWorld(
            endpoint: String = "http://registry.test", on address: String = endpoint, keys: [String] = [],
            others: (_ port: Int) -> String = { _ in "" },
            _ body: (World) async throws -> Void
        ) async throws {
            let targets = Self.forbidden + Self.allowed + [Self.mixed] + Self.rebinding
            try await withBench { bench in
                let all = Set(targets.map(\.address)).union([address, Self.endpoint]).subtracting(["127.0.0.1", "::1"])
                let network = try await OwnNetwork.start(
                    on: bench, addresses: all.sorted(), names: Self.names,
                    changing: ["rebind.test": [Self.neighbour, "169.254.169.254"]])
                let port = try freePort()
                let registry = Impostor.Door("registry", at: address, port: port)
                let attackPort = try freePort()
                var attackers: [String: Impostor.Door] = [:]
                var lines: [Impostor.Line] = []
                for target in targets {
                    let door = Impostor.Door("attacker at \(target.address)", at: target.address, port: attackPort)
                    attackers[target.address] = door
                    let blob = World.blob(for: target)
                    let location = "http://\(target.host):\(attackPort)/store/\(blob.digest)"
                    lines.append(
                        Impostor.Line(
                            at: registry, "/v2/library/prize/blobs/\(blob.digest)", status: 307, ["Location": location])
                    )
                    lines.append(
                        Impostor.Line(
                            at: door, "/store/\(blob.digest)", status: 200,
                            ["Content-Type": "application/octet-stream"],
                            body: String(decoding: blob.bytes, as: UTF8.self)))
                }
                let impostor = try await Impostor.start(
                    on: bench, [registry] + attackers.values.map { $0 }, lines, in: network)
                let mirror = try await Mirror.start(
                    on: bench, configuration: Mirror.dockerHub(at: ["\(endpoint):\(port)"], keys) + others(attackPort),
                    in: network)
                try await body(World(mirror: mirror, impostor: impostor, attackers: attackers))
            }
        }

        private func expectRefused(_ target: Target, _ world: World) async throws {
            let (answer, visits) = try await world.ask(target)
            #expect(answer.status == 404, "\(target.what): \(answer.summary)")
            #expect(answer.fields["Proxy-Status"]?.contains("destination_ip_") == true, "\(target.what)")
            #expect(visits.isEmpty, "\(target.what)")
        }

        private func expectFollowed(_ target: Target, _ world: World) async throws {
            let (answer, visits) = try await world.ask(target)
            #expect(answer.status == 200, "\(target.what): \(answer.summary)")
            #expect(Digest.of(answer.body) == World.blob(for: target).digest, "\(target.what)")
            #expect(!visits.isEmpty, "\(target.what)")
        }

        @Test func `is not followed from a public endpoint, whatever form it has, and nobody is connected to`()
            async throws
        {
            try await withWorld { world in
                for target in Self.forbidden { try await expectRefused(target, world) }
                // The counter-proof: this network does lead somewhere.
                for target in Self.allowed + [Self.mixed] { try await expectFollowed(target, world) }
                #expect(try await world.impostor.visits(to: world.door(Self.privateAddress)).isEmpty)
            }
        }

        @Test func `is not followed where a name changes between two looks at it`() async throws {
            try await withWorld { world in
                for target in Self.rebinding {
                    let (answer, _) = try await world.ask(target)
                    // Served from the address that was looked at, or refused.
                    let isRight = answer.status == 200 && Digest.of(answer.body) == World.blob(for: target).digest
                    #expect(isRight || answer.status == 404, "\(answer.summary)")
                }
                #expect(try await !world.impostor.visits(to: world.door(Self.neighbour)).isEmpty)
                #expect(try await world.impostor.visits(to: world.door("169.254.169.254")).isEmpty)
            }
        }

        @Test func `is not followed over a connection that another upstream has there already`() async throws {
            let internalUpstream = { (port: Int) in
                """
                  internal.test:
                    endpoints: ["http://\(Self.privateAddress):\(port)"]
                    allow-http: true

                """
            }
            try await withWorld(others: internalUpstream) { world in
                let unknown = Digest.of(Array("unknown".utf8))
                for path in ["manifests/latest", "blobs/\(unknown)"] {
                    let answer = try await world.mirror.get("/v2/internal.test/acme/tool/\(path)")
                    #expect(answer.status == 404, "\(answer.summary)")
                }
                #expect(try await !world.impostor.visits(to: world.door(Self.privateAddress)).isEmpty)
                for target in Self.forbidden where target.what.hasPrefix("private") {
                    try await expectRefused(target, world)
                }
            }
        }

        @Test func `is followed from an endpoint of the same class, and only to that`() async throws {
            try await withWorld(endpoint: "http://10.1.1.1", on: "10.1.1.1") { world in
                for target in Self.forbidden where !target.what.hasPrefix("private") && !target.what.hasPrefix("unique")
                {
                    try await expectRefused(target, world)
                }
                for target in Self.allowed + Self.forbidden.filter({ $0.what.hasPrefix("private") }) {
                    try await expectFollowed(target, world)
                }
            }
        }

        @Test func `is followed where the configuration says so, to link-local never`() async throws {
            try await withWorld(keys: ["allow-private-addresses: true"]) { world in
                for target in Self.forbidden where target.what.hasPrefix("metadata") {
                    try await expectRefused(target, world)
                }
                for target in Self.forbidden where target.what.hasPrefix("private") {
                    try await expectFollowed(target, world)
                }
            }
        }

        @Test func `is not followed from a private endpoint where the configuration forbids it`() async throws {
            try await withWorld(endpoint: "http://10.1.1.1", on: "10.1.1.1", keys: ["allow-private-addresses: false"]) {
                world in
                for target in Self.forbidden where target.what.hasPrefix("private") {
                    try await expectRefused(target, world)
                }
                for target in Self.allowed { try await expectFollowed(target, world) }
            }
        }
    }
}
