// The laws can fail: each is shown something that breaks it, and something near that does not.

import Testing

@Suite("Laws that can be broken") struct LawTests {
    private func file(_ text: String, at path: String = "Sources/Store/Blobs/Ingest.swift") -> SourceFile {
        SourceFile(path: path, text: text)
    }

    @Test(
        "an import is seen however it is written",
        arguments: [
            ("import OCI", "OCI"), ("package import OCI", "OCI"), ("@preconcurrency import NIOCore", "NIOCore"),
            ("@testable internal import Store", "Store"), ("import struct Foundation.Data", "Foundation"),
            ("    import Yams // for the file", "Yams"), ("// import OCI", nil), ("let import1 = 2", nil),
            ("/* import OCI */", nil), ("let text = \"import OCI\"", nil), ("an import of goods", nil),
        ] as [(String, String?)])
    func imports(line: String, module: String?) {
        #expect(file("// What.\n\(line)\n").imports.map(\.module) == (module.map { [$0] } ?? []))
    }

    @Test(
        "an import the table does not give is found",
        arguments: [
            ("Upstream", "Sources/Store/ContentStore.swift"), ("Store", "Sources/Upstream/Redirects.swift"),
            ("Store", "Sources/OCI/Digest.swift"), ("HTTPServer", "Sources/PullThrough/Fill.swift"),
            ("Frontend", "Sources/HTTPServer/Request.swift"), ("Upstream", "Sources/Hosting/HostedNames.swift"),
            ("CCurl", "Sources/Upstream/UpstreamRegistry.swift"),
            ("CCurl", "Sources/Upstream/Transport/Transport.swift"),
            ("GRDB", "Sources/Store/ContentStore.swift"), ("GRDB", "Sources/PullThrough/Fill.swift"),
            ("NIOCore", "Sources/Frontend/WharfResponder.swift"), ("NIOPosix", "Sources/wharf/Composition.swift"),
            ("COpenSSL", "Sources/OCI/Digest.swift"), ("COpenSSL", "Sources/Store/Blobs/Ingest.swift"),
            ("Foundation", "Sources/Upstream/Redirects.swift"), ("FoundationEssentials", "Sources/Store/Upkeep.swift"),
            ("Dispatch", "Sources/PullThrough/Fill.swift"), ("Crypto", "Sources/OCI/Digester.swift"),
            ("OCI", "Sources/Cellar/Wine.swift"),
        ])
    func strays(module: String, path: String) {
        #expect(Napkin.strayImports(of: file("// What.\nimport \(module)\n", at: path)).count == 1)
    }

    @Test(
        "an import the table gives is let be",
        arguments: [
            ("CCurl", "Sources/Upstream/Transport/CurlLoop.swift"), ("GRDB", "Sources/Store/Metadata/Schema.swift"),
            ("COpenSSL", "Sources/OCI/Digester.swift"), ("NIOCore", "Sources/HTTPServer/Pipeline.swift"),
            ("Glibc", "Sources/Store/ContentStore.swift"), ("Foundation", "Sources/Store/Metadata/Schema.swift"),
        ])
    func allowed(module: String, path: String) {
        #expect(Napkin.strayImports(of: file("// What.\nimport \(module)\n", at: path)) == [])
    }

    @Test func `a cycle is found and told`() {
        #expect(Napkin.cycle(in: ["a": ["b"], "b": ["c"], "c": ["a"]]) == ["a", "b", "c", "a"])
        #expect(Napkin.cycle(in: ["a": ["a"]]) == ["a", "a"])
        #expect(Napkin.cycle(in: ["a": ["b", "c"], "b": ["d"], "c": ["d"], "d": []]) == nil)
    }

