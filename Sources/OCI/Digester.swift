// Hashing of bytes as they come, to a digest. The only file that knows libcrypto.

import COpenSSL

/// A hash in the making: any number of `update`s, then one `finish`.
///
/// Costs what the processor's SHA instructions cost (about 1.9 GB/s for sha256). Noncopyable, since libcrypto's
/// context is one mutable thing with one owner; it is freed when that owner lets go, finished or not.
package struct Digester: ~Copyable, Sendable {
    private let algorithm: Digest.Algorithm
    /// The address of the `EVP_MD_CTX`. Kept as a number because pointers are not `Sendable`; that is sound here:
    /// the struct is noncopyable, so one place at a time holds the address, and libcrypto ties no context to a thread.
    private let address: UInt

    package init(_ algorithm: Digest.Algorithm) {
        let type =
            switch algorithm {
            case .sha256: EVP_sha256()
            case .sha512: EVP_sha512()
            }
        guard let context = EVP_MD_CTX_new(), EVP_DigestInit_ex(context, type, nil) == 1 else {
            fatalError("libcrypto cannot hash with \(algorithm.name): out of memory, or a policy forbids it")
        }
        self.algorithm = algorithm
        address = UInt(bitPattern: context)
    }

    deinit { EVP_MD_CTX_free(OpaquePointer(bitPattern: address)) }

    package mutating func update(_ bytes: UnsafeRawBufferPointer) {
        let result = EVP_DigestUpdate(OpaquePointer(bitPattern: address), bytes.baseAddress, bytes.count)
        precondition(result == 1, "EVP_DigestUpdate fails only on a context never initialised")
    }

    package consuming func finish() -> Digest {
        let hash = [UInt8](unsafeUninitializedCapacity: Int(EVP_MAX_MD_SIZE)) { buffer, count in
            var length: UInt32 = 0
            let result = EVP_DigestFinal_ex(OpaquePointer(bitPattern: address), buffer.baseAddress, &length)
            precondition(result == 1, "EVP_DigestFinal_ex fails only on a context never initialised")
            count = Int(length)
        }
        guard let digest = Digest(algorithm, hash: hash) else {
            fatalError("libcrypto's \(algorithm.name) has \(hash.count) bytes")
        }
        return digest
    }
}

extension Digest {
    /// The digest of bytes already at hand, such as a manifest.
    package static func of(_ bytes: some Sequence<UInt8>, _ algorithm: Algorithm = .sha256) -> Digest {
        let inPlace = bytes.withContiguousStorageIfAvailable { of(UnsafeRawBufferPointer($0), algorithm) }
        return inPlace ?? Array(bytes).withUnsafeBytes { of($0, algorithm) }
    }

    package static func of(_ bytes: UnsafeRawBufferPointer, _ algorithm: Algorithm = .sha256) -> Digest {
        var digester = Digester(algorithm)
        digester.update(bytes)
        return digester.finish()
    }
}
