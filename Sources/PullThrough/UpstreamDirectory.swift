// Which upstream answers a request: by `ns=`, by a host in front of the name, or the default one.

package import OCI
import Store
package import Upstream

/// How tags and unknowns are kept. Milliseconds.
package struct FreshnessPolicy: Equatable, Sendable {
    /// How long a tag is served without asking.
    package var freshFor: Int64
    /// How long after that it is served while it is asked about in the background.
    package var staleWhileRevalidate: Int64
    /// How long after `freshFor` it is served when the upstream fails.
    package var staleIfError: Int64
    /// How long an unknown manifest or blob is remembered.
    package var negativeFor: Int64
    /// Whether the upstream's 404 is believed of a tag that is stored; else it counts as failing.
    package var forgetsAbsent: Bool
    /// Whether a tag that is stored is never asked about again.
    package var isImmutable: Bool

    package init(
        freshFor: Duration, staleWhileRevalidate: Duration = .zero, staleIfError: Duration, negativeFor: Duration,
        forgetsAbsent: Bool = false, isImmutable: Bool = false
    ) {
        self.freshFor = freshFor.milliseconds
        self.staleWhileRevalidate = staleWhileRevalidate.milliseconds
        self.staleIfError = staleIfError.milliseconds
        self.negativeFor = negativeFor.milliseconds
        self.forgetsAbsent = forgetsAbsent
        self.isImmutable = isImmutable
    }
}