    @Test func `a dependency declared, forgotten or not known shows`() {
        let manifest = PackageManifest(
            """
            let grdb: Target.Dependency = .product(name: "GRDB", package: "GRDB.swift")
            let package = Package(
                name: "x",
                targets: [
                    .systemLibrary(name: "COpenSSL", pkgConfig: "libcrypto"),
                    .target(name: "OCI", dependencies: ["COpenSSL"], swiftSettings: strict),
                    .target(
                        name: "Store", dependencies: [
                            "OCI", grdb, mystery,
                        ],
                        swiftSettings: strict),
                    .target(name: "Props", dependencies: ["OCI"], path: "Tests/Props"),
                    .testTarget(name: "StoreTests", dependencies: ["Store"]),
                    .executableTarget(name: "main"),
                ])
            """)
        #expect(manifest.doors == ["COpenSSL"])
        #expect(
            manifest.targets == ["OCI": ["COpenSSL"], "Store": ["OCI", "GRDB", "undeclared mystery"], "main": []])
    }

    @Test func `a file that is too long is found`() {
        #expect(TextLaws.length(file(String(repeating: "x\n", count: 451))).count == 1)
        #expect(TextLaws.length(file(String(repeating: "x\n", count: 450))) == [])
    }

    @Test func `a file that does not say what it is is found`() {
        for text in ["import OCI\n", "", "/// A type.\n", "\n// Late.\n"] {
            #expect(TextLaws.firstLine(file(text)).count == 1)
        }
        #expect(TextLaws.firstLine(file("// What lives here.\n")) == [])
    }

    @Test func `a line that is too wide is found, counted in characters`() {
        #expect(
            TextLaws.width(file("a\n" + String(repeating: "é", count: 121))) == [
                "Sources/Store/Blobs/Ingest.swift:2: 121 columns"
            ])
        #expect(TextLaws.width(file(String(repeating: "é", count: 120))) == [])
    }

    @Test(arguments: [
        "public let a = 1", "@_exported import OCI", "let a = 1 // TODO: b", "// FIXME", "open public class A {}",
    ])
    func `what is forbidden is found`(_ line: String) { #expect(TextLaws.forbidden(file(line)).count == 1) }

    @Test(arguments: ["let publicName = 1", "// the public may see it", "let a = \"public\"", "package let a = 1"])
    func `what only looks forbidden is let be`(_ line: String) { #expect(TextLaws.forbidden(file(line)) == []) }

    @Test(
        "a way round the compiler without a proof, or in a place it does not belong, is found",
        arguments: [
            ("let a = try! b()", "Sources/Store/A.swift"),
            ("let a: @unchecked Sendable", "Sources/Upstream/Transport/CurlA.swift"),
            ("nonisolated(unsafe) var a = 1", "Sources/Upstream/Transport/CurlA.swift"),
            ("// A proof.\nclass A: @unchecked Sendable {}", "Sources/Store/A.swift"),
            ("// A proof.\nnonisolated(unsafe) var a = 1", "Sources/Upstream/Transport/Transport.swift"),
        ])
    func excuses(text: String, path: String) { #expect(TextLaws.excused(file("\n\(text)", at: path)).count == 1) }

    @Test(
        "a proof beside it or above it is enough",
        arguments: [
            ("let a = try! b() // it parses: a constant", "Sources/Store/A.swift"),
            ("// It parses: a constant.\nlet a = try! b()", "Sources/Store/A.swift"),
            ("/// One thread touches it.\nclass A: @unchecked Sendable {}", "Sources/Upstream/Transport/CurlA.swift"),
            ("let a = \"try!\"", "Sources/Store/A.swift"), ("// @unchecked", "Sources/Store/A.swift"),
        ])
    func proofs(text: String, path: String) { #expect(TextLaws.excused(file("\n\(text)", at: path)) == []) }

    @Test(arguments: [
        "try await Task.sleep(for: .seconds(1))", "let now = Date()", "ContinuousClock.now",
        "let clock = ContinuousClock()",
        "time(nil)", "let t = Date.now",
    ])
    func `a clock of one's own is found, where none may be`(_ line: String) {
        #expect(TextLaws.clocks(file(line)).count == 1)
        #expect(TextLaws.clocks(file(line, at: "Sources/wharf/Composition.swift")) == [])
        #expect(TextLaws.clocks(file(line, at: "Sources/HTTPServer/Connection.swift")) == [])
    }

    @Test(arguments: [
        "try await clock.sleep(for: interval)", "HTTPDate()", "// never Date()", "let now = now()", "starttime(nil)",
    ])
    func `a clock that was given is let be`(_ line: String) { #expect(TextLaws.clocks(file(line)) == []) }

    @Test func `comments and literals are no code`() {
        let text = #"""
            let a = "x // y \" z" // c
            let b = /* d */ 1
            /* e
            f */ let c = """
                g "h"
                """; let d = 2
            """#
        #expect(file(text).code == ["let a = \" ", "let b =  1", "", " let c = ", "", "; let d = 2"])
    }
}
