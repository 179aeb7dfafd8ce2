// Who may import whom, as a table, and the doors that only few may open.

import Foundation

/// The napkin as data. A room that is not here has no business in `Sources/`.
enum Napkin {
    struct Room: Sendable {
        let ours: Set<String>
        let others: Set<String>
    }

    static let rooms: [String: Room] = [
        "OCI": Room(ours: ["COpenSSL"], others: ["FoundationEssentials"]),
        "HTTPSemantics": Room(ours: [], others: []),
        "Store": Room(ours: ["OCI", "CLinux"], others: ["GRDB", "Logging", "ServiceLifecycle"]),
        "Upstream": Room(
            ours: ["OCI", "HTTPSemantics", "CCurl"], others: ["HTTPTypes", "Logging", "ServiceLifecycle"]),
        "HTTPServer": Room(
            ours: [],
            others: [
                "NIOCore", "NIOPosix", "NIOTLS", "NIOSSL", "HTTPTypes", "Logging", "ServiceLifecycle",
            ]),
        "PullThrough": Room(ours: ["OCI", "HTTPSemantics", "Store", "Upstream"], others: ["Logging"]),
        "Hosting": Room(ours: ["OCI", "Store"], others: ["Logging", "ServiceLifecycle"]),
        "Frontend": Room(
            ours: ["OCI", "HTTPSemantics", "HTTPServer", "PullThrough", "Hosting", "CCrypt"], others: ["HTTPTypes"]),
        "wharf": Room(
            ours: [
                "OCI", "HTTPSemantics", "Store", "Upstream", "HTTPServer", "PullThrough", "Hosting", "Frontend",
            ], others: ["ArgumentParser", "Yams", "Logging", "ServiceLifecycle", "UnixSignals"]),
    ]

    /// The doors to C: no Swift in them.
    static let doors: Set<String> = ["CCrypt", "CCurl", "CLinux", "COpenSSL"]

    /// What comes with the toolchain, and where it may be used; nil: everywhere.
    static let toolchain: [String: (@Sendable (SourceFile) -> Bool)?] = [
        "Glibc": nil, "Synchronization": nil,
        // JSON, dates and paths as text.
        "FoundationEssentials": { ["OCI", "Upstream", "Frontend", "wharf"].contains($0.room) },
        // `Data` is how GRDB takes a BLOB.
        "Foundation": { $0.path.hasPrefix("Sources/Store/Metadata/") },
        // Threads of their own: for what blocks on the disk, for passwords, and for whoever reads the log.
        "Dispatch": {
            [
                "Sources/Store/Blobs/HashQueue.swift", "Sources/Frontend/Access/Passwords.swift",
                "Sources/wharf/LogWriter.swift",
            ].contains($0.path)
        },
    ]

    /// Imports that the table allows the room, but only in some of its files.
    static func isBehindItsDoor(_ module: String, in file: SourceFile) -> Bool {
        switch module {
        case "CCrypt":
            file.path == "Sources/Frontend/Access/Passwords.swift"
        case "CCurl":
            file.path.hasPrefix("Sources/Upstream/Transport/Curl")
        case "CLinux":
            file.path == "Sources/Store/Blobs/SystemCalls.swift"
        case "COpenSSL":
            file.path == "Sources/OCI/Digester.swift"
        case "NIOSSL":
            ["ServerTLS", "SecureConnection", "Pipeline"].map { "Sources/HTTPServer/\($0).swift" }.contains(file.path)
        case "GRDB":
            file.path.hasPrefix("Sources/Store/Metadata/")
        default:
            !module.hasPrefix("NIO") || file.room == "HTTPServer"
        }
    }

    /// What the file imports and may not, as `path:line: module`.
    static func strayImports(of file: SourceFile) -> [String] {
        guard let room = rooms[file.room] else { return ["\(file.path): a room that is not on the napkin"] }
        return file.imports.filter { module, _ in
            let isAllowed: Bool
            if let rule = toolchain[module] {
                isAllowed = rule?(file) ?? true
            } else {
                isAllowed = room.ours.contains(module) || room.others.contains(module)
            }
            return !isAllowed || !isBehindItsDoor(module, in: file)
        }.map { "\(file.path):\($0.line): \($0.module)" }
    }

    /// The first way round found in a graph of who imports whom, or nil.
    static func cycle(in graph: [String: Set<String>]) -> [String]? {
        var done: Set<String> = []
        func visit(_ room: String, _ way: [String]) -> [String]? {
            if let start = way.firstIndex(of: room) { return way[start...] + [room] }
            guard done.insert(room).inserted else { return nil }
            for next in (graph[room] ?? []).sorted() {
                if let cycle = visit(next, way + [room]) { return cycle }
            }
            return nil
        }
        for room in graph.keys.sorted() {
            if let cycle = visit(room, []) { return cycle }
        }
        return nil
    }
}

/// `Package.swift` as far as these laws need it: the targets under `Sources/` and what each declares to depend on.
struct PackageManifest {
    private(set) var targets: [String: Set<String>] = [:]
    private(set) var doors: Set<String> = []

    init(_ text: String) {
        let products = Self.products(in: text)
        for block in text.components(separatedBy: "\n        .").dropFirst() {
            guard let name = Self.quoted(after: "name:", in: block) else { continue }
            if block.hasPrefix("systemLibrary") { doors.insert(name) }
            let isRoom = block.hasPrefix("target(") || block.hasPrefix("executableTarget(")
            guard isRoom, !block.contains("path: \"Tests/") else { continue }
            targets[name] = Self.dependencies(in: block, products)
        }
    }

    /// `let grdb: Target.Dependency = .product(name: "GRDB", …)`
    private static func products(in text: String) -> [String: String] {
        var products: [String: String] = [:]
        for line in text.split(separator: "\n") where line.hasPrefix("let ") && line.contains(".product(") {
            let constant = line.dropFirst(4).prefix { $0 != ":" }
            products[String(constant)] = quoted(after: "name:", in: String(line))
        }
        return products
    }

    private static func dependencies(in block: String, _ products: [String: String]) -> Set<String> {
        guard let start = block.range(of: "dependencies: [") else { return [] }
        let list = block[start.upperBound...].prefix { $0 != "]" }
        return Set(
            list.split(separator: ",").map { $0.trimmingCharacters(in: .whitespacesAndNewlines) }
                .filter { !$0.isEmpty }
                .map { $0.hasPrefix("\"") ? String($0.dropFirst().dropLast()) : products[$0] ?? "undeclared \($0)" })
    }

    private static func quoted(after label: String, in text: String) -> String? {
        guard let start = text.range(of: "\(label) \"") else { return nil }
        return String(text[start.upperBound...].prefix { $0 != "\"" })
    }
}
