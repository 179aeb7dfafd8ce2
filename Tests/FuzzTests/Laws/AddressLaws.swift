// Addresses, URLs, redirects and links: no private address is ever taken for a public one, and no URL means two hosts.

import Glibc
import HTTPTypes
import OCI

@testable import Upstream

extension FuzzTarget {
    /// A literal address; its bytes are also taken for addresses themselves.
    static let addresses = FuzzTarget(
        "addresses",
        seeds: [
            "127.0.0.1", "10.1.2.3", "0x7f000001", "2130706433", "127.1", "010.0.0.1", "[::1]", "::ffff:10.0.0.1",
            "64:ff9b::a00:1", "64:ff9b:1::a00:1", "2002:a00:1::", "2001:0:1::f5ff:fffe", "fe80::1%eth0",
            "fd00:ec2::254",
            "localhost", "metadata.google.internal.", "169.254.169.254", "8.8.8.8", "a.localhost", "1.2.3.4/8",
        ],
        words: [
            ".", ":", "::", "[", "]", "%", "0x", "0", "ffff:", "64:ff9b:", "2002:", "127", "4294967295", "256",
            ".localhost", " ",
            "\u{0}", "/", "①", "e", "\n",
        ]
    ) { bytes in
        let text = String(decoding: bytes, as: UTF8.self)
        let address = IPAddress(text)
        if let address {
            try hold(IPAddress("\(address)") == address, "\(address) reads back as another")
            try hold(AddressClass(literal: text) == AddressClass(address), "two classes of one address")
        }
        // What the resolver takes for an address must not pass for a name.
        if let resolved = resolved(text) {
            try hold(address == resolved, "the resolver reads \(resolved), we \(address.map { "\($0)" } ?? "a name")")
        }
        let onlyPublic = AddressRule(allowing: [])
        if onlyPublic.refusal(ofHost: text) == nil, let address {
            try hold(AddressClass(address) == .global, "\(address) may be asked by its name")
        }
        try lawOfCarriers(Array((bytes + [0, 0, 0, 0]).prefix(4)))
        let whole = IPAddress(bytes: Array((bytes + [UInt8](repeating: 0, count: 16)).prefix(16)))
        try hold(
            AddressClass(whole) != .global || whole.bytes[0] & 0xE0 == 0x20 || carries(whole), "\(whole) is public")
        _ = AddressBlock(text)
    }

    /// Each way to write an IPv4 address into an IPv6 one leads where that one does.
    private static func lawOfCarriers(_ four: [UInt8]) throws {
        let plain = IPAddress(bytes: four)
        let itsClass = AddressClass(plain)
        try hold((itsClass == .global) == PlainAddresses.isPublic(four), "\(plain) is \(itsClass)")
        let zeros = [UInt8](repeating: 0, count: 12)
        let forms: [[UInt8]] = [
            zeros.prefix(10) + [0xFF, 0xFF] + four, [0, 0x64, 0xFF, 0x9B] + zeros.prefix(8) + four,
            [0x20, 0x02] + four + zeros.prefix(10),
            [0x20, 0x01, 0, 0] + zeros.prefix(8) + four.map { ~$0 },
        ]
        for form in forms {
            let inside = IPAddress(bytes: form)
            try hold(AddressClass(inside) == itsClass, "\(plain) is \(itsClass), \(inside) \(AddressClass(inside))")
            try hold(
                IPAddress("\(inside)") == inside && IPAddress("[\(inside)]") == inside, "\(inside) reads otherwise")
        }
        let own = IPAddress(bytes: [0, 0x64, 0xFF, 0x9B, 0, 1] + zeros.prefix(6) + four)
        try hold(AddressClass(own) != .global, "a network's own translator is public")
    }

    private static func carries(_ address: IPAddress) -> Bool {
        let bytes = address.bytes
        return bytes.prefix(10).allSatisfy { $0 == 0 } || bytes.starts(with: [0, 0x64, 0xFF, 0x9B])
    }

    /// The literal address that `getaddrinfo` reads, without asking anybody.
    private static func resolved(_ text: String) -> IPAddress? {
        guard !text.utf8.contains(0) else { return nil }
        var hints = addrinfo()
        hints.ai_flags = AI_NUMERICHOST
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(text, nil, &hints, &list) == 0, let list else { return nil }
        defer { freeaddrinfo(list) }
        return list.pointee.ai_addr.flatMap { IPAddress(socketAddress: UnsafeRawPointer($0)) }
    }

