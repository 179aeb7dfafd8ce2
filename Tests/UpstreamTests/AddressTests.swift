// Which network an address belongs to, and which are never connected to.
import Testing

@testable import Upstream

@Suite("AddressClass and AddressRule: the special-purpose addresses of RFC 6890") struct AddressTests {
    @Test(arguments: [
        ("8.8.8.8", AddressClass.global), ("9.255.255.255", .global), ("11.0.0.0", .global),
        ("172.15.255.255", .global),
        ("172.32.0.0", .global), ("192.167.255.255", .global), ("192.169.0.0", .global), ("198.17.255.255", .global),
        ("198.20.0.0", .global), ("100.63.255.255", .global), ("100.128.0.0", .global), ("169.253.255.255", .global),
        ("169.255.0.0", .global), ("223.255.255.255", .global), ("126.255.255.255", .global), ("128.0.0.0", .global),
        ("192.0.2.1", .global), ("198.51.100.1", .global), ("203.0.113.1", .global), ("192.0.1.0", .global),
        ("10.0.0.0", .private), ("10.255.255.255", .private), ("172.16.0.0", .private), ("172.31.255.255", .private),
        ("192.168.0.0", .private), ("192.168.255.255", .private), ("198.18.0.0", .private),
        ("198.19.255.255", .private),
        ("192.0.0.8", .private), ("127.0.0.1", .loopback), ("127.255.255.255", .loopback),
        ("100.64.0.0", .carrierGrade), ("100.127.255.255", .carrierGrade), ("169.254.169.254", .linkLocal),
        ("169.254.0.0", .linkLocal), ("169.254.255.255", .linkLocal), ("168.63.129.16", .linkLocal),
        ("100.100.100.200", .linkLocal), ("192.0.0.192", .linkLocal), ("224.0.0.0", .multicast),
        ("239.255.255.255", .multicast), ("0.0.0.0", .unroutable), ("0.255.255.255", .unroutable),
        ("240.0.0.0", .unroutable), ("255.255.255.255", .unroutable),
    ])
    func `IPv4`(_ literal: String, _ expected: AddressClass) {
        #expect(AddressClass(literal: literal) == expected)
    }

    @Test(arguments: [
        ("2606:4700::1111", AddressClass.global), ("2001:db8::1", .global), ("2000::", .global),
        ("3fff:ffff::", .global),
        ("::1", .loopback), ("fc00::", .private), ("fdff:ffff::1", .private), ("fec0::1", .private),
        ("feff::1", .private), ("fe80::1", .linkLocal), ("febf::1", .linkLocal), ("fd00:ec2::254", .linkLocal),
        ("fd20:ce::254", .linkLocal), ("fd00:c1::a9fe:a9fe", .linkLocal), ("fd00:42::42", .linkLocal),
        ("ff02::1", .multicast), ("ff00::", .multicast), ("::", .unroutable), ("1fff::1", .unroutable),
        ("4000::1", .unroutable), ("fb00::1", .unroutable),
        ("[::1]", .loopback), ("fe80::1%eth0", .linkLocal), ("[fe80::1%25eth0]", .linkLocal),
    ])
    func `IPv6`(_ literal: String, _ expected: AddressClass) {
        #expect(AddressClass(literal: literal) == expected)
    }

    @Test(arguments: [
        ("::ffff:127.0.0.1", AddressClass.loopback), ("::ffff:7f00:1", .loopback), ("::ffff:10.0.0.1", .private),
        ("::ffff:169.254.169.254", .linkLocal), ("::ffff:8.8.8.8", .global), ("::ffff:0.0.0.0", .unroutable),
        ("::10.0.0.1", .private), ("::127.0.0.1", .loopback), ("::8.8.8.8", .global), ("::2", .unroutable),
        ("64:ff9b::127.0.0.1", .loopback), ("64:ff9b::a9fe:a9fe", .linkLocal), ("64:ff9b::8.8.8.8", .global),
        ("64:ff9b::100.64.0.1", .carrierGrade),
        ("64:ff9b:1::10.0.0.1", .private), ("64:ff9b:1::8.8.8.8", .private), ("64:ff9b:1::127.0.0.1", .loopback),
        ("64:ff9b:1:2:3:4:169.254.169.254", .linkLocal), ("64:ff9b:2::8.8.8.8", .unroutable),
        ("2002:7f00:1::", .loopback), ("2002:a9fe:a9fe::1", .linkLocal), ("2002:808:808::1", .global),
        ("2002:a00:1::", .private),
        // Teredo: the client's address is inverted.
        ("2001::80ff:fffe", .loopback), ("2001:0:4136:e378:8000:63bf:f5ff:fffe", .private),
        ("2001:0:0:0:0:0:f7f7:f7f7", .global), ("2001:0:7f00:1::5601:5601", .linkLocal),
    ])
    func `IPv4 inside IPv6 is judged as that IPv4`(_ literal: String, _ expected: AddressClass) {
        #expect(AddressClass(literal: literal) == expected)
    }

