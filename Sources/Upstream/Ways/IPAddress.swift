// An IPv4 or IPv6 address as bytes, read from text and from the kernel's form, and a block of them.
import Glibc

/// An address without a port and without a zone.
package struct IPAddress: Hashable, Sendable, CustomStringConvertible {
    /// In network order: 4 of IPv4, 16 of IPv6.
    let bytes: [UInt8]

    init(bytes: [UInt8]) { self.bytes = bytes }

    /// Nil for what is no literal address, so for every host name.
    ///
    /// Brackets may surround an IPv6 address and a zone may end it. IPv4 is read in all the forms that resolvers take
    /// for an address ("127.1", "0x7f000001", "2130706433"): what a resolver takes for one must not pass as a name.
    package init?(_ literal: String) {
        if literal.utf8.contains(UInt8(ascii: ":")) {
            var text = literal[...]
            if text.hasPrefix("["), text.hasSuffix("]") { text = text.dropFirst().dropLast() }
            var address = in6_addr()
            guard inet_pton(AF_INET6, String(text.prefix { $0 != "%" }), &address) == 1 else { return nil }
            bytes = withUnsafeBytes(of: address) { Array($0) }
        } else {
            var address = in_addr()
            guard inet_aton(literal, &address) != 0 else { return nil }
            bytes = withUnsafeBytes(of: address) { Array($0) }
        }
    }

    /// Reads a `sockaddr` in place; nil for what is neither IPv4 nor IPv6. The memory behind the pointer is as long as
    /// its family demands, which for IPv6 is more than the struct.
    init?(socketAddress raw: UnsafeRawPointer) {
        let place: (offset: Int?, count: Int)
        switch CInt(raw.load(as: sa_family_t.self)) {  // the first member of them all on Linux
        case AF_INET: place = (MemoryLayout<sockaddr_in>.offset(of: \.sin_addr), 4)
        case AF_INET6: place = (MemoryLayout<sockaddr_in6>.offset(of: \.sin6_addr), 16)
        default: return nil
        }
        guard let offset = place.offset else { return nil }
        bytes = Array(UnsafeRawBufferPointer(start: raw + offset, count: place.count))
    }

    /// As RFC 5952 and dotted decimals have it, without brackets.
    package var description: String {
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        inet_ntop(bytes.count == 4 ? AF_INET : AF_INET6, bytes, &text, socklen_t(text.count))
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

/// All addresses that begin with the same bits: RFC 4632 §3.1, RFC 4291 §2.3.
package struct AddressBlock: Hashable, Sendable {
    private let start: IPAddress
    /// How many bits are the same.
    private let length: Int

    /// Nil unless the text is an address, "/" and a count of bits that the address has.
    package init?(_ text: String) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false)
        guard parts.count == 2, let start = IPAddress(String(parts[0])), let length = Int(parts[1]),
            (0...start.bytes.count * 8).contains(length)
        else { return nil }
        self.start = start
        self.length = length
    }

    package func contains(_ address: IPAddress) -> Bool {
        guard address.bytes.count == start.bytes.count else { return false }
        return (0..<length).allSatisfy { bit in
            (address.bytes[bit / 8] ^ start.bytes[bit / 8]) & (0x80 >> (bit % 8)) == 0
        }
    }
}