    // MARK: URLs

    static let urls = FuzzTarget(
        "urls",
        seeds: [
            "https://registry-1.docker.io/v2/?n=1#part", "http://[::1]:5000", "/other?q=2", "//cdn/x",
            "https://u:s3cr3t@h:1/",
            "socks5h://u:s3cr3t@[::1]:1", "http://proxy:3128", "</v2/a/tags/list?n=2&last=b>; rel=\"next\"",
            "<a?x>; rel=prev, <b?y#z>; title=\"<\"; REL = \"first next\"", "https:x", "http:///h", "?n=1", "../x",
            "h\\@x/",
        ],
        words: [
            "http://", "https://", "//", "/", "\\", "@", ":", "?", "#", "..", "%2e", "%00", "%", "[", "]", "::1", "<",
            ">", ";",
            ",", "rel=", "next", "\"", " ", "\t", "\r\n", "\u{0}", "é", "。", "①", ":443", ":80", ":0", ":65536",
            "localhost",
        ]
    ) { bytes in
        let text = String(decoding: bytes, as: UTF8.self)
        if let url = UpstreamURL(text) { try lawOfURL(url) }
        if let base = UpstreamURL("https://h:5000/v2/a/blobs/x?y=1"), let url = base.resolving(text) {
            try lawOfURL(url)
        }
        if let home = UpstreamURL("https://h/v2/") {
            var redirects = Redirects(from: home, home: home.origin)
            do {
                try redirects.follow(ResponseHead(status: 307, fields: [.location: text], length: nil))
                try hold(redirects.url.origin.isSecure, "from https to http")
                try hold(redirects.isHome == (redirects.url.origin == home.origin), "home is elsewhere")
            } catch let error as UpstreamError {
                try hold(!"\(error)".contains("?"), "a query is told: \(error)")
            }
        }
        for proxy in [ProxyURL(text), ProxyURL(environment: text)].compactMap({ $0 }) {
            let again = ProxyURL("\(proxy)")
            try hold(again?.host == proxy.host && again?.port == proxy.port, "\(proxy) reads back otherwise")
            var dumped = ""
            dump(proxy, to: &dumped)
            try hold(proxy.password.map { $0.count < 4 || !dumped.contains($0) } ?? true, "a password is told")
        }
        if let endpoint = UpstreamEndpoint(text) { try lawOfURL(endpoint.url(.base, query: nil)) }
        if let query = ListPage.nextQuery(in: text) {
            try hold(
                text.contains(query) && !query.contains("#") && !query.contains(">"), "a query of its own: \(query)")
        }
    }

    private static func lawOfURL(_ url: UpstreamURL) throws {
        let text = url.absolute
        try hold(UpstreamURL(text) == url, "\(text) reads back as \(UpstreamURL(text)?.absolute ?? "nothing")")
        try hold(
            text.utf8.allSatisfy { 0x21...0x7E ~= $0 || $0 >= 0x80 }, "blanks or controls in \(text.debugDescription)")
        let host = url.origin.host
        try hold(!host.contains(where: { "@/\\?#% ".contains($0) }), "a host that is more than one: \(host)")
        try hold(1...65535 ~= url.origin.port, "port \(url.origin.port)")
    }
}

/// IANA's special-purpose blocks of IPv4 as numbers.
private enum PlainAddresses {
    static func isPublic(_ bytes: [UInt8]) -> Bool {
        let number = bytes.reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        let blocks: [(UInt32, UInt32)] = [
            (0x0000_0000, 8), (0x0A00_0000, 8), (0x6440_0000, 10), (0x7F00_0000, 8), (0xA9FE_0000, 16),
            (0xAC10_0000, 12),
            (0xC000_0000, 24), (0xC0A8_0000, 16), (0xC612_0000, 15), (0xE000_0000, 4), (0xF000_0000, 4),
            (0xA83F_8110, 32),
        ]
        return !blocks.contains { start, length in (number ^ start) >> (32 - length) == 0 }
    }
}
