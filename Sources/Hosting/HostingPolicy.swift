// What an operator has said of the repositories that are hosted here: which may not change, and how much they may hold.

package import OCI
import Store

package struct HostingPolicy: Sendable {
    /// Repositories together, and the bytes that they may hold, each digest once.
    package struct Quota: Hashable, Sendable {
        package let names: [NamePattern]
        package let bytes: Int64

        package init(names: [NamePattern], bytes: Int64) {
            self.names = names
            self.bytes = bytes
        }
    }

    /// Which tags of which repositories: `acme/**:v*`; without a tag, all of them.
    package struct TagPattern: Hashable, Sendable {
        private let names: NamePattern
        private let tags: NamePattern?

        /// nil if the text is none.
        package init?(_ text: String) {
            var name = text[...]
            if let colon = text.lastIndex(of: ":") {
                guard let tags = NamePattern(text[text.index(after: colon)...]) else { return nil }
                self.tags = tags
                name = text[..<colon]
            } else {
                tags = nil
            }
            guard let names = NamePattern(name), !name.contains(":") else { return nil }
            self.names = names
        }

        package func matches(_ tag: Tag, of name: RepositoryName) -> Bool {
            names.matches("\(name)") && tags?.matches("\(tag)") ?? true
        }
    }

    package var readOnly: [NamePattern] = []
    /// Once they name something they name nothing else, and stay.
    package var immutableTags: [TagPattern] = []
    package var quotas: [Quota] = []
    /// A manifest that no tag, index or subject has led to for so long is collected; nil: never, since somebody may
    /// pull it by its digest.
    package var untaggedAfter: Duration?
    /// An upload that nothing was sent to for so long has ended; a blob that was pushed so long ago and that no
    /// manifest names is litter.
    package var abandonedAfter: Duration = .seconds(86_400)

    package init() {}

    func isReadOnly(_ name: RepositoryName) -> Bool { readOnly.contains { $0.matches("\(name)") } }

    func isImmutable(_ tag: Tag, of name: RepositoryName) -> Bool {
        immutableTags.contains { $0.matches(tag, of: name) }
    }

    var storeQuotas: [HostedQuota] {
        quotas.map { quota in
            let label = quota.names.map(\.description).joined(separator: ", ")
            return HostedQuota(label: label, bytes: quota.bytes) { name in
                quota.names.contains { $0.matches("\(name)") }
            }
        }
    }
}