    @Test(arguments: [
        ("127.1", AddressClass.loopback), ("0x7f000001", .loopback), ("2130706433", .loopback),
        ("0177.0.0.1", .loopback),
        ("0", .unroutable), ("0xa9fea9fe", .linkLocal),
    ])
    func `what a resolver takes for an address is one`(_ literal: String, _ expected: AddressClass) {
        #expect(AddressClass(literal: literal) == expected)
    }

    @Test(arguments: [
        "", "registry.example", "localhost", "127.0.0.1.example", "1.2.3.4.5", "256.1.1.1", "[1::2", ":", "g::1",
    ])
    func `a host name has no class`(_ name: String) {
        #expect(AddressClass(literal: name) == nil)
    }

    @Test func `public is always allowed, link-local, multicast and unroutable never`() throws {
        let all = AddressRule(allowing: Set(AddressClass.allCases))
        let none = AddressRule(allowing: [])
        for literal in ["169.254.169.254", "[ff02::1]", "0.0.0.0", "fd00:ec2::254"] {
            #expect(all.refusal(ofHost: literal) != nil)
            #expect(AddressRule.any.refusal(ofHost: literal) == nil)
        }
        for literal in ["127.0.0.1", "10.0.0.1", "100.64.0.1", "[::1]"] {
            #expect(all.refusal(ofHost: literal) == nil)
            #expect(none.refusal(ofHost: literal) != nil)
        }
        #expect(none.refusal(ofHost: "8.8.8.8") == nil)
        #expect(all != .any)
        #expect(none == AddressRule(allowing: [.global, .multicast]))
    }

    @Test func `one class allowed is not another`() {
        let own = AddressRule(allowing: [.private])
        #expect(own.refusal(ofHost: "10.0.0.1") == nil)
        #expect(own.refusal(ofHost: "127.0.0.1") == "127.0.0.1 is a loopback address")
        #expect(own.refusal(ofHost: "100.64.0.1") == "100.64.0.1 is a carrier-grade NAT address")
        #expect(own.refusal(ofHost: "0.0.0.0") == "0.0.0.0 is an unroutable address")
    }

    @Test func `the words name host, address and class`() throws {
        let address = try #require(IPAddress("169.254.169.254"))
        let rule = AddressRule(allowing: [])
        #expect(
            rule.refusal(of: address, host: "cdn.example")
                == "cdn.example is at 169.254.169.254, a link-local address")
        #expect(rule.refusal(of: address, host: "169.254.169.254") == "169.254.169.254 is a link-local address")
        let mapped = try #require(IPAddress("::ffff:127.0.0.1"))
        #expect(rule.refusal(of: mapped, host: "h") == "h is at ::ffff:127.0.0.1, a loopback address")
    }

    @Test(arguments: [
        "localhost", "LocalHost.", "a.b.localhost", "localhost.localdomain", "ip6-localhost", "127.0.0.1.",
        "metadata.google.internal", "metadata.google.internal.", "①②⑦.0.0.1", "127.1", "[::ffff:127.0.0.1]",
        // 8.0.0.1 to us, 10.0.0.1 to others.
        "010.0.0.1",
    ])
    func `names that mean such an address, and ways to write it, are refused`(_ host: String) {
        #expect(AddressRule(allowing: [.private]).refusal(ofHost: host) != nil)
        #expect(AddressRule.any.refusal(ofHost: host) == nil)
    }

    @Test(arguments: ["cdn.example", "localhost.example", "notlocalhost", "8.8.8.8", "[2606:4700::1111]", "1e100.net"])
    func `other names say nothing`(_ host: String) {
        #expect(AddressRule(allowing: []).refusal(ofHost: host) == nil)
    }

    @Test func `a block has the addresses that begin like it, whole bytes or not`() throws {
        let block = try #require(AddressBlock("10.1.16.0/20"))
        for (literal, isInside) in [
            ("10.1.16.0", true), ("10.1.31.255", true), ("10.1.32.0", false), ("::a01:1000", false),
        ] {
            #expect(block.contains(try #require(IPAddress(literal))) == isInside)
        }
        for text in ["10.0.0.0", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/8/8", "::/129", "x/8", "10.0.0.0/"] {
            #expect(AddressBlock(text) == nil, "\(text)")
        }
    }
}
