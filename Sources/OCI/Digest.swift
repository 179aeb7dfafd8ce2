// The digest: algorithm and hash of some bytes, which is the only name those bytes have. Text becomes one here or
// nowhere.

/// `sha256:` and 64 lowercase hexadecimal digits, or `sha512:` and 128.
///
/// The hash is held as words, inline: no allocation, no reference count, and comparing or hashing one costs a few
/// instructions, since digests are the keys of every table. The text is made when somebody prints it.
/// - Source: image-spec v1.1 "Descriptor, Digests".
package struct Digest: Hashable, Sendable {
    package enum Algorithm: UInt8, Sendable, CaseIterable {
        case sha256 = 1
        case sha512 = 2

        package var name: String {
            switch self {
            case .sha256: "sha256"
            case .sha512: "sha512"
            }
        }

        package var hexLength: Int { byteCount * 2 }
        package var byteCount: Int { wordCount * 8 }

        fileprivate var wordCount: Int {
            switch self {
            case .sha256: 4
            case .sha512: 8
            }
        }
    }

    /// Four big-endian words of the hash.
    private struct Words: Hashable {
        var a: UInt64 = 0
        var b: UInt64 = 0
        var c: UInt64 = 0
        var d: UInt64 = 0

        func forEach(_ body: (UInt64) -> Void) {
            body(a)
            body(b)
            body(c)
            body(d)
        }
    }

    private let first: Words
    /// Zero for sha256.
    private let second: Words
    package let algorithm: Algorithm

    /// Parses `algorithm:hex` by the strict grammar: no upper case, no other algorithm, not a byte more or less.
    package init?(_ text: some StringProtocol) {
        guard let digest = text.withBytes({ Digest(utf8: $0) }) else { return nil }
        self = digest
    }

    /// The database's form: the algorithm's number, then the raw hash (33 or 65 bytes).
    package init?(storedBytes bytes: UnsafeRawBufferPointer) {
        guard let number = bytes.first, let algorithm = Algorithm(rawValue: number),
            bytes.count == 1 + algorithm.byteCount
        else { return nil }
        var place = 1
        self.init(algorithm) {
            defer { place += 8 }
            return UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: place, as: UInt64.self))
        }
    }

    package init?(storedBytes: [UInt8]) {
        guard let digest = storedBytes.withUnsafeBytes({ Digest(storedBytes: $0) }) else { return nil }
        self = digest
    }

    /// The raw hash as a hash function yields it; `nil` if its length is not the algorithm's.
    init?(_ algorithm: Algorithm, hash: some Collection<UInt8>) {
        guard hash.count == algorithm.byteCount else { return nil }
        var bytes = hash.makeIterator()
        let digest = Digest(algorithm) {
            var word: UInt64 = 0
            for _ in 0..<8 { word = word << 8 | UInt64(bytes.next() ?? 0) }
            return word
        }
        guard let digest else { return nil }
        self = digest
    }

    private init?(utf8: UnsafeBufferPointer<UInt8>) {
        // Both prefixes are 7 bytes: "sha256:" and "sha512:".
        guard utf8.count >= 7 else { return nil }
        let algorithm: Algorithm
        if utf8.prefix(7).elementsEqual("sha256:".utf8) {
            algorithm = .sha256
        } else if utf8.prefix(7).elementsEqual("sha512:".utf8) {
            algorithm = .sha512
        } else {
            return nil
        }
        guard utf8.count == 7 + algorithm.hexLength else { return nil }
        var position = 7
        self.init(algorithm) {
            var word: UInt64 = 0
            for byte in utf8[position..<position + 16] {
                guard let value = byte.lowercaseHexValue else { return nil }
                word = word << 4 | UInt64(value)
            }
            position += 16
            return word
        }
    }

    private init?(_ algorithm: Algorithm, nextWord: () -> UInt64?) {
        func words() -> Words? {
            guard let a = nextWord(), let b = nextWord(), let c = nextWord(), let d = nextWord() else { return nil }
            return Words(a: a, b: b, c: c, d: d)
        }
        guard let first = words() else { return nil }
        switch algorithm {
        case .sha256: second = Words()
        case .sha512:
            guard let more = words() else { return nil }
            second = more
        }
        self.first = first
        self.algorithm = algorithm
    }

    package func hash(into hasher: inout Hasher) {
        // All of it, since whoever asks chooses the digest and could choose equal beginnings.
        hasher.combine(first)
        if algorithm == .sha512 { hasher.combine(second) }
    }

    /// The hash in lowercase hexadecimal digits, without the algorithm.
    package var hex: String {
        String(unsafeUninitializedCapacity: algorithm.hexLength) { writeHex(into: $0) }
    }

    /// Algorithm number and raw hash; `init(storedBytes:)` is the way back.
    package var storedBytes: [UInt8] {
        var bytes = [UInt8]()
        bytes.reserveCapacity(1 + algorithm.byteCount)
        bytes.append(algorithm.rawValue)
        forEachWord { word in
            for shift in stride(from: 56, through: 0, by: -8) { bytes.append(UInt8(truncatingIfNeeded: word >> shift)) }
        }
        return bytes
    }

    private func forEachWord(_ body: (UInt64) -> Void) {
        first.forEach(body)
        if algorithm == .sha512 { second.forEach(body) }
    }

    /// Writes exactly `hexLength` bytes.
    private func writeHex(into buffer: UnsafeMutableBufferPointer<UInt8>) -> Int {
        var position = 0
        forEachWord { word in
            for shift in stride(from: 60, through: 0, by: -4) {
                let value = UInt8(truncatingIfNeeded: word >> shift) & 15
                buffer[position] = value < 10 ? 0x30 + value : 0x57 + value
                position += 1
            }
        }
        return position
    }
}

extension Digest: CustomStringConvertible {
    package var description: String {
        String(unsafeUninitializedCapacity: 7 + algorithm.hexLength) { buffer in
            for (offset, byte) in algorithm.name.utf8.enumerated() { buffer[offset] = byte }
            buffer[6] = UInt8(ascii: ":")
            return 7 + writeHex(into: UnsafeMutableBufferPointer(rebasing: buffer[7...]))
        }
    }
}

extension Digest: Codable {
    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let digest = Digest(text) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "not a sha256 or sha512 digest")
        }
        self = digest
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
