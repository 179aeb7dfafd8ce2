// Where everything lies under the data directory; nothing outside this room knows a path.
//
//     <data>/
//     ├── blobs/<algorithm>/<first two hex>/<hex>   committed, read-only, name = hash of the content; manifests too
//     ├── ingest/<id>                               being written, or unfinished with a row; never served by name
//     ├── uploads/<id>                              being pushed; emptied at start
//     ├── hosted/<name>/_{links,manifests,tags}/…   what was pushed here (Hosted/HostedTree.swift)
//     ├── hosted/_damaged/<digest>                  what was pushed and is not what it is called; kept, never served
//     ├── trash/<id>                                renamed away, being unlinked; emptied at start
//     ├── quarantine/<hex>.<id>                     bytes that did not match their digest; bounded
//     ├── metadata.sqlite (-wal, -shm)              what the blobs are called and when that was learnt
//     └── metadata.sqlite.damaged-<ms>              the newest one that could not be used any more
//
// Order of truth: a blob exists if its file does. The database may lose the last seconds; the files may not lie. What
// was pushed here is what `hosted/` says.

package import OCI

package struct DiskLayout: Sendable {
    /// How the names of a database that was moved aside begin.
    static let damaged = "metadata.sqlite.damaged-"

    package let root: String

    package init(root: String) { self.root = root }

    /// All but the shards.
    var folders: [String] { [root, blobs, ingest, uploads, hosted, trash, quarantine] }
    var blobs: String { root + "/blobs" }
    var ingest: String { root + "/ingest" }
    var uploads: String { root + "/uploads" }
    var hosted: String { root + "/hosted" }
    var trash: String { root + "/trash" }
    var quarantine: String { root + "/quarantine" }
    var metadata: String { root + "/metadata.sqlite" }
    func damagedMetadata(_ id: Int64) -> String { "\(root)/\(Self.damaged)\(id)" }

    func blobDirectory(_ digest: Digest) -> String { directory(of: digest, digest.hex) }
    package func blob(_ digest: Digest) -> String {
        let hex = digest.hex
        var path = directory(of: digest, hex)
        path += "/"
        path += hex
        return path
    }

    /// Put together by hand: an eviction makes tens of thousands a second.
    private func directory(of digest: Digest, _ hex: String) -> String {
        var path = root
        path.reserveCapacity(root.utf8.count + 20 + hex.utf8.count)
        path += "/blobs/"
        path += digest.algorithm.name
        path += "/"
        path += hex.prefix(2)
        return path
    }
    func ingest(_ id: String) -> String { "\(ingest)/\(id)" }
    func upload(_ id: String) -> String { "\(uploads)/\(id)" }
    func trash(_ id: String) -> String { "\(trash)/\(id)" }
    func quarantined(_ digest: Digest, _ id: String) -> String { "\(quarantine)/\(digest.hex).\(id)" }

    /// Makes what is missing, durably: what is synced in a folder is lost with the folder's own name. The two-hex
    /// shards are made when the first blob needs them.
    func make() throws(StoreError) {
        var path = root.hasPrefix("/") ? "" : "."
        for part in root.split(separator: "/") {
            let above = path.isEmpty ? "/" : path
            path += "/\(part)"
            if try makeDirectory(path) { try syncDirectory(above) }
        }
        for directory in folders.dropFirst() { try makeDirectory(directory) }
        for algorithm in Digest.Algorithm.allCases { try makeDirectory("\(blobs)/\(algorithm.name)") }
        try syncDirectory(blobs)
        try syncDirectory(root)
    }
}
