// Inputs from a seed: proper ones, and what becomes of them when pieces are changed, moved, repeated and left out.

import TestSupport

extension SplitMix {
    /// From 0 on, below the bound, which is above 0.
    mutating func below(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &self) }
}

struct Mutator {
    /// Bytes; what grows beyond is cut.
    private static let longest = 4096
    /// Where parsers in C and in Swift have had their borders.
    private static let oddBytes: [UInt8] = [0, 1, 9, 10, 13, 32, 34, 37, 44, 45, 47, 58, 92, 127, 128, 0xC3, 0xFF]

    private var random: SplitMix
    private let seeds: [[UInt8]]
    private let words: [[UInt8]]

    init(_ target: FuzzTarget, seed: UInt64) {
        random = SplitMix(state: seed)
        seeds = target.seeds
        words = target.words
    }

    mutating func next() -> [UInt8] {
        var bytes = pick(seeds)
        for _ in 0..<1 << random.below(5) { mutate(&bytes) }
        return Array(bytes.prefix(Self.longest))
    }

    private mutating func pick(_ list: [[UInt8]]) -> [UInt8] { list.isEmpty ? [] : list[random.below(list.count)] }

    private mutating func place(in bytes: [UInt8]) -> Int { random.below(bytes.count + 1) }

    private mutating func piece(of bytes: [UInt8]) -> Range<Int> {
        let start = place(in: bytes)
        return start..<min(bytes.count, start + 1 << random.below(6))
    }

    private mutating func mutate(_ bytes: inout [UInt8]) {
        switch random.below(11) {
        case 0 where !bytes.isEmpty: bytes[random.below(bytes.count)] ^= 1 << random.below(8)
        case 1 where !bytes.isEmpty: bytes[random.below(bytes.count)] = Self.oddBytes[random.below(Self.oddBytes.count)]
        case 2: bytes.insert(UInt8.random(in: 0...255, using: &random), at: place(in: bytes))
        case 3: bytes.insert(Self.oddBytes[random.below(Self.oddBytes.count)], at: place(in: bytes))
        case 4: bytes.removeSubrange(piece(of: bytes))
        case 5: bytes.replaceSubrange(piece(of: bytes), with: pick(words))
        case 6: bytes.insert(contentsOf: pick(words), at: place(in: bytes))
        case 7:  // a piece once more, or a great many times
            let copy = Array(bytes[piece(of: bytes)])
            let count = min(1 << random.below(8), Self.longest / max(1, copy.count))
            bytes.insert(contentsOf: Array(repeating: copy, count: count).joined(), at: place(in: bytes))
        case 8:  // the beginning of this, the end of another
            let other = pick(seeds)
            bytes = bytes.prefix(place(in: bytes)) + other.suffix(place(in: other))
        case 9:  // a number, or what might stand for one
            let numbers = [
                "0", "-1", "00", "1e400", "9223372036854775807", "9223372036854775808", "4294967296", "65536",
            ]
            bytes.replaceSubrange(piece(of: bytes), with: Array(numbers[random.below(numbers.count)].utf8))
        default: if random.below(4) == 0 { bytes.removeLast(bytes.count - place(in: bytes)) }
        }
    }
}
