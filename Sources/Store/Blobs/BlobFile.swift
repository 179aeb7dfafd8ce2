// A committed blob, open and immutable. It outlives its own eviction: an open file survives its unlink, so readers
// need no lease.

import Glibc
package import OCI

package final class BlobFile: Sendable {
    package let digest: Digest
    /// Bytes.
    package let size: Int64
    private let descriptor: CInt
    private let path: String

    /// Opens the blob's file, or answers nil if it is not there.
    init?(opening path: String, digest: Digest) throws(StoreError) {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT { return nil }
            throw .io(operation: "open", path: path, errno: errno)
        }
        do throws(StoreError) {
            size = try fileSize(descriptor, path: path)
        } catch {
            close(descriptor)
            throw error
        }
        self.digest = digest
        self.descriptor = descriptor
        self.path = path
    }

    /// A descriptor of the caller's own, to close when he is done: one a response, never one for several connections.
    package func duplicate() throws(StoreError) -> CInt {
        try system("dup", path) { fcntl(descriptor, F_DUPFD_CLOEXEC, 0) }
    }

    /// The whole content; for manifests, which are small.
    package func readAll() throws(StoreError) -> [UInt8] {
        // The library would write into the one empty array that all share.
        guard size > 0 else { return [] }
        var failure: StoreError?
        let bytes = [UInt8](unsafeUninitializedCapacity: Int(size)) { buffer, count in
            do throws(StoreError) {
                count = try readFully(descriptor, UnsafeMutableRawBufferPointer(buffer), at: 0, path: path)
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
        return bytes
    }

    deinit { close(descriptor) }
}
