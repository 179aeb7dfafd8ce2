// Which repositories are this registry's own: pushed here, never fetched from an upstream.

package import OCI

/// Names in the path, by pattern. A hosted name is answered from here or not at all, so nobody can slip another's image under it.
package struct HostedNames: Sendable {
    private let patterns: [ImagePattern]

    package init(_ patterns: [ImagePattern]) { self.patterns = patterns }

    /// - Parameter name: as it stands in the path, without any short form made long.
    package func contains(_ name: RepositoryName) -> Bool {
        // Patterns without a host mean docker.io to their grammar; here, where no host is meant, that is the name itself.
        let repository = Repository(upstream: ImageReference.dockerHub, name: name)
        return patterns.contains { $0.matches(repository, tag: "") }
    }
}
