// An image as people type it, `registry/name:tag@digest`, with Docker's short forms.

/// - Source: github.com/distribution/reference, whose rules every client of Docker's shares.
package struct ImageReference: Hashable, Sendable {
    /// What an image is named by that names no registry.
    package static let dockerHub = "docker.io"

    /// The host of the registry, in lower case, with its port if one was typed: `docker.io`, `localhost:5000`.
    package let registry: String
    package let name: RepositoryName
    package let tag: Tag?
    package let digest: Digest?

    package init(registry: String, name: RepositoryName, tag: Tag?, digest: Digest?) {
        self.registry = registry
        self.name = name
        self.tag = tag
        self.digest = digest
    }

    /// Parses what a person typed: `debian` is `docker.io/library/debian`, `acme/app:1` is `docker.io/acme/app:1`. The
    /// first part is a registry if it has a `.` or a `:`, or is `localhost`.
    package init?(_ text: some StringProtocol) {
        var rest = String(text)[...]
        if let at = rest.lastIndex(of: "@") {
            guard let digest = Digest(rest[rest.index(after: at)...]) else { return nil }
            self.digest = digest
            rest = rest[..<at]
        } else {
            digest = nil
        }
        // A colon after the last slash begins the tag; one before it, a port.
        let afterSlash = rest.lastIndex(of: "/").map { rest.index(after: $0) } ?? rest.startIndex
        if let colon = rest[afterSlash...].firstIndex(of: ":") {
            guard let tag = Tag(rest[rest.index(after: colon)...]) else { return nil }
            self.tag = tag
            rest = rest[..<colon]
        } else {
            tag = nil
        }
        // `docker pull` refuses these too: they are image ids, not names.
        guard !(rest.utf8.count == 64 && rest.utf8.allSatisfy { $0.lowercaseHexValue != nil }) else { return nil }

        var host = Self.dockerHub
        if let slash = rest.firstIndex(of: "/"), Self.looksLikeHost(rest[..<slash]) {
            guard Self.isHost(rest[..<slash]) else { return nil }
            host = Self.canonical(host: rest[..<slash])
            rest = rest[rest.index(after: slash)...]
        }
        registry = host
        guard let typed = RepositoryName(rest) else { return nil }
        guard let name = registry == Self.dockerHub ? typed.inLibrary : typed else { return nil }
        self.name = name
    }

    /// A registry's host by the name that its images go by: in lower case, and Docker Hub's others are `docker.io`.
    package static func canonical(host: some StringProtocol) -> String {
        let host = host.lowercased()
        return host == "index.docker.io" || host == "registry-1.docker.io" ? dockerHub : host
    }

    /// What to ask the registry for: the digest counts before the tag, and neither means `latest`.
    package var reference: Reference { digest.map(Reference.digest) ?? .tag(tag ?? .latest) }

    /// What was typed before tag and digest, as it was typed.
    package static func path(of text: some StringProtocol) -> String {
        let rest = String(text.prefix { $0 != "@" })
        let afterSlash = rest.lastIndex(of: "/").map { rest.index(after: $0) } ?? rest.startIndex
        return String(rest[..<(rest[afterSlash...].firstIndex(of: ":") ?? rest.endIndex)])
    }

    private static func looksLikeHost(_ part: Substring) -> Bool {
        part == "localhost" || part.utf8.contains { $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: ":") }
    }

    /// Whether the text can be the host of a registry: a name of letters, digits and inner `-` between dots, or an
    /// IPv6 address in brackets; then perhaps `:` and a port.
    package static func isHost(_ text: some StringProtocol) -> Bool {
        text.withBytes { bytes in
            guard bytes.count <= 259 else { return false }  // a name of 253 bytes and a port
            var host = bytes[...]
            if bytes.first == UInt8(ascii: "[") {
                guard let bracket = bytes.firstIndex(of: UInt8(ascii: "]")) else { return false }
                let address = bytes[1..<bracket]
                guard address.count >= 2, address.contains(UInt8(ascii: ":")) else { return false }
                guard address.allSatisfy({ $0.hexValue != nil || $0 == UInt8(ascii: ":") || $0 == UInt8(ascii: ".") })
                else { return false }
                let rest = bytes[(bracket + 1)...]
                return rest.isEmpty || rest.first == UInt8(ascii: ":") && isPort(rest.dropFirst())
            }
            if let colon = bytes.firstIndex(of: UInt8(ascii: ":")) {
                guard isPort(bytes[(colon + 1)...]) else { return false }
                host = bytes[..<colon]
            }
            return host.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false).allSatisfy { label in
                guard let first = label.first, let last = label.last, label.count <= 63 else { return false }
                return first.isAlphanumeric && last.isAlphanumeric
                    && label.allSatisfy { $0.isAlphanumeric || $0 == UInt8(ascii: "-") }
            }
        }
    }

    private static func isPort(_ bytes: Slice<UnsafeBufferPointer<UInt8>>) -> Bool {
        guard (1...5).contains(bytes.count), bytes.allSatisfy(\.isDigit) else { return false }
        let port = bytes.reduce(0) { $0 * 10 + Int($1 & 15) }
        return (1...65535).contains(port)
    }
}

extension ImageReference: CustomStringConvertible {
    /// Always the full form.
    package var description: String {
        "\(registry)/\(name)" + (tag.map { ":\($0)" } ?? "") + (digest.map { "@\($0)" } ?? "")
    }
}
