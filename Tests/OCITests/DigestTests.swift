// The digest: its grammar, its stored form, and the hashes of the standards.

import OCI
import Testing

private let empty256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
private let abc256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
private let abc512 =
    "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
    + "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"

@Suite("Digest") struct DigestTests {
    @Test(arguments: ["sha256:\(empty256)", "sha256:\(String(repeating: "0", count: 64))", "sha512:\(abc512)"])
    func `what the grammar allows comes back as it was`(text: String) throws {
        let digest = try #require(Digest(text))
        #expect("\(digest)" == text)
        #expect(digest.hex == text.dropFirst(7))
        #expect(Digest("x\(text)x".dropFirst().dropLast()) == digest, "a Substring parses the same")
    }

    @Test(arguments: [
        "", ":", "sha256", "sha256:", "sha256:\(abc256.dropLast())", "sha256:\(abc256)0", "sha256:\(abc256)\n",
        " sha256:\(abc256)", "SHA256:\(abc256)", "sha256:\(abc256.uppercased())", "sha256:\(abc256.dropLast())g",
        "sha256:\(abc256.dropLast())/", "sha256:\(abc256.dropLast()):", "sha256:\(abc256.dropLast())\u{0}",
        "sha256:\(abc256.dropLast(2))é", "sha512:\(abc256)", "sha256:\(abc512)", "sha384:\(abc256)", "md5:\(abc256)",
        "sha256-\(abc256)", "sha256:../\(abc256.dropLast(3))", "sha256+b64:\(abc256)", abc256,
        "sha256:\(String(repeating: "a", count: 1 << 20))",
    ])
    func `everything else is refused`(text: String) {
        #expect(Digest(text) == nil)
    }

    @Test func `the stored form is the algorithm's number and the raw hash`() throws {
        for (text, size) in [("sha256:\(abc256)", 33), ("sha512:\(abc512)", 65)] {
            let digest = try #require(Digest(text))
            #expect(digest.storedBytes.count == size)
            #expect(Digest(storedBytes: digest.storedBytes) == digest)
            #expect(Digest(storedBytes: digest.storedBytes.dropLast()) == nil)
            #expect(Digest(storedBytes: digest.storedBytes + [0]) == nil)
        }
        #expect(try #require(Digest("sha256:\(abc256)")).storedBytes.prefix(3) == [1, 0xBA, 0x78])
        #expect(Digest(storedBytes: []) == nil)
        #expect(Digest(storedBytes: [9] + [UInt8](repeating: 0, count: 32)) == nil, "no such algorithm")
    }

    @Test func `digests that differ in one bit are different keys`() throws {
        let one = try #require(Digest("sha256:\(abc256)"))
        let other = try #require(Digest("sha256:\(abc256.dropLast())c"))
        let long = try #require(Digest("sha512:\(abc512)"))
        let otherLong = try #require(Digest("sha512:\(abc512.dropLast())e"))
        #expect(Set([one, other, one, long, otherLong]).count == 4)
    }

    @Test func `a digest takes no more room than its hash`() {
        #expect(MemoryLayout<Digest>.stride <= 72)
    }
}

@Suite("Digester") struct DigesterTests {
    /// FIPS 180-4's examples.
    @Test(arguments: [("", "sha256:\(empty256)"), ("abc", "sha256:\(abc256)")])
    func `sha256 is sha256`(text: String, expected: String) {
        #expect("\(Digest.of(text.utf8))" == expected)
    }

    @Test func `sha512 is sha512`() {
        #expect("\(Digest.of(Array("abc".utf8), .sha512))" == "sha512:\(abc512)")
    }

    @Test func `in pieces of any size it gives the same, empty ones included`() {
        let bytes = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        for size in [1, 63, 64, 65, 4096] {
            var digester = Digester(.sha256)
            bytes.withUnsafeBytes { all in
                digester.update(UnsafeRawBufferPointer(rebasing: all[0..<0]))
                for start in stride(from: 0, to: all.count, by: size) {
                    digester.update(UnsafeRawBufferPointer(rebasing: all[start..<min(start + size, all.count)]))
                }
            }
            #expect(digester.finish() == Digest.of(bytes))
        }
    }

    @Test func `bytes that are not contiguous hash like those that are`() {
        #expect(Digest.of(stride(from: UInt8(0), to: 200, by: 1)) == Digest.of(Array(UInt8(0)..<200)))
    }

    @Test func `a digester may move to another thread`() async {
        var digester = Digester(.sha256)
        Array("a".utf8).withUnsafeBytes { digester.update($0) }
        let moved = digester
        #expect(await finish(moved) == Digest.of("a".utf8))
    }

    @concurrent private func finish(_ digester: consuming Digester) async -> Digest { digester.finish() }
}
