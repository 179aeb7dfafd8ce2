// What is never evicted: what the configuration says, and what was pinned while the program ran.

package import OCI
import Synchronization

/// The second, in memory. The database has it; it is read again whenever pins are applied.
final class Pins: Sendable {
    private let images = Mutex<[ImagePattern]>([])

    var all: [ImagePattern] { images.withLock { $0 } }

    func set(_ images: [ImagePattern]) { self.images.withLock { $0 = images } }
}

/// What came of taking a pin back.
package enum Unpinning: Equatable, Sendable {
    /// The tags that were pinned and are no more.
    case unpinned([TaggedImage])
    /// Nothing was taken back: the configuration pins what is meant.
    case configured
    /// Nothing was taken back: another pin means it too.
    case held(by: String)
}

extension ContentStore {
    func isPinned(_ repository: Repository, _ tag: String) -> Bool {
        configuration.isPinned(repository, tag) || pins.all.contains { $0.matches(repository, tag: tag) }
    }

    package func applyPins() async throws(StoreError) {
        try await database.pin(configuration.isPinned) { [pins] in pins.set($0) }
    }

    /// Never evicts what it means, now and from now on, until it is unpinned.
    ///
    /// - Returns: the tags it means that are stored.
    package func pin(_ image: ImagePattern) async throws(StoreError) -> [TaggedImage] {
        try await database.add(pin: image)
        try await applyPins()
        return try await tagged { image.matches($0, tag: $1) }
    }

    /// Takes back the pins that are this one, or name one image that it means.
    package func unpin(_ image: ImagePattern) async throws(StoreError) -> Unpinning {
        let meant = try await tagged { image.matches($0, tag: $1) }
        let before = meant.filter { isPinned($0.repository, $0.tag.description) }
        let taken = pins.all.filter { pin in
            pin.fullText == image.fullText || pin.image.map { image.matches($0.repository, tag: "\($0.tag)") } == true
        }
        guard !taken.isEmpty else {
            let asked = before.map { ($0.repository, $0.tag) } + (image.image.map { [$0] } ?? [])
            for (repository, tag) in asked {
                if configuration.isPinned(repository, tag.description) { return .configured }
                let holder = pins.all.first { $0.matches(repository, tag: tag.description) }
                if let holder { return .held(by: holder.fullText) }
            }
            return .unpinned([])
        }
        try await database.remove(pins: taken)
        try await applyPins()
        return .unpinned(before.filter { !isPinned($0.repository, $0.tag.description) })
    }

    /// Bytes of all that is pinned.
    package func pinnedBytes() async throws(StoreError) -> Int64 { try await database.figures().pinnedBytes }

    private func tagged(
        _ isMeant: @escaping @Sendable (Repository, String) -> Bool
    ) async throws(StoreError) -> [TaggedImage] {
        try await database.tags(where: isMeant).map { TaggedImage(repository: $0.repository, tag: $0.tag) }
    }
}
