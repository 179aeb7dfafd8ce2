// Through whom a request has come: so that a circle of mirrors is noticed by the first of them that meets itself.

/// The names in `Via`, as far as they are mirrors of this kind: others' names are not ours to pass on.
///
/// `1.1 wharf-5d1f (comment), 1.0 squid`: RFC 9110 §7.6.3. A name is matched whole: another's may begin with it.
package struct Via: Hashable, Sendable {
    /// A request that has come through so many goes in a circle, or might as well.
    private static let most = 10
    private static let prefix = "wharf-"

    /// In the order in which they were passed, at most `most` and one more.
    package private(set) var names: [String] = []

    /// What the request that is being answered has come through; the tasks that ask an upstream for it inherit this.
    @TaskLocal package static var current = Via()

    package init() {}

    /// - Parameter fields: the values of all `Via` fields.
    package init(_ fields: [String]) {
        let hops = fields.flatMap { $0.split(separator: ",") }
        let all = hops.compactMap { $0.split(separator: " ").dropFirst().first.map(String.init) }
        names = Array(all.filter { $0.hasPrefix(Self.prefix) && $0.utf8.count <= 64 }.prefix(Self.most + 1))
    }

    /// Whether a request that came this way leads back to whom it names, or nowhere.
    package func leadsBack(to name: String) -> Bool { names.contains(name) || names.count > Self.most }

    /// The field's value after one hop more.
    package func adding(_ name: String) -> String {
        (names + [name]).map { "1.1 \($0)" }.joined(separator: ", ")
    }
}
