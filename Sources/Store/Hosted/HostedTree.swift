// What was pushed here, as files that tell it without a database.
//
//     hosted/<name>/_links/<digest>        the repository has this blob; empty
//     hosted/<name>/_manifests/<digest>    it has this manifest: its media type
//     hosted/<name>/_tags/<tag>            what the tag names: a digest
//
//     hosted/_damaged/<digest>             content that turned out not to be what it is called; never served
//
// A repository may be called as a part of another is; no part of a name begins with `_`. The contents are in `blobs/`.

import Glibc
import OCI
import Synchronization

/// Every change is on the disk when its verb returns: file, name and folder. All calls wait for the disk.
struct HostedTree: Sendable {
    let root: String
    private let durable = DurableFolders()

    init(root: String) { self.root = root }

    /// What one repository has.
    struct Content: Equatable, Sendable {
        var links: Set<Digest> = []
        var manifests: [Digest: MediaType] = [:]
        var tags: [Tag: Digest] = [:]
    }

    private enum Kind: String, CaseIterable {
        case links = "_links"
        case manifests = "_manifests"
        case tags = "_tags"
    }

    var damaged: String { root + "/_damaged" }
    func damaged(_ digest: Digest) -> String { "\(damaged)/\(digest)" }

    // MARK: Writing

