// The name of a repository as it stands in a path, by the grammar of the distribution-spec.

/// One or more components joined by `/`, at most 255 bytes; a component is lowercase letters and digits with single
/// `.` or `_`, double `__`, or any run of `-` between them.
///
/// The registry's host is no part of it, although a mirror's path may begin with one that reads as a component.
/// - Source: distribution-spec v1.1 "Pulling manifests".
package struct RepositoryName: Hashable, Sendable, CustomStringConvertible {
    /// Bytes; what clients and other registries allow, host aside.
    package static let sizeLimit = 255

    package let description: String

    package init?(_ text: some StringProtocol) {
        guard text.withBytes({ Self.isGrammatical($0) }) else { return nil }
        description = String(text)
    }

    private init(grammatical: String) { description = grammatical }

    package var components: [Substring] { description.split(separator: "/") }

    /// `acme` of `acme/app`: where a mirror's path may carry the upstream's host.
    package var firstComponent: Substring { description.prefix { $0 != "/" } }

    /// `app/x` of `acme/app/x`; `nil` if there is but one component.
    package var withoutFirstComponent: RepositoryName? {
        guard let slash = description.utf8.firstIndex(of: UInt8(ascii: "/")) else { return nil }
        return RepositoryName(grammatical: String(description[description.index(after: slash)...]))
    }

    /// Docker Hub's rule: a name of one component means `library/` and it; every other name means itself.
    /// `nil` if that is over the limit.
    package var inLibrary: RepositoryName? {
        description.utf8.contains(UInt8(ascii: "/")) ? self : RepositoryName("library/\(description)")
    }

    private static func isGrammatical(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
        guard bytes.count <= sizeLimit, let last = bytes.last, last.isLowercaseAlphanumeric else { return false }
        var position = 0
        var isAfterAlphanumeric = false
        while position < bytes.count {
            let byte = bytes[position]
            if byte.isLowercaseAlphanumeric {
                isAfterAlphanumeric = true
                position += 1
                continue
            }
            guard isAfterAlphanumeric else { return false }
            isAfterAlphanumeric = false
            switch byte {
            case UInt8(ascii: "/"), UInt8(ascii: "."): position += 1
            case UInt8(ascii: "_"): position += bytes[position + 1] == byte ? 2 : 1  // the last byte is no separator
            case UInt8(ascii: "-"):
                repeat { position += 1 } while bytes[position] == byte
            default: return false
            }
        }
        return true
    }
}
