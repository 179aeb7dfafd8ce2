// A repository of an upstream, or of this registry's own: what links and tags belong to. Bytes belong to nobody, they
// are shared by digest.

package struct Repository: Hashable, Sendable, CustomStringConvertible {
    /// The registry host that images of it are named by: `docker.io`; empty: it was pushed here.
    package let upstream: String
    package let name: RepositoryName

    package init(upstream: String, name: RepositoryName) {
        self.upstream = upstream
        self.name = name
    }

    /// One of this registry's own.
    package init(hosted name: RepositoryName) { self.init(upstream: "", name: name) }

    package var isHosted: Bool { upstream.isEmpty }

    /// `docker.io/library/debian`, or the name alone of what was pushed here.
    package var description: String { isHosted ? "\(name)" : "\(upstream)/\(name)" }
}
