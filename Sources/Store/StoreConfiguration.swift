// What the store is told: where it lives, how much it may hold, and what it must not forget.

package import OCI

package struct StoreConfiguration: Sendable {
    /// A size as people give it: so many bytes, or a share of the file system the data lies on.
    package enum Bound: Equatable, Sendable {
        case bytes(Int64)
        /// 0...1 of the file system's size.
        case share(Double)

        func bytes(ofFileSystem total: Int64) -> Int64 {
            switch self {
            case .bytes(let bytes): bytes
            case .share(let share): Int64(Double(total) * share)
            }
        }
    }

    /// The data directory; made if it is not there.
    package var root: String
    package var maxSize: Bound = .share(0.80)
    /// Never fill the disk beyond this, whatever `maxSize` says.
    package var minFree: Bound = .share(0.05)
    /// Eviction stops when usage is at this share of `maxSize`, 0...1.
    package var lowWatermark: Double = 0.90
    /// How long what a served manifest names is safe from eviction; zero: off.
    package var lease: Duration = .seconds(15 * 60)
    /// Of the bytes that stored blobs are served with, how many are read and hashed again beside that, 0...1; manifests
    /// always are.
    package var verifyRate: Double = 0.01
    /// Whether an operator wants this image kept for ever.
    package var isPinned: @Sendable (_ repository: Repository, _ tag: String) -> Bool = { _, _ in false }

    package init(root: String) { self.root = root }
}
