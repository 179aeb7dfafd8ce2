// Why the store could not do what it was asked.

import Glibc
package import OCI

package enum StoreError: Error, Equatable, Sendable {
    /// Nothing that may be evicted makes room for so many bytes, or the disk said ENOSPC.
    case noSpace(needed: Int64)
    /// The bytes are not what their digest names; they lie in quarantine.
    case digestMismatch(expected: Digest, actual: Digest)
    /// Another number of bytes than announced.
    case sizeMismatch(expected: Int64, actual: Int64)
    /// A system call failed: which, on what, and errno.
    case io(operation: String, path: String, errno: CInt)
    /// SQLite, in its own words.
    case database(String)
    /// Another process holds this data directory.
    case inUse(root: String)
    /// The ingest was already committed or given up.
    case ended
    /// What is pushed would make more than some repositories may hold together, as the text says.
    case overQuota(String)
    /// What was pushed here is not read in yet, or cannot be read.
    case hostedUnread
}

extension StoreError {
    /// The medium does not give back what was written to it: another try would not help.
    var isUnreadable: Bool {
        if case .io(_, _, EIO) = self { true } else { false }
    }
}

extension StoreError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .noSpace(let needed): "no room for \(needed) bytes: raise cache.max-size or free disk space"
        case .digestMismatch(let expected, let actual): "the bytes hash to \(actual), not to \(expected)"
        case .sizeMismatch(let expected, let actual): "\(actual) bytes came where \(expected) were announced"
        case .io(let operation, let path, let errno): "\(operation) \(path): \(describe(errno: errno))"
        case .database(let text): "metadata database: \(text)"
        case .inUse(let root): "\(root) is held by another wharf: stop it, or choose another --data directory"
        case .ended: "the ingest has ended"
        case .overQuota(let text): text
        case .hostedUnread: "what was pushed here is being read in, or cannot be read: see the log"
        }
    }
}
