// Which scope a token is asked for: what a pull needs, whatever a challenge would like.
import OCI

/// The scopes of one token request: distribution's "Token Scope Documentation".
///
/// A token service that several registries share gives tokens for all of them: an endpoint that could have one made
/// out for another repository, or for pushing, would be given it in the next request. So nothing but `pull` is asked
/// for, ever; and of a service that is not the endpoint's own, of repositories only the one that is asked about.
struct TokenScope: Hashable, Sendable {
    private static let mostParts = 4

    /// In the challenge's order.
    let parts: [String]

    /// As OAuth2 writes it.
    var text: String { parts.joined(separator: " ") }

    /// Whether it is for one repository's sake, and so no other's.
    var namesRepository: Bool { parts.contains { $0.hasPrefix("repository:") } }

    /// What a pull needs.
    init(pulling name: RepositoryName) { parts = ["repository:\(name):pull"] }

    /// What of a challenge's scope may be asked for; without anything, what a pull needs.
    ///
    /// - Parameter isOwnRealm: the token service is the endpoint's own host and port: it may call the repository by
    ///   another name.
    init(challenged text: String?, pulling name: RepositoryName, isOwnRealm: Bool) {
        let usual = TokenScope(pulling: name)
        var parts: [String] = []
        for part in (text ?? "").split(separator: " ").prefix(Self.mostParts) {
            guard let allowed = Self.allowed(part, name, isOwnRealm), !parts.contains(allowed) else { continue }
            parts.append(allowed)
        }
        self.parts = parts.isEmpty ? usual.parts : parts
    }

    private static func allowed(_ part: Substring, _ name: RepositoryName, _ isOwnRealm: Bool) -> String? {
        guard Token.fitsField(String(part)), !part.contains("*") else { return nil }
        guard let first = part.firstIndex(of: ":"), let last = part.lastIndex(of: ":") else {
            return String(part)  // the name of a service, as public.ecr.aws has it
        }
        let (type, actions) = (part[..<first].lowercased(), part[part.index(after: last)...])
        guard first < last else { return nil }
        if type == "repository" {
            guard let named = RepositoryName(part[part.index(after: first)..<last]) else { return nil }
            return isOwnRealm || named == name ? "repository:\(named):pull" : nil
        }
        // A class may stand behind the type: `repository(plugin)`. It names repositories all the same.
        return !type.hasPrefix("repository") && actions == "pull" ? String(part) : nil
    }
}
