// To which addresses a connection may be made, and in which words it is refused.

/// The classes of addresses that may be connected to.
///
/// Public ones always may. Link-local, multicast and unroutable ones never may, except where the host is one that was
/// configured and everything is allowed (`any`).
package struct AddressRule: Hashable, Sendable {
    private let allowed: Set<AddressClass>

    /// For hosts named in the configuration.
    package static let any = AddressRule(exactly: Set(AddressClass.allCases))

    package init(allowing classes: Set<AddressClass>) {
        self.init(exactly: classes.subtracting([.linkLocal, .multicast, .unroutable]).union([.global]))
    }

    private init(exactly allowed: Set<AddressClass>) { self.allowed = allowed }

    /// Why an address of a host must not be connected to; nil if it may be.
    func refusal(of address: IPAddress, host: String) -> String? {
        let itsClass = AddressClass(address)
        if allowed.contains(itsClass) { return nil }
        let isLiteral = IPAddress(host) == address
        return isLiteral ? "\(host) is \(itsClass.phrase)" : "\(host) is at \(address), \(itsClass.phrase)"
    }

    /// Why a host must not be asked, as far as its name alone tells: what is left to go by where a proxy does the
    /// looking up. Nil if it may be, and for every name that says nothing.
    func refusal(ofHost host: String) -> String? {
        guard self != .any else { return nil }
        // The mapping of IDNA turns "①②⑦" into "127", after this and out of sight.
        guard host.utf8.allSatisfy({ $0 < 0x80 }) else { return "\(host) is a name beyond ASCII" }
        var name = host.lowercased()
        while name.hasSuffix(".") { name.removeLast() }
        if let address = IPAddress(name) {
            if let refusal = refusal(of: address, host: name) { return refusal }
            // A proxy may read "010.0.0.1" as another address than we do.
            let isPlain = address.bytes.count == 16 || "\(address)" == name
            return isPlain ? nil : "\(name) is an unusual way to write \(address)"
        }
        for known in Self.knownNames where known.isMeant(by: name) && !allowed.contains(known.itsClass) {
            return "\(name) is a name of \(known.itsClass.phrase)"
        }
        return nil
    }

    private struct KnownName {
        let name: String
        let itsClass: AddressClass
        var withSubdomains = false

        func isMeant(by host: String) -> Bool { host == name || withSubdomains && host.hasSuffix(".\(name)") }
    }

    /// RFC 6761 §6.3, what Debian and Red Hat write into `/etc/hosts`, and the clouds' metadata services.
    private static let knownNames = [
        KnownName(name: "localhost", itsClass: .loopback, withSubdomains: true),
        KnownName(name: "localhost.localdomain", itsClass: .loopback),
        KnownName(name: "ip6-localhost", itsClass: .loopback), KnownName(name: "ip6-loopback", itsClass: .loopback),
        KnownName(name: "metadata", itsClass: .linkLocal),
        KnownName(name: "metadata.goog", itsClass: .linkLocal),
        KnownName(name: "metadata.google.internal", itsClass: .linkLocal),
        KnownName(name: "instance-data", itsClass: .linkLocal),
        KnownName(name: "instance-data.ec2.internal", itsClass: .linkLocal),
    ]
}

extension AddressClass {
    /// "a loopback address"
    fileprivate var phrase: String { self == .unroutable ? "an \(self) address" : "a \(self) address" }
}
