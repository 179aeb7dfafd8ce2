// Which repositories are this registry's own: pushed here, never fetched from an upstream.

package import OCI

/// Names as they stand in the path, by pattern: no host is meant and no short form made long. A hosted name is answered
/// from here or not at all, so nobody can slip another's image under it.
package struct HostedNames: Sendable {
    private let patterns: [NamePattern]

    package init(_ patterns: [NamePattern]) { self.patterns = patterns }

    package func contains(_ name: RepositoryName) -> Bool { patterns.contains { $0.matches("\(name)") } }
}
