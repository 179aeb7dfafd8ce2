// The keys under `tls`: what is right, what is not, and what has changed, down to what the files hold.

import Glibc
import TestSupport
import Testing

@testable import wharf

@Suite("Configuration of TLS") struct ConfigurationTLSTests {
    let folder: ConfigurationFolder
    private let certificate: String
    private let key: String
    private let authority: String

    init() throws {
        folder = try ConfigurationFolder()
        certificate = try folder.file("server.pem", TestCertificates.server)
        key = try folder.file("server.key", TestCertificates.serverKey)
        authority = try folder.file("ca.pem", TestCertificates.authority)
    }

    private func text(_ certificate: String? = nil, _ key: String? = nil, authority: String? = nil) -> String {
        let (certificate, key) = (certificate ?? self.certificate, key ?? self.key)
        return "tls:\n  certificate: \(certificate)\n  key: \(key)\n" + (authority.map { "  client-ca: \($0)\n" } ?? "")
    }

    @Test func `a certificate with its key is spoken with, and all are named with their lines`() throws {
        let (configuration, warnings) = try folder.load(text(authority: authority))
        #expect(warnings.isEmpty)
        let tls = try #require(configuration.tls)
        #expect(tls.certificate.path == certificate && tls.key.path == key && tls.clientCA?.path == authority)
        #expect(configuration.origin(of: "tls.key") == .file(folder.path("wharf.yaml"), line: 3))
        #expect(try folder.load(text()).0.tls?.clientCA == nil)
        #expect(try folder.load("tls: {certificate: , key: , client-ca: }").0.tls == nil)
    }

    @Test func `a chain, and a key of RSA`() throws {
        let chain = try folder.file("chain.pem", TestCertificates.server + TestCertificates.authority)
        #expect(try folder.load(text(chain)).0.tls != nil)
        let rsa = try folder.file("rsa.pem", TestCertificates.rsa)
        #expect(try folder.load(text(rsa, try folder.file("rsa.key", TestCertificates.rsaKey))).0.tls != nil)
    }

    @Test func `one without the other is a mistake`() throws {
        #expect(
            try folder.mistakes("tls: {certificate: \(certificate)}")
                == ["1: tls.certificate: needs a key beside it"])
        #expect(try folder.mistakes("tls:\n  key: \(key)") == ["2: tls.key: needs a certificate beside it"])
        #expect(
            try folder.mistakes("tls: {client-ca: \(authority)}")
                == ["1: tls.client-ca: needs a certificate and a key beside it"])
        #expect(try folder.mistakes("tls: {cert: x}")[0].contains("unknown key tls.cert; the nearest known key is"))
    }

    @Test func `a file that is not there or no file is a mistake`() throws {
        for path in ["/nowhere/server.pem", folder.path(".")] {
            #expect(try folder.mistakes(text(path)) == ["2: tls.certificate: \"\(path)\" is no file that can be read"])
            #expect(try folder.mistakes(text(nil, path)) == ["3: tls.key: \"\(path)\" is no file that can be read"])
            #expect(
                try folder.mistakes(text(authority: path))
                    == ["4: tls.client-ca: \"\(path)\" is no file that can be read"])
        }
    }

    @Test func `what is in a file and should not be is a mistake that says what should`() throws {
        let noise = try folder.file("noise.pem", "hello\n")
        let empty = try folder.file("empty.pem", "")
        let broken = try folder.file(
            "broken.pem", TestCertificates.server.replacing("MII", with: "MMM", maxReplacements: 1))
        for file in [noise, empty, key, broken] {
            #expect(
                try folder.mistakes(text(file))[0]
                    .hasPrefix("2: tls.certificate: \"\(file)\" is no certificate in PEM"))
            #expect(
                try folder.mistakes(text(authority: file))[0]
                    .hasPrefix("4: tls.client-ca: \"\(file)\" is no certificate in PEM"))
        }
        let locked = try folder.file("locked.key", TestCertificates.lockedKey)
        for file in [noise, empty, certificate, locked] {
            let mistakes = try folder.mistakes(text(nil, file))
            #expect(mistakes.count == 1 && mistakes[0].hasPrefix("3: tls.key: \"\(file)\" is no private key in PEM"))
        }
        for other in [TestCertificates.renewedKey, TestCertificates.rsaKey] {
            let file = try folder.file("other.key", other)
            #expect(
                try folder.mistakes(text(nil, file))
                    == ["3: tls.key: \"\(file)\" is not the key of the first certificate in \(certificate)"])
        }
    }

    @Test func `what has expired or is not valid yet is a warning`() throws {
        let expired = try folder.file("expired.pem", TestCertificates.expired)
        let (configuration, warnings) = try folder.load(text(expired))
        #expect(configuration.tls != nil)
        #expect(warnings.count == 1)
        #expect(warnings[0].contains("tls.certificate: \(expired) has expired on Fri, 31 Jan 2020 00:00:00 GMT"))
        let tls = try #require(configuration.tls)
        #expect(tls.warning(at: 1_577_836_799)?.contains("not valid before Wed, 01 Jan 2020 00:00:00 GMT") == true)
        #expect(tls.warning(at: 1_577_836_800) == nil)
    }

    @Test func `what has changed is told by its key, also where only the file holds something else`() throws {
        let before = try folder.load(text(authority: authority)).0
        #expect(before.changes(to: try folder.load(text(authority: authority)).0).isEmpty)
        #expect(before.changes(to: try folder.load(text()).0) == ["tls.client-ca"])
        #expect(
            try folder.load("").0.changes(to: before) == ["tls.certificate", "tls.key", "tls.client-ca"])
        _ = try folder.file("server.pem", TestCertificates.expired)
        #expect(before.changes(to: try folder.load(text(authority: authority)).0) == ["tls.certificate"])
    }
}

@Suite("Files that others write") struct FileWatchTests {
    private let folder: ConfigurationFolder
    private let paths: [String]

    init() throws {
        folder = try ConfigurationFolder()
        paths = [try folder.file("one", "1"), try folder.file("two", "2")]
    }

    @Test func `a change is told once, when it has held still`() throws {
        var watch = FileWatch(FileStamp.of(paths))
        #expect(try looks(&watch, [false, false]))
        _ = try folder.file("one", "longer")
        #expect(try looks(&watch, [false]))
        _ = try folder.file("two", "longer")
        #expect(try looks(&watch, [false, true, false, false]))
    }

    @Test func `a file that is replaced by one of the same size is another, and so is one that is gone`() throws {
        var watch = FileWatch(FileStamp.of(paths))
        let new = try folder.file("new", "3")
        #expect(rename(new, paths[0]) == 0)
        #expect(try looks(&watch, [false, true, false]))
        #expect(unlink(paths[1]) == 0)
        #expect(try looks(&watch, [false, true, false]))
    }

    private func looks(_ watch: inout FileWatch, _ expected: [Bool]) throws -> Bool {
        let seen = expected.map { _ in watch.hasSettled(FileStamp.of(paths)) }
        return seen == expected
    }
}
