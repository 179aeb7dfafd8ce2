// What is spoken where clients come in: a certificate, its key and the clients' authority, read from their files.

import FoundationEssentials
import Glibc
import HTTPSemantics
import HTTPServer
import OCI

extension Configuration {
    /// Equal where the files have the same names and hold the same.
    package struct TLS: Equatable, Sendable {
        package struct File: Hashable, Sendable {
            package let path: String
            fileprivate let contents: Digest
        }

        /// What is wrong with the files, and under which key of `tls` the one stands that is to blame.
        struct Fault: Error, CustomStringConvertible {
            let key: String
            let mistake: ValueMistake

            var description: String { "tls.\(key): \(mistake.message)" }
        }

        package let certificate: File
        package let key: File
        package let clientCA: File?
        let server: ServerTLS
        /// Taken before they were read: what is written meanwhile is seen as a change.
        let stamps: [FileStamp?]

        init(certificate: String, key: String, clientCA: String?) throws(Fault) {
            stamps = FileStamp.of([certificate, key] + (clientCA.map { [$0] } ?? []))
            let chain = try Self.contents(of: certificate, for: "certificate")
            let secret = try Self.contents(of: key, for: "key")
            var authority: [UInt8]?
            if let clientCA { authority = try Self.contents(of: clientCA, for: "client-ca") }
            do throws(ServerTLS.Fault) {
                server = try ServerTLS(certificate: chain, key: secret, clientAuthority: authority)
            } catch {
                throw Fault(error, certificate: certificate, key: key, clientCA: clientCA ?? "")
            }
            self.certificate = File(path: certificate, contents: Digest.of(chain))
            self.key = File(path: key, contents: Digest.of(secret))
            self.clientCA = clientCA.map { File(path: $0, contents: Digest.of(authority ?? [])) }
        }

        /// The same files as they are now.
        func readAgain() throws(Fault) -> TLS {
            try TLS(certificate: certificate.path, key: key.path, clientCA: clientCA?.path)
        }

        package static func == (one: TLS, other: TLS) -> Bool {
            (one.certificate, one.key) == (other.certificate, other.key) && one.clientCA == other.clientCA
        }

        /// Why clients will refuse what is shown to them at this instant, in Unix seconds; `nil`: they have no reason.
        func warning(at now: Int64) -> String? {
            let validity = server.validity
            if now < validity.lowerBound {
                return "\(certificate.path) is not valid before \(HTTPDate.format(validity.lowerBound)), and clients "
                    + "refuse it until then: is the clock right?"
            }
            guard now >= validity.upperBound else { return nil }
            return "\(certificate.path) has expired on \(HTTPDate.format(validity.upperBound)), and clients refuse it: "
                + "write another into the files, which is taken up by itself"
        }

        private static func contents(of path: String, for key: String) throws(Fault) -> [UInt8] {
            guard let bytes = FileManager.default.contents(atPath: path) else {
                throw Fault(key: key, mistake: ValueMistake(path, "no file that can be read"))
            }
            return Array(bytes)
        }
    }

    /// All of `tls`, or nothing.
    mutating func readTLS(_ root: inout ConfigurationSection, _ notes: ConfigurationNotes) {
        var section = root.section("tls")
        defer { section.finish() }
        let certificate = section.optional("certificate", ConfigurationValues.text)
        let key = section.optional("key", ConfigurationValues.text)
        let clientCA = section.optional("client-ca", ConfigurationValues.text)
        guard let certificate, let key else {
            if certificate != nil { section.mistake("certificate", "needs a key beside it") }
            if key != nil { section.mistake("key", "needs a certificate beside it") }
            if clientCA != nil { section.mistake("client-ca", "needs a certificate and a key beside it") }
            return
        }
        do throws(TLS.Fault) {
            let tls = try TLS(certificate: certificate, key: key, clientCA: clientCA)
            if let warning = tls.warning(at: Int64(time(nil))) { notes.warn("tls.certificate: \(warning)") }
            self.tls = tls
        } catch {
            section.mistake(error.key, error.mistake.message)
        }
    }
}

extension Configuration.TLS.Fault {
    fileprivate init(_ fault: ServerTLS.Fault, certificate: String, key: String, clientCA: String) {
        switch fault {
        case .certificate:
            self.key = "certificate"
            mistake = ValueMistake(
                certificate, "no certificate in PEM; put the server's own first, then those that vouch for it")
        case .key:
            self.key = "key"
            mistake = ValueMistake(
                key, "no private key in PEM; one with a password is written without by: openssl pkey -in OLD -out NEW")
        case .keyOfAnother:
            self.key = "key"
            mistake = ValueMistake(key, "not the key of the first certificate in \(certificate)")
        case .clientAuthority:
            self.key = "client-ca"
            mistake = ValueMistake(clientCA, "no certificate in PEM; put those there that vouch for clients")
        case .unusable(let reason):
            self.key = "certificate"
            mistake = ValueMistake(certificate, "nothing that TLS can be spoken with: \(reason)")
        }
    }
}
