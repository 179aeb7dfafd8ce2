// Blobs of any size that do not compress, each made once for all tests.

import OCI
import Synchronization
import TestSupport

enum Cargo {
    private struct Key: Hashable {
        let size: Int
        let seed: UInt64
    }

    private static let made = Mutex<[Key: TestBlob]>([:])

    /// The same bytes for the same size and seed.
    /// - Parameter size: in bytes.
    static func blob(_ size: Int, seed: UInt64 = 1) -> TestBlob {
        let key = Key(size: size, seed: seed)
        return made.withLock { made in
            if let blob = made[key] { return blob }
            var builder = ImageBuilder(seed: UInt64(size) << 16 | seed)
            let blob = builder.blob(size)
            made[key] = blob
            return blob
        }
    }
}

/// Numbers that are the same in every run (xorshift64*).
struct Dice: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { state = seed | 1 }

    mutating func next() -> UInt64 {
        state ^= state >> 12
        state ^= state << 25
        state ^= state >> 27
        return state &* 0x2545_F491_4F6C_DD1D
    }
}
