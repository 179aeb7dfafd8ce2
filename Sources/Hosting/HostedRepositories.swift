// The repositories that are this registry's own: what is asked of them, and how they change.

package import Logging
package import OCI
package import Store
import Synchronization

/// Its verbs are here for reading, in BlobPush.swift and ManifestPush.swift for pushing, in Collection.swift for what
/// nothing reaches. Who may do what is decided before anybody comes here.
package final class HostedRepositories: Sendable {
    let store: ContentStore
    let uploads: UploadTable
    private let current: Mutex<HostingPolicy>
    /// What was found by HEAD: a push that goes on leaves out what is here, and must find it until its end.
    let asked: Mutex<RecentlyUsed<AskedDigest, Duration>>
    /// A manifest of a megabyte takes tens of them to be read: one at a time.
    let largeManifests = Gate<Int>()
    let uptime: @Sendable () -> Duration
    let now: @Sendable () -> Int64
    let clock: any Clock<Duration>
    let logger: Logger

    struct AskedDigest: Hashable {
        let name: RepositoryName
        let digest: Digest
    }

    /// - Parameter now: Unix time in milliseconds.
    package init(
        store: ContentStore, policy: HostingPolicy, clock: any Clock<Duration>, now: @escaping @Sendable () -> Int64,
        logger: Logger
    ) {
        self.store = store
        self.clock = clock
        self.now = now
        self.logger = logger
        current = Mutex(policy)
        asked = Mutex(RecentlyUsed(limit: 32_768))
        uptime = stopwatch(clock)
        uploads = UploadTable(uptime: uptime)
    }

    var policy: HostingPolicy { current.withLock { $0 } }

    package func reconfigure(_ policy: HostingPolicy) { current.withLock { $0 = policy } }

    // MARK: Reading

    /// A blob, open, each of whose readers gets a descriptor of his own.
    package struct Blob: Sendable {
        package let digest: Digest
        /// Bytes.
        package let size: Int64
        private let file: BlobFile
        private let store: ContentStore

        init(_ file: BlobFile, in store: ContentStore) {
            (digest, size, self.file, self.store) = (file.digest, file.size, file, store)
        }

        /// So many bytes of it are being served: a share of what is served is hashed again.
        package func noteServed(_ bytes: Int64) { store.noteServed(digest, size: size, bytes: bytes) }

        package func openDescriptor() throws(HostingError) -> CInt {
            do throws(StoreError) { return try file.duplicate() } catch { throw HostingError(error) }
        }

        /// Reading it went wrong on the way out: it is looked at.
        package func broke() { store.doubt(digest, size: size) }
    }

    /// - Parameter isProbe: only whether it is there is asked, as pushers do.
    package func blob(
        _ digest: Digest, in name: RepositoryName, isProbe: Bool
    ) async throws(HostingError) -> Blob {
        let file = try await restated { () async throws(StoreError) -> BlobFile? in
            if isProbe { asked.withLock { $0[AskedDigest(name: name, digest: digest)] = uptime() } }
            return try await store.hostedBlob(digest, in: name)
        }
        guard let file else { throw .blobUnknown(digest) }
        return Blob(file, in: store)
    }

    /// - Parameter isProbe: only whether it is there is asked, as pushers do.
    package func manifest(
        _ reference: Reference, in name: RepositoryName, isProbe: Bool = false
    ) async throws(HostingError) -> ManifestContent {
        if isProbe, case .digest(let digest) = reference {
            asked.withLock { $0[AskedDigest(name: name, digest: digest)] = uptime() }
        }
        let found = try await restated { () async throws(StoreError) -> ManifestContent? in
            switch reference {
            case .digest(let digest): return try await store.hostedManifest(digest, in: name)
            case .tag(let tag):
                guard let digest = try await store.hostedTag(tag, of: name) else { return nil }
                return try await store.hostedManifest(digest, in: name)
            }
        }
        guard let found else { throw .manifestUnknown("\(reference)") }
        return found
    }

    /// What memory alone can answer.
    package func manifestAtOnce(_ reference: Reference, in name: RepositoryName) -> ManifestContent? {
        let repository = Repository(hosted: name)
        switch reference {
        case .digest(let digest): return store.hot.manifest(digest, in: repository)
        case .tag(let tag):
            return store.hot.tag(tag, of: repository).flatMap { store.hot.manifest($0.digest, in: repository) }
        }
    }

    /// The same of a blob.
    package func blobAtOnce(_ digest: Digest, in name: RepositoryName) -> Blob? {
        store.hot.file(digest, in: Repository(hosted: name)).map { Blob($0, in: store) }
    }

    /// In the order of their bytes.
    package func tags(of name: RepositoryName) async throws(HostingError) -> [String] {
        let tags = try await restated { () async throws(StoreError) in try await store.hostedTags(of: name) }
        guard let tags else { throw .nameUnknown(name) }
        return tags
    }

    /// Those that have anything, in the order of their names' bytes.
    package func repositories() async throws(HostingError) -> [RepositoryName] {
        try await restated { () async throws(StoreError) in try await store.hostedRepositories() }
    }

    /// Bytes of descriptors in one answer, and of manifests that are read for it.
    private static let pageOfReferrers = (shown: 4 << 20, read: Int64(64 << 20))

    /// What of the repository names the subject, which need not be there, in the order of digests.
    ///
    /// - Parameter last: behind which to begin.
    /// - Returns: as much as one answer should hold, and behind what the next begins, if there is more.
    package func referrers(
        of subject: Digest, after last: Digest? = nil, in name: RepositoryName
    ) async throws(HostingError) -> (list: ReferrerList, next: Digest?) {
        let found = try await restated { () async throws(StoreError) in
            try await store.hostedReferrers(of: subject, after: last, in: name)
        }
        var list = ReferrerList()
        var (shown, read): (Int, Int64) = (0, 0)
        for (place, content) in found.enumerated() {
            // At least one: so everybody comes to the end.
            if shown >= Self.pageOfReferrers.shown || read >= Self.pageOfReferrers.read {
                return (list, found[place - 1].digest)
            }
            read += content.size
            // One that was deleted since is no referrer.
            let manifest = try await restated { () async throws(StoreError) in
                try await store.hostedManifest(content.digest, in: name)
            }
            guard let manifest else { continue }
            shown += list.add(manifest: manifest.bytes, digest: manifest.digest, mediaType: manifest.mediaType)
        }
        return (list, found.count < ReferrerList.mostEntries ? nil : found.last?.digest)
    }

    // MARK: Deleting

    package func delete(_ reference: Reference, from name: RepositoryName) async throws(HostingError) {
        try checkWritable(name)
        let policy = policy
        let isGone = try await store.hostedGate.turn(name) { () async throws(HostingError) -> Bool in
            switch reference {
            case .tag(let tag):
                try checkMutable([tag], of: name, policy)
                return try await restated { () async throws(StoreError) in try await store.unhost(tag, of: name) }
            case .digest(let digest):
                try await checkMutable(digest, of: name, policy)
                return try await restated { () async throws(StoreError) in
                    try await store.unhost(digest, asManifest: true, in: name)
                }
            }
        }
        guard isGone else { throw .manifestUnknown("\(reference)") }
        logger.info("deleted", metadata: ["repository": "\(name)", "reference": "\(reference)"])
    }

    package func delete(blob digest: Digest, from name: RepositoryName) async throws(HostingError) {
        try checkWritable(name)
        let policy = policy
        let isGone = try await store.hostedGate.turn(name) { () async throws(HostingError) in
            try await checkMutable(digest, of: name, policy)
            return try await restated { () async throws(StoreError) in
                try await store.unhost(digest, asManifest: false, in: name)
            }
        }
        guard isGone else { throw .blobUnknown(digest) }
        logger.info("deleted", metadata: ["repository": "\(name)", "blob": "\(digest)"])
    }

    // MARK: What may not change

    func checkWritable(_ name: RepositoryName) throws(HostingError) {
        guard policy.isReadOnly(name) else { return }
        throw .denied("\(name) is read-only: see hosting.read-only in the configuration")
    }

    /// What an immutable tag names is to stay whole.
    private func checkMutable(
        _ digest: Digest, of name: RepositoryName, _ policy: HostingPolicy
    ) async throws(HostingError) {
        if policy.immutableTags.isEmpty { return }
        let tags = try await restated { () async throws(StoreError) in
            try await store.hostedTags(needing: digest, in: name)
        }
        try checkMutable(tags, of: name, policy)
    }

    private func checkMutable(_ tags: [Tag], of name: RepositoryName, _ policy: HostingPolicy) throws(HostingError) {
        for tag in tags where policy.isImmutable(tag, of: name) {
            throw .denied("\(name):\(tag) is immutable: see hosting.immutable-tags in the configuration")
        }
    }
}

/// Time since now, by a clock that never jumps.
private func stopwatch<C: Clock<Duration>>(_ clock: C) -> @Sendable () -> Duration {
    let start = clock.now
    return { start.duration(to: clock.now) }
}
