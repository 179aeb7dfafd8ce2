// swift-tools-version: 6.2
// The rooms of the house, bottom-up. Sources/README.md has the napkin; Tests/ArchitectureTests holds the laws.
import PackageDescription

let strict: [SwiftSetting] = [
    .treatAllWarnings(as: .error),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("MemberImportVisibility"),
]

let nioCore: Target.Dependency = .product(name: "NIOCore", package: "swift-nio")
let nioPosix: Target.Dependency = .product(name: "NIOPosix", package: "swift-nio")
let nioEmbedded: Target.Dependency = .product(name: "NIOEmbedded", package: "swift-nio")
let nioHTTP1: Target.Dependency = .product(name: "NIOHTTP1", package: "swift-nio")
let nioTLS: Target.Dependency = .product(name: "NIOTLS", package: "swift-nio")
let nioSSL: Target.Dependency = .product(name: "NIOSSL", package: "swift-nio-ssl")
let httpTypes: Target.Dependency = .product(name: "HTTPTypes", package: "swift-http-types")
let grdb: Target.Dependency = .product(name: "GRDB", package: "GRDB.swift")
let logging: Target.Dependency = .product(name: "Logging", package: "swift-log")
let lifecycle: Target.Dependency = .product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let signals: Target.Dependency = .product(name: "UnixSignals", package: "swift-service-lifecycle")
let yams: Target.Dependency = .product(name: "Yams", package: "Yams")
let arguments: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")

let package = Package(
    name: "wharf",
    products: [
        .executable(name: "wharf", targets: ["wharf"]),
        // Loaded before libc by tests that break the disk; nothing of the program links it.
        .library(name: "DiskLab", type: .dynamic, targets: ["DiskLab"]),
    ],
    dependencies: [
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.0"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/jpsim/Yams", from: "6.2.2"),
    ],
    targets: [
        // Doors to C
        .systemLibrary(name: "CCurl", pkgConfig: "libcurl", providers: [.apt(["libcurl4-openssl-dev"])]),
        .systemLibrary(name: "COpenSSL", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CCrypt", providers: [.apt(["libcrypt-dev"])]),
        .systemLibrary(name: "CLinux"),

        // Words
        .target(name: "OCI", dependencies: ["COpenSSL"], swiftSettings: strict),
        .target(name: "HTTPSemantics", swiftSettings: strict),

        // Hands
        .target(name: "Store", dependencies: ["OCI", "CLinux", grdb, logging, lifecycle], swiftSettings: strict),
        .target(
            name: "Upstream", dependencies: ["OCI", "HTTPSemantics", "CCurl", httpTypes, logging, lifecycle],
            swiftSettings: strict),
        .target(
            name: "HTTPServer",
            dependencies: [nioCore, nioPosix, nioTLS, nioSSL, httpTypes, logging, lifecycle],
            swiftSettings: strict),

        // Minds
        .target(
            name: "PullThrough", dependencies: ["OCI", "HTTPSemantics", "Store", "Upstream", logging],
            swiftSettings: strict),
        .target(name: "Hosting", dependencies: ["OCI", "Store", logging, lifecycle], swiftSettings: strict),

        // Face
        .target(
            name: "Frontend",
            dependencies: ["OCI", "HTTPSemantics", "HTTPServer", "PullThrough", "Hosting", "CCrypt", httpTypes],
            // The dashboard and what describes the API are part of the program: there is no folder to lose.
            resources: [.embedInCode("Glance/openapi.json"), .embedInCode("Page/web")], swiftSettings: strict),

        // Switchboard
        .executableTarget(
            name: "wharf",
            dependencies: [
                "OCI", "HTTPSemantics", "Store", "Upstream", "HTTPServer", "PullThrough", "Hosting", "Frontend",
                arguments, yams, logging, lifecycle, signals,
            ],
            swiftSettings: strict),

        // Tests
        .target(name: "DiskLab", path: "Tests/DiskLab"),
        .target(
            name: "TestSupport", dependencies: ["OCI", nioCore, nioPosix, nioHTTP1], path: "Tests/TestSupport",
            swiftSettings: strict),
        .testTarget(name: "OCITests", dependencies: ["OCI"], swiftSettings: strict),
        .testTarget(name: "HTTPSemanticsTests", dependencies: ["HTTPSemantics", httpTypes], swiftSettings: strict),
        .testTarget(name: "StoreTests", dependencies: ["Store", "OCI", "TestSupport", grdb, logging], swiftSettings: strict),
        .testTarget(
            name: "UpstreamTests",
            dependencies: ["Upstream", "OCI", "HTTPSemantics", "TestSupport", httpTypes, logging],
            swiftSettings: strict),
        .testTarget(
            name: "HTTPServerTests",
            dependencies: ["HTTPServer", "TestSupport", nioCore, nioPosix, httpTypes, logging, lifecycle],
            swiftSettings: strict),
        .testTarget(
            name: "PullThroughTests",
            dependencies: ["PullThrough", "Store", "Upstream", "OCI", "HTTPSemantics", "TestSupport", logging],
            swiftSettings: strict),
        .testTarget(
            name: "HostingTests", dependencies: ["Hosting", "Store", "OCI", "TestSupport", logging],
            swiftSettings: strict),
        .testTarget(
            name: "FrontendTests",
            dependencies: [
                "Frontend", "PullThrough", "Hosting", "Store", "Upstream", "HTTPServer", "OCI", "HTTPSemantics",
                "TestSupport", httpTypes, logging,
            ],
            swiftSettings: strict),
        .testTarget(
            name: "wharfTests",
            dependencies: ["wharf", "Hosting", "Upstream", "OCI", "HTTPSemantics", "TestSupport", logging],
            swiftSettings: strict),
        .testTarget(
            name: "FuzzTests",
            dependencies: [
                "wharf", "Upstream", "HTTPServer", "OCI", "HTTPSemantics", "TestSupport", nioCore, nioEmbedded,
                httpTypes, logging,
            ],
            swiftSettings: strict),
        .testTarget(name: "ArchitectureTests", swiftSettings: strict),
        .testTarget(
            name: "ConformanceTests", dependencies: ["TestSupport", "OCI"], swiftSettings: strict),
    ],
    swiftLanguageModes: [.v6]
)

// LLVM's fuzzer wants everything built anew, with marks at every branch: only what it runs (deploy/fuzz).
if Context.environment["WHARF_FUZZ"] != nil {
    package.targets.removeAll { $0.isTest && $0.name != "FuzzTests" }
}
