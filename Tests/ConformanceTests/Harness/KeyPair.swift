// Certificates of a private authority, made by openssl on the bench.

import Foundation

/// Files of PEM.
struct KeyPair: Sendable {
    let certificate: String
    let key: String
}

/// Nobody trusts it but whom a test tells to.
struct PrivateAuthority: Sendable {
    /// Its own certificate: what `ca-file` names.
    let certificate: String
    private let own: KeyPair
    private let bench: Bench
    private let settings: String

    static func make(on bench: Bench) async throws -> PrivateAuthority {
        let folder = try bench.makeFolder("authority")
        let settings = try bench.write(
            """
            [req]
            distinguished_name = name
            prompt = no
            [name]
            CN = private authority
            [authority]
            basicConstraints = critical, CA:TRUE
            keyUsage = critical, keyCertSign, cRLSign
            subjectKeyIdentifier = hash
            """, to: "authority/openssl.cnf")
        let own = KeyPair(certificate: "\(folder)/ca.pem", key: "\(folder)/ca-key.pem")
        try await bench.succeed(
            "openssl", newKey + ["-config", settings, "-extensions", "authority"] + files(of: own))
        return PrivateAuthority(certificate: own.certificate, own: own, bench: bench, settings: folder)
    }

    /// A certificate for a server or a client.
    /// - Parameter names: as `subjectAltName` has them: "DNS:registry.test", "IP:127.0.0.1".
    func issue(_ name: String, for names: [String]) async throws -> KeyPair {
        let pair = KeyPair(certificate: bench.path("\(name).pem"), key: bench.path("\(name)-key.pem"))
        let settings = try bench.write(
            """
            [req]
            distinguished_name = name
            prompt = no
            [name]
            CN = \(name)
            [leaf]
            basicConstraints = critical, CA:FALSE
            subjectAltName = \(names.joined(separator: ", "))
            subjectKeyIdentifier = hash
            authorityKeyIdentifier = keyid
            """, to: "\(name).cnf")
        try await bench.succeed(
            "openssl",
            Self.newKey + ["-config", settings, "-extensions", "leaf", "-CA", own.certificate, "-CAkey", own.key]
                + Self.files(of: pair))
        return pair
    }

    private static let newKey = [
        "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
    ]

    private static func files(of pair: KeyPair) -> [String] { ["-keyout", pair.key, "-out", pair.certificate] }
}
