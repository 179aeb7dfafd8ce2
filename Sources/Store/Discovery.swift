// Lists and names: what an upstream said there is, who refers to what is stored, and which repositories have anything.

package import OCI

extension ContentStore {
    // MARK: What an upstream said

    /// One page as the upstream last wrote it, if it is still kept.
    package func list(_ key: ListKey, of repository: Repository) async throws(StoreError) -> KeptList? {
        try await database.list(key, of: repository)
    }

    /// All pages kept of a kind, in no order.
    package func lists(_ kind: ListKey.Kind, of repository: Repository) async throws(StoreError) -> [KeptList] {
        try await database.lists(kind, of: repository)
    }

    /// Keeps a page in place of what was kept under its key. At most 4096 pages are kept and 64 MiB (or a tenth of
    /// what may be stored, if that is less), of all repositories together: the least recently kept go first. What alone
    /// is larger is not kept.
    package func keep(
        _ list: KeptList, as key: ListKey, of repository: Repository
    ) async throws(StoreError) {
        try await database.keep(list, as: key, of: repository, within: listBound)
    }

    /// The upstream says that there is no such list: all pages of it go.
    package func forget(_ kind: ListKey.Kind, of repository: Repository) async throws(StoreError) {
        try await database.forget(kind, of: repository)
    }

    // MARK: What is stored

    /// The stored manifests that name the subject and that this repository may show, in the order of their digests;
    /// sizes in bytes. The subject itself need not be here, and naming it gives no right to see it.
    package func referrers(
        of subject: Digest, in repository: Repository
    ) async throws(StoreError) -> [(digest: Digest, size: Int64, mediaType: MediaType)] {
        try await database.referrers(of: subject, in: repository)
    }

    /// Repositories that have at least one tag or link whose content is stored and whose name, without the upstream's,
    /// contains the text in any case: the shortest names first, then in alphabetical order. Every character of the
    /// text means itself.
    package func repositories(matching text: String, limit: Int) async throws(StoreError) -> [Repository] {
        try await database.repositories(matching: text, limit: limit)
    }

    // MARK: What rooms above remember

    /// What `Upkeep` wrote down last in an earlier run, as far as the database is to be had.
    package func memos() -> [String: String] { (try? database.memos()) ?? [:] }
}
