// How a host is reached: through whom, trusting whom, as whom, and at which addresses.

/// How a connection is made, and to whom it may be.
///
/// A connection once made serves other requests of the same way only.
package struct Way: Hashable, Sendable {
    /// Nil: straight, whatever the environment says.
    package var proxy: ProxyURL?
    /// A file of certificates in PEM, trusted besides the system's, for the host and for an https proxy.
    package var caFile: String?
    /// What is shown where TLS asks for a certificate of the client.
    package var identity: ClientIdentity?
    /// Judged at the very address that is connected to. Through a proxy, which does the looking up, only literal
    /// addresses and a few well-known names can be.
    package var addresses: AddressRule

    package init(
        proxy: ProxyURL? = nil, caFile: String? = nil, identity: ClientIdentity? = nil, addresses: AddressRule = .any
    ) {
        self.proxy = proxy
        self.caFile = caFile
        self.identity = identity
        self.addresses = addresses
    }

    /// Why a host must not even be tried; nil where the address that is found will tell.
    func refusal(ofHost host: String) -> String? { proxy == nil ? nil : addresses.refusal(ofHost: host) }

    /// What is asked of the addresses that are connected to: a proxy was configured, so it may be anywhere.
    var addressesToConnect: AddressRule { proxy == nil ? addresses : .any }
}

/// A certificate and its key, both PEM, read anew for each connection. The key has no passphrase.
package struct ClientIdentity: Hashable, Sendable {
    package let certificateFile: String
    package let keyFile: String

    package init(certificateFile: String, keyFile: String) {
        self.certificateFile = certificateFile
        self.keyFile = keyFile
    }
}