    /// - Returns: whether it is new.
    func addLink(_ digest: Digest, to name: RepositoryName) throws(StoreError) -> Bool {
        let folder = try makeFolder(.links, of: name)
        let path = "\(folder)/\(digest)"
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o644)
        guard descriptor >= 0 else {
            if errno == EEXIST {
                // Whoever made it may have been stopped before it was on the disk.
                try syncDirectory(folder)
                return false
            }
            if errno == ENOSPC || errno == EDQUOT { throw .noSpace(needed: 4096) }
            throw .io(operation: "create", path: path, errno: errno)
        }
        close(descriptor)
        do throws(StoreError) {
            try syncDirectory(folder)
        } catch {
            unlink(path)
            throw error
        }
        return true
    }

    /// - Parameter type: nil removes it.
    func setManifest(_ digest: Digest, _ type: MediaType?, in name: RepositoryName) throws(StoreError) {
        try set(.manifests, "\(digest)", type?.rawValue, of: name)
    }

    /// - Parameter digest: nil removes it.
    func setTag(_ tag: Tag, _ digest: Digest?, of name: RepositoryName) throws(StoreError) {
        try set(.tags, "\(tag)", digest.map { "\($0)" }, of: name)
    }

    func write(_ content: Content, of name: RepositoryName) throws(StoreError) {
        for digest in content.links { _ = try addLink(digest, to: name) }
        for (digest, type) in content.manifests { try setManifest(digest, type, in: name) }
        for (tag, digest) in content.tags { try setTag(tag, digest, of: name) }
    }

    func removeLink(_ digest: Digest, from name: RepositoryName) throws(StoreError) {
        try remove("\(digest)", from: folder(.links, of: name))
    }

    private func folder(_ kind: Kind, of name: RepositoryName) -> String { "\(root)/\(name)/\(kind.rawValue)" }

    private func makeFolder(_ kind: Kind, of name: RepositoryName) throws(StoreError) -> String {
        var path = root
        for part in name.components.map(String.init) + [kind.rawValue] {
            let above = path
            path += "/\(part)"
            if durable.contains(path) { continue }
            try makeDirectory(path)
            try syncDirectory(above)
            durable.insert(path)
        }
        return path
    }

    /// Whole or not at all: written aside and renamed.
    private func set(_ kind: Kind, _ file: String, _ text: String?, of name: RepositoryName) throws(StoreError) {
        guard let text else { return try remove(file, from: folder(kind, of: name)) }
        let folder = try makeFolder(kind, of: name)
        let (path, aside) = ("\(folder)/\(file)", "\(folder)/.\(file)")
        // Whoever wrote the same before may have been stopped before it was on the disk.
        if try Self.text(of: path) == text { return try syncDirectory(folder) }
        do throws(StoreError) {
            let descriptor = try system("create", aside) {
                open(aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
            }
            defer { close(descriptor) }
            let bytes = Array("\(text)\n".utf8)
            let result: Result<Void, StoreError> = bytes.withUnsafeBytes { bytes in
                Result { () throws(StoreError) in try writeFully(descriptor, bytes, at: 0, path: aside) }
            }
            try result.get()
            try system("fsync", aside) { fsync(descriptor) }
            try system("rename", aside) { rename(aside, path) }
            try syncDirectory(folder)
        } catch {
            unlink(aside)
            throw error
        }
    }

    private func remove(_ file: String, from folder: String) throws(StoreError) {
        guard unlink("\(folder)/\(file)") == 0 || errno == ENOENT else {
            throw .io(operation: "remove", path: "\(folder)/\(file)", errno: errno)
        }
        // Whoever removed it before may have been stopped before that was on the disk.
        if access(folder, F_OK) == 0 { try syncDirectory(folder) }
    }

    // MARK: Reading

    /// The type of a manifest that the repository has.
    func manifest(_ digest: Digest, in name: RepositoryName) throws(StoreError) -> MediaType? {
        try Self.text(of: "\(folder(.manifests, of: name))/\(digest)").map { MediaType(rawValue: $0) }
    }

    /// What the tag names.
    func tag(_ tag: Tag, of name: RepositoryName) throws(StoreError) -> Digest? {
        try Self.text(of: "\(folder(.tags, of: name))/\(tag)").flatMap { Digest($0) }
    }

    /// Nothing was ever pushed. What cannot be read is not empty.
    var isEmpty: Bool { (try? listing(root))?.isEmpty ?? false }

    /// The names under which anything was ever pushed.
    ///
    /// - Throws: `.io` if not all of them can be read.
    func repositories() throws(StoreError) -> [RepositoryName] {
        var found: [RepositoryName] = []
        try walk(root, "") { found.append($0) }
        return found.sorted { $0.description < $1.description }
    }

    private func walk(
        _ folder: String, _ name: String, _ found: (RepositoryName) -> Void
    ) throws(StoreError) {
        let entries: [String]
        do throws(StoreError) {
            entries = try listing(folder)
        } catch .io(_, _, ENOTDIR) where !name.isEmpty {
            return  // a file that was not made here
        }
        if entries.contains(where: { Kind(rawValue: $0) != nil }), let name = RepositoryName(name) { found(name) }
        for entry in entries where Kind(rawValue: entry) == nil {
            let below = name.isEmpty ? entry : "\(name)/\(entry)"
            // What is no part of a name was not made here.
            if RepositoryName(below) != nil { try walk("\(folder)/\(entry)", below, found) }
        }
    }

    /// What a file says that was cut short by nobody here is left out: it is not what was written.
    func content(of name: RepositoryName) throws(StoreError) -> Content {
        var content = Content()
        for file in try files(.links, of: name) {
            if let digest = Digest(file) { content.links.insert(digest) }
        }
        for file in try files(.manifests, of: name) {
            guard let digest = Digest(file) else { continue }
            let text = try Self.text(of: "\(folder(.manifests, of: name))/\(file)")
            content.manifests[digest] = text.map { MediaType(rawValue: $0) }
        }
        for file in try files(.tags, of: name) {
            guard let tag = Tag(file) else { continue }
            content.tags[tag] = try Self.text(of: "\(folder(.tags, of: name))/\(file)").flatMap { Digest($0) }
        }
        return content
    }

    private func files(_ kind: Kind, of name: RepositoryName) throws(StoreError) -> [String] {
        let folder = folder(kind, of: name)
        return access(folder, F_OK) == 0 ? try listing(folder) : []
    }

    /// The first line of a file; nil if it is not there.
    private static func text(of path: String) throws(StoreError) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT { return nil }
            throw .io(operation: "open", path: path, errno: errno)
        }
        defer { close(descriptor) }
        let result: Result<String, StoreError> = withUnsafeTemporaryAllocation(byteCount: 1024, alignment: 1) { bytes in
            Result { () throws(StoreError) in
                let count = try readFully(descriptor, bytes, at: 0, path: path)
                return String(String(decoding: bytes[..<count], as: UTF8.self).prefix { $0 != "\n" })
            }
        }
        return try result.get()
    }
}

/// Folders whose own names this run has seen on the disk: they are not synced again. None is ever removed.
private final class DurableFolders: Sendable {
    private let paths = Mutex<Set<String>>([])

    func contains(_ path: String) -> Bool { paths.withLock { $0.contains(path) } }
    func insert(_ path: String) { paths.withLock { _ = $0.insert(path) } }
}