/// The upstreams there are; no other host is ever asked.
package struct UpstreamDirectory: Sendable {
    package struct Entry: Sendable {
        package let registry: UpstreamRegistry
        package let policy: FreshnessPolicy
        /// The policy of tags that have one of their own.
        package let tagPolicy: @Sendable (RepositoryName, Tag) -> FreshnessPolicy?
        package let fills: FillPolicy
        /// Whether a repository may be pulled at all, stored or not.
        package let allows: @Sendable (RepositoryName) -> Bool

        package init(
            registry: UpstreamRegistry, policy: FreshnessPolicy,
            tagPolicy: @escaping @Sendable (RepositoryName, Tag) -> FreshnessPolicy? = { _, _ in nil },
            fills: FillPolicy = FillPolicy(), allows: @escaping @Sendable (RepositoryName) -> Bool = { _ in true }
        ) {
            self.registry = registry
            self.policy = policy
            self.tagPolicy = tagPolicy
            self.fills = fills
            self.allows = allows
        }
    }

    /// In the configuration's order.
    package let names: [String]
    private let entries: [String: Entry]
    let defaultName: String
    private let isHosted: @Sendable (RepositoryName) -> Bool

    /// - Parameter isHosted: whether a name in the path is one of this registry's own.
    package init(
        _ entries: [(name: String, entry: Entry)], defaultName: String,
        isHosted: @escaping @Sendable (RepositoryName) -> Bool = { _ in false }
    ) {
        self.isHosted = isHosted
        names = entries.map(\.name)
        self.entries = Dictionary(entries.map { ($0.name, $0.entry) }, uniquingKeysWith: { first, _ in first })
        self.defaultName = defaultName
    }

    package subscript(name: String) -> Entry? { entries[name] }

    func policy(of tag: Tag, in repository: Repository) -> FreshnessPolicy? {
        guard let entry = entries[repository.upstream] else { return nil }
        return entry.tagPolicy(repository.name, tag) ?? entry.policy
    }

    /// What the upstreams want remembered over a restart.
    package var memos: [String: String] {
        entries.values.reduce(into: [:]) { $0.merge($1.registry.memos) { first, _ in first } }
    }

    package enum Route: Equatable, Sendable {
        case upstream(Repository)
        /// Pushed here; never asked of an upstream.
        case hosted(RepositoryName)
    }

    /// First match wins: `ns=` of an upstream; a leading configured host; a hosted name; the default upstream.
    ///
    /// - Parameter ownHost: the request's `Host`: an `ns=` that names this mirror itself means none.
    package func route(
        _ name: RepositoryName, namespace: String?, ownHost: String?
    ) throws(PullThroughError) -> Route {
        // A mirror may go by the very name of an upstream.
        if let namespace, namespace != ownHost || entries[canonical(namespace)] != nil {
            let upstream = canonical(namespace)
            return .upstream(try repository(name, of: upstream, askedAs: namespace))
        }
        if let rest = name.withoutFirstComponent {
            let upstream = canonical(String(name.firstComponent))
            if entries[upstream] != nil { return .upstream(try repository(rest, of: upstream, askedAs: upstream)) }
        }
        if isHosted(name) { return .hosted(name) }
        return .upstream(try repository(name, of: defaultName, askedAs: defaultName))
    }

    /// What a person means by an image's name, whether it may be pulled or not: an upstream's if its host leads the
    /// name, else one of this registry's own if it is named like one, else what all clients of Docker's take it for.
    ///
    /// - Returns: nil if it is no image's name.
    package func meaning(of text: String) -> (repository: Repository, reference: Reference)? {
        guard let typed = TypedName(text) else { return nil }
        if let slash = typed.name.firstIndex(of: "/") {
            let upstream = canonical(String(typed.name[..<slash]))
            if entries[upstream] != nil {
                return RepositoryName(typed.name[typed.name.index(after: slash)...]).map { name in
                    (Repository(upstream: upstream, name: official(name, of: upstream)), typed.reference)
                }
            }
        }
        if let name = RepositoryName(typed.name), isHosted(name) {
            return (Repository(hosted: name), typed.reference)
        }
        return ImageReference(text).map { (Repository(upstream: $0.registry, name: $0.name), typed.reference) }
    }

    /// An image's name in its parts, the first not looked at.
    private struct TypedName {
        let name: Substring
        /// The digest counts before the tag, and neither means `latest`.
        let reference: Reference

        init?(_ text: String) {
            var rest = text[...]
            var digest: Digest?
            if let at = rest.lastIndex(of: "@") {
                guard let named = Digest(rest[rest.index(after: at)...]) else { return nil }
                digest = named
                rest = rest[..<at]
            }
            var tag = Tag.latest
            let afterSlash = rest.lastIndex(of: "/").map { rest.index(after: $0) } ?? rest.startIndex
            if let colon = rest[afterSlash...].firstIndex(of: ":") {
                guard let named = Tag(rest[rest.index(after: colon)...]) else { return nil }
                tag = named
                rest = rest[..<colon]
            }
            name = rest
            reference = digest.map(Reference.digest) ?? .tag(tag)
        }
    }

    /// Of an image as people name it: a host is always meant, and docker.io where none was typed.
    package func repository(of image: ImageReference) throws(PullThroughError) -> Repository {
        try repository(image.name, of: canonical(image.registry), askedAs: image.registry)
    }

    /// Whether an image, as it was typed, is one of this registry's own; its repository then.
    package func hostedName(ofTyped image: String) -> RepositoryName? {
        // What may not be pulled is hosted neither.
        guard let name = RepositoryName(ImageReference.path(of: image)),
            case .hosted(let found)? = try? route(name, namespace: nil, ownHost: nil)
        else { return nil }
        return found
    }

    private func repository(
        _ name: RepositoryName, of upstream: String, askedAs host: String
    ) throws(PullThroughError) -> Repository {
        guard let entry = entries[upstream] else { throw .noSuchUpstream(host) }
        let repository = Repository(upstream: upstream, name: official(name, of: upstream))
        guard entry.allows(repository.name) else { throw .notAllowed("\(repository)") }
        return repository
    }

    private func canonical(_ host: String) -> String { ImageReference.canonical(host: host) }

    /// Docker Hub's own images have a one-part name for people and `library/` in the path.
    private func official(_ name: RepositoryName, of upstream: String) -> RepositoryName {
        guard upstream == ImageReference.dockerHub else { return name }
        return name.inLibrary ?? name  // too long with the prefix: the upstream says so
    }
}
