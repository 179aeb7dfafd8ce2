// What the server shows, and asks for, where it speaks TLS: read from PEM, checked, and made ready for connections.
import NIOCore
import NIOSSL

/// A certificate with its chain and its key, and whose certificates clients must show, if any.
///
/// A connection keeps the one that it began with. Another one has other keys for session tickets, so that no session
/// outlives the certificate, or the authority, that it was begun under (RFC 8446 §4.6.1).
package struct ServerTLS: Sendable {
    package enum Fault: Error, Equatable {
        /// No certificate is in the PEM, or one that cannot be read.
        case certificate
        /// No private key is in the PEM, one that cannot be read, or one that a password protects.
        case key
        /// The key is not that of the first certificate.
        case keyOfAnother
        /// No certificate of an authority is in the PEM, or one that cannot be read.
        case clientAuthority
        /// What the library says of all of it together.
        case unusable(String)
    }

    let context: NIOSSLContext
    /// When what is shown begins and ceases to be valid, in Unix seconds: all of the chain is, in between.
    package let validity: Range<Int64>

    /// - Parameters:
    ///   - certificate: PEM: the server's own certificate first, then those between it and the authority.
    ///   - key: PEM: the key of the first.
    ///   - clientAuthority: PEM: clients must show a certificate that one of these vouches for; `nil`: they need none.
    package init(certificate: [UInt8], key: [UInt8], clientAuthority: [UInt8]? = nil) throws(Fault) {
        let chain = try Self.certificates(certificate, else: .certificate)
        guard let privateKey = try? NIOSSLPrivateKey(bytes: key, format: .pem) else { throw .key }
        var configuration = TLSConfiguration.makeServerConfiguration(
            certificateChain: chain.map { .certificate($0) }, privateKey: .privateKey(privateKey))
        configuration.minimumTLSVersion = .tlsv12
        configuration.applicationProtocols = ["http/1.1"]
        // Who has closed need not be waited for long: this is how long a client is that does not answer a close.
        configuration.shutdownTimeout = .seconds(2)
        if let clientAuthority {
            // Clients have no host name that could be checked: this is the strictest that there is for them.
            configuration.certificateVerification = .noHostnameVerification
            configuration.trustRoots = .certificates(try Self.certificates(clientAuthority, else: .clientAuthority))
            configuration.sendCANameList = true
        }
        do {
            context = try NIOSSLContext(configuration: configuration)
        } catch NIOSSLError.failedToLoadPrivateKey {
            // The certificate was loaded before it, and it was read before that: it does not go with that one.
            throw .keyOfAnother
        } catch {
            throw .unusable("\(error)")
        }
        let begin = chain.map { Int64($0.notValidBefore) }.max() ?? .min
        validity = begin..<max(begin, chain.map { Int64($0.notValidAfter) }.min() ?? .max)
    }

    private static func certificates(_ pem: [UInt8], else fault: Fault) throws(Fault) -> [NIOSSLCertificate] {
        // Why it cannot be read, the library does not say in words that help.
        guard let found = try? NIOSSLCertificate.fromPEMBytes(pem), !found.isEmpty else { throw fault }
        return found
    }
}
