// A repository of an upstream: what links and tags belong to. Bytes belong to nobody, they are shared by digest.

package struct Repository: Hashable, Sendable, CustomStringConvertible {
    /// The registry host that images of it are named by: `docker.io`.
    package let upstream: String
    package let name: RepositoryName

    package init(upstream: String, name: RepositoryName) {
        self.upstream = upstream
        self.name = name
    }

    /// `docker.io/library/debian`
    package var description: String { "\(upstream)/\(name)" }
}
