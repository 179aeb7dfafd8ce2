// Which addresses each request of a question may be made to, and through whom: seen at the seam to the network.
import HTTPSemantics
import HTTPTypes
import Logging
import OCI
import Synchronization
import TestSupport
import Testing

@testable import Upstream

/// Answers by URL, and remembers what was asked.
private final class ScriptedTransport: Transport {
    struct Reply: Sendable {
        var status = 200
        var fields = HTTPFields()
        /// Where it says it came from.
        var address: String?
    }

    private struct Nothing: Transfer {
        func resume() {}
        func cancel() {}
    }

    private let replies: [String: Reply]
    private let requests = Mutex<[TransferRequest]>([])

    init(_ replies: [String: Reply]) { self.replies = replies }

    var asked: [TransferRequest] { requests.withLock { $0 } }

    func begin(_ request: TransferRequest, _ receiver: any TransferReceiver) -> any Transfer {
        requests.withLock { $0.append(request) }
        let reply = replies[request.url.absolute] ?? Reply(status: 404)
        _ = receiver.head(
            ResponseHead(status: reply.status, fields: reply.fields, length: 0, remoteAddress: reply.address))
        receiver.finished(.complete)
        return Nothing()
    }
}

@Suite("The way to whom a registry redirects") struct RedirectAddressTests {
    private let digest = Digest("sha256:" + String(repeating: "a", count: 64))!  // a literal of the grammar

    /// The requests that the size of a blob takes at an endpoint that redirects it.
    private func ways(
        from endpoint: String, at address: String?, to target: String,
        _ change: (inout UpstreamConfiguration) -> Void = { _ in }
    ) async -> [Way] {
        let path = "/v2/\(Laboratory.name)/blobs/\(digest)"
        let transport = ScriptedTransport([
            endpoint + path: ScriptedTransport.Reply(
                status: 307, fields: [.location: target + "/blob?signature=x"], address: address),
            target + "/blob?signature=x": ScriptedTransport.Reply(address: "192.0.2.7"),
        ])
        var configuration = UpstreamConfiguration(
            name: "registry.test", endpoints: [UpstreamEndpoint(endpoint)].compactMap { $0 }, allowHTTP: true)
        change(&configuration)
        let registry = UpstreamRegistry(
            configuration, transport: transport, clock: ManualClock(), now: { 0 },
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }, instance: "test")
        _ = await failure { () async throws(UpstreamError) in try await registry.blobSize(Laboratory.name, digest) }
        return transport.asked.map(\.way)
    }

    @Test(
        arguments: [
            ("203.0.113.5", []), ("10.1.2.3", [.private]), ("192.168.7.7", [.private]), ("127.0.0.1", [.loopback]),
            ("::1", [.loopback]), ("fd12::1", [.private]), ("100.64.1.1", []), ("169.254.1.1", []),
        ] as [(String, Set<AddressClass>)])
    func `auto allows the class at which the endpoint was met, and no other`(
        address: String, allowed: Set<AddressClass>
    ) async {
        let ways = await ways(from: "https://registry.test", at: address, to: "https://cdn.test")
        #expect(ways.map(\.addresses) == [.any, AddressRule(allowing: allowed)])
    }

    @Test func `never and always are what they say`() async {
        let never = await ways(from: "https://registry.test", at: "10.0.0.1", to: "https://cdn.test") {
            $0.privateAddresses = .never
        }
        #expect(never.last?.addresses == AddressRule(allowing: []))
        let always = await ways(from: "https://registry.test", at: "203.0.113.5", to: "https://cdn.test") {
            $0.privateAddresses = .always
        }
        #expect(always.last?.addresses == AddressRule(allowing: [.loopback, .private, .carrierGrade]))
    }

    @Test func `the configured host may be anywhere, at any port`() async {
        let ways = await ways(from: "https://registry.test", at: "203.0.113.5", to: "https://registry.test:8443")
        #expect(ways.map(\.addresses) == [.any, .any])
    }

    @Test func `a proxied endpoint's class is that of its literal address, or public`() async throws {
        let proxy = try #require(ProxyURL("http://proxy.test:3128"))
        for (endpoint, allowed) in [("http://10.0.0.1:5000", [.private]), ("https://registry.test", [])]
            as [(String, Set<AddressClass>)]
        {
            let ways = await ways(from: endpoint, at: nil, to: "https://cdn.test") {
                $0.proxies = Proxies(configured: .proxy(proxy), environment: [:])
            }
            #expect(ways.map(\.addresses) == [.any, AddressRule(allowing: allowed)])
            #expect(ways.allSatisfy { $0.proxy == proxy })
        }
    }

    @Test func `our certificate is shown to the endpoint alone, our authority trusted for all`() async {
        let identity = ClientIdentity(certificateFile: "/c.pem", keyFile: "/k.pem")
        let ways = await ways(from: "https://registry.test", at: "203.0.113.5", to: "https://cdn.test") {
            $0.identity = identity
            $0.caFile = "/ca.pem"
        }
        #expect(ways.map(\.identity) == [identity, nil])
        #expect(ways.map(\.caFile) == ["/ca.pem", "/ca.pem"])
    }

    @Test(
        arguments: [
            ("https://a.test", "/v2/x/tags/list", "/v2/"), ("https://a.test/pre/", "/pre/v2/x/tags/list", "/pre/v2/"),
            ("https://a.test/v2/ghcr.io", "/v2/ghcr.io/x/tags/list", "/v2/"),
            ("https://a.test/v2/", "/v2/x/tags/list", "/v2/"),
        ]) func `names follow a prefix that has the version already`(endpoint: String, tags: String, base: String) throws
    {
        let endpoint = try #require(UpstreamEndpoint(endpoint))
        let name = try #require(RepositoryName("x"))
        #expect(endpoint.url(.tags(name), query: nil).path == tags)
        #expect(endpoint.url(.base, query: nil).path == base)
    }
}
