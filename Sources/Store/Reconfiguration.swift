// What the store was told last, and how it is told otherwise while it works.

import OCI
import Synchronization

/// Everybody asks it anew each time, so that nobody goes on by what was said before.
final class StoreSettings: Sendable {
    private let current: Mutex<StoreConfiguration>

    init(_ configuration: StoreConfiguration) { current = Mutex(configuration) }

    var now: StoreConfiguration { current.withLock { $0 } }

    func set(_ configuration: StoreConfiguration) { current.withLock { $0 = configuration } }
}

extension ContentStore {
    var configuration: StoreConfiguration { settings.now }

    /// What may be kept of lists, which is a share of what may be stored.
    var listBound: ListBound { ListBound(limit: capacity.snapshot.limit) }

    /// Takes up other bounds, another lease and other pins. What is over a smaller bound goes with the next upkeep;
    /// leases that were given hold, and the root stays what it was.
    ///
    /// - Throws: `.database` if the pins could not be written down; they are tried again with the next tag that moves.
    package func reconfigure(_ configuration: StoreConfiguration) async throws(StoreError) {
        settings.set(configuration)
        capacity.change { $0.bound(by: configuration, onDiskOf: layout.root) }
        try await applyPins()
    }
}

extension Ledger {
    /// Bounds as people give them, in bytes of the file system that the data lies on.
    mutating func bound(by configuration: StoreConfiguration, onDiskOf root: String) {
        let total = Capacity.fileSystem(of: root).total
        limit = configuration.maxSize.bytes(ofFileSystem: total)
        minFree = configuration.minFree.bytes(ofFileSystem: total)
        lowWatermark = configuration.lowWatermark
    }
}
