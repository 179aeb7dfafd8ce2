// What kind of network an address belongs to, and which kinds may be connected to.

/// Where an address leads, as far as its bits tell.
///
/// An IPv4 address inside an IPv6 one is judged as that IPv4 address: whatever translates it connects there.
/// - Source: IANA's special-purpose registries (RFC 6890) for IPv4 and IPv6.
package enum AddressClass: Hashable, Sendable, CaseIterable, CustomStringConvertible {
    /// Everything that is nothing below; the blocks for documentation too.
    case global
    /// RFC 1918, RFC 4193 and their like: a network of somebody's own.
    case `private`
    case loopback
    /// RFC 6598: between a provider and its customers.
    case carrierGrade
    /// RFC 3927 and RFC 4291 §2.5.6, and wherever else a cloud's metadata service answers.
    case linkLocal
    case multicast
    /// No address of a host: "this network" (RFC 1122), reserved, broadcast, outside the global unicast block.
    case unroutable

    /// The class of a literal address, brackets and zone allowed; nil for a host name.
    package init?(literal: String) {
        guard let address = IPAddress(literal) else { return nil }
        self.init(address)
    }

    init(_ address: IPAddress) {
        let itsOwn = Self.ofBlock(address)
        guard itsOwn != .loopback, let carrier = Self.carriers.first(where: { $0.block.contains(address) }) else {
            self = itsOwn
            return
        }
        let carried = Self.ofBlock(IPAddress(bytes: address.bytes[carrier.place].map { $0 ^ carrier.mask }))
        self = carried == .global ? carrier.ofGlobal : carried
    }

    package var description: String {
        switch self {
        case .global: "public"
        case .private: "private"
        case .loopback: "loopback"
        case .carrierGrade: "carrier-grade NAT"
        case .linkLocal: "link-local"
        case .multicast: "multicast"
        case .unroutable: "unroutable"
        }
    }

    // MARK: The tables

    /// The first block that contains an address has it, so exceptions come before what they are exceptions of.
    private static let blocks: [(block: AddressBlock, class: AddressClass)] = [
        // Metadata services outside 169.254/16: Azure, Alibaba, Oracle; then EC2, Google, Oracle and Scaleway on IPv6.
        ("168.63.129.16/32", .linkLocal), ("100.100.100.200/32", .linkLocal), ("192.0.0.192/32", .linkLocal),
        ("fd00:ec2::254/128", .linkLocal), ("fd20:ce::254/128", .linkLocal), ("fd00:c1::a9fe:a9fe/128", .linkLocal),
        ("fd00:42::42/128", .linkLocal),

        ("0.0.0.0/8", .unroutable), ("10.0.0.0/8", .private), ("100.64.0.0/10", .carrierGrade),
        ("127.0.0.0/8", .loopback), ("169.254.0.0/16", .linkLocal), ("172.16.0.0/12", .private),
        ("192.0.0.0/24", .private), ("192.168.0.0/16", .private), ("198.18.0.0/15", .private),
        ("224.0.0.0/4", .multicast), ("240.0.0.0/4", .unroutable), ("0.0.0.0/0", .global),

        ("::/128", .unroutable), ("::1/128", .loopback), ("fc00::/7", .private), ("fe80::/10", .linkLocal),
        ("fec0::/10", .private), ("ff00::/8", .multicast), ("2000::/3", .global), ("::/0", .unroutable),
    ].compactMap { text, itsClass in AddressBlock(text).map { ($0, itsClass) } }

    /// Where an IPv6 address carries an IPv4 one: IPv4-mapped and IPv4-compatible (RFC 4291 §2.5.5), NAT64 (RFC 6052,
    /// and RFC 8215 for a network's own), 6to4 (RFC 3056), and Teredo's client (RFC 4380), which is inverted.
    /// A translator of a network's own is inside that network, even where it leads to what is public.
    private static let carriers: [(block: AddressBlock, place: Range<Int>, mask: UInt8, ofGlobal: AddressClass)] = [
        ("::ffff:0:0/96", 12..<16, 0, .global), ("::/96", 12..<16, 0, .global), ("64:ff9b::/96", 12..<16, 0, .global),
        ("64:ff9b:1::/48", 12..<16, 0, .private), ("2002::/16", 2..<6, 0, .global),
        ("2001::/32", 12..<16, 0xFF, .global),
    ].compactMap { text, place, mask, ofGlobal in AddressBlock(text).map { ($0, place, mask, ofGlobal) } }

    private static func ofBlock(_ address: IPAddress) -> AddressClass {
        blocks.first { $0.block.contains(address) }?.class ?? .unroutable
    }
}
