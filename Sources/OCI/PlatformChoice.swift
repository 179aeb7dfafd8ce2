// Which children of an index somebody wants: `linux/amd64`, `linux/arm64/v8`, `linux/arm`.

/// - Source: image-spec v1.1 "Image Index", `platform`; the short forms are containerd's.
package struct PlatformChoice: Hashable, Sendable, CustomStringConvertible {
    private let os: String
    private let architecture: String
    /// Nil: every variant.
    private let variant: String?

    /// `os/architecture` or `os/architecture/variant`; nil if it is neither.
    package init?(_ text: some StringProtocol) {
        let parts = text.lowercased().split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        let isMade = parts.allSatisfy { part in
            !part.isEmpty && part.utf8.count <= 64
                && part.utf8.allSatisfy { $0.isAlphanumeric || "._-".utf8.contains($0) }
        }
        guard isMade, (2...3).contains(parts.count) else { return nil }
        os = parts[0]
        architecture = Self.architecture(parts[1])
        variant = parts.count == 3 ? parts[2] : nil
    }

    /// Whether a child for this platform is meant. `arm64` without a variant is its v8.
    package func means(_ platform: Descriptor.Platform) -> Bool {
        let architecture = Self.architecture(platform.architecture.lowercased())
        guard platform.os.lowercased() == os, architecture == self.architecture else { return false }
        guard let variant else { return true }
        let standard = architecture == "arm64" ? "v8" : ""
        return (platform.variant?.lowercased() ?? standard) == variant
    }

    private static func architecture(_ name: String) -> String {
        switch name {
        case "x86_64", "x86-64": "amd64"
        case "aarch64": "arm64"
        default: name
        }
    }

    package var description: String { "\(os)/\(architecture)" + (variant.map { "/\($0)" } ?? "") }
}
