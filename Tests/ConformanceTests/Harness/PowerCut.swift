// What a disk holds after a power cut: what was synced for certain, and of the rest what the dice leave.
//
// A file's bytes and its names are separate. `fsync` of the file makes its content durable (`fdatasync`: all but its
// mode), `fsync` of a folder the names in it; a file's own `fsync` says nothing of its name. Of what is not durable:
//
//     writes          each is kept, lost, or kept up to a page; a lost one leaves what was there, zeros, or no growth
//     sizes, modes    each is kept or lost
//     names           of each folder so many of the changes as come first; a rename between two folders happens in both
//                     or in neither
//
// A file system with an ordered journal (ext4) is kinder than that, and nothing is built on its kindness.

import Foundation
import OCI

/// A disk that is told of changes one by one, and may be cut off after any of them.
struct CutDisk {
    fileprivate struct File {
        var content: [UInt8] = []
        var mode = 0o644
        /// Not yet durable, in order.
        var pending: [DiskRecord] = []
    }

    private enum Change {
        case create(file: Int)
        case mkdir
        case rename(file: Int, to: String)
        case unlink
    }

    private struct Naming {
        let change: Change
        let path: String
        let folders: [String]
        var isDurable = false
    }

    fileprivate private(set) var files: [File] = []
    /// Which file an inode is by now: a number is given again when its file is gone.
    private var inodes: [UInt64: Int] = [:]
    private var namings: [Naming] = []

    static func folder(of path: String) -> String {
        path.lastIndex(of: "/").map { String(path[..<$0]) } ?? ""
    }

    mutating func apply(_ record: DiskRecord) throws {
        switch record.operation {
        case .create:
            inodes[record.file] = files.count
            var file = File()
            file.mode = record.value
            files.append(file)
            name(.create(file: files.count - 1), record.path)
        case .mkdir: name(.mkdir, record.path)
        case .unlink: name(.unlink, record.path)
        case .rename:
            name(.rename(file: try index(of: record), to: record.goal), record.path, Self.folder(of: record.goal))
        case .write, .truncate, .allocate, .punch, .chmod:
            files[try index(of: record)].pending.append(record)
        case .fsync, .fdatasync:
            let index = try index(of: record)
            var later: [DiskRecord] = []
            for change in files[index].pending {
                if record.operation == .fdatasync, change.operation == .chmod {
                    later.append(change)
                } else {
                    files[index].apply(change)
                }
            }
            files[index].pending = later
        case .syncdir:
            for place in namings.indices where namings[place].folders.contains(record.path) {
                namings[place].isDurable = true
            }
        case .killed: break
        }
    }

    private mutating func name(_ change: Change, _ path: String, _ other: String? = nil) {
        let folder = Self.folder(of: path)
        let folders = other.map { $0 == folder ? [folder] : [folder, $0] } ?? [folder]
        namings.append(Naming(change: change, path: path, folders: folders))
    }

    private func index(of record: DiskRecord) throws -> Int {
        guard let index = inodes[record.file] else {
            throw HarnessError("the journal does not know the file of \(record.operation) \(record.path)")
        }
        return index
    }

    /// - Parameter isStrict: no name is kept that no sync of a folder covers.
    func cut(seed: UInt64, isStrict: Bool) -> CutImage {
        var dice = Dice(seed: seed &* 0x9E37_79B9_7F4A_7C15 | 1)
        // How many of the names that are not durable each folder keeps.
        var loose: [String: Int] = [:]
        for naming in namings where !naming.isDurable {
            for folder in naming.folders { loose[folder, default: 0] += 1 }
        }
        var kept: [String: Int] = [:]
        for folder in loose.keys.sorted() {
            kept[folder] = isStrict ? 0 : Int.random(in: 0...(loose[folder] ?? 0), using: &dice)
        }
        var image = CutImage(disk: self, seed: dice.next())
        for naming in namings {
            var isKept = true
            if !naming.isDurable {
                for folder in naming.folders {
                    let rest = (kept[folder] ?? 0) - 1
                    kept[folder] = rest
                    if rest < 0 { isKept = false }
                }
            }
            guard isKept else { continue }
            switch naming.change {
            case .create(let file): image.names[naming.path] = file
            case .mkdir: image.folders.insert(naming.path)
            case .unlink: image.names[naming.path] = nil
            case .rename(let file, let goal):
                image.names[naming.path] = nil
                image.names[goal] = file
            }
        }
        return image
    }
}

extension CutDisk.File {
    /// - Parameter most: bytes of a write that are done.
    fileprivate mutating func apply(_ change: DiskRecord, upTo most: Int = .max) {
        switch change.operation {
        case .write:
            let count = min(most, change.data.count)
            grow(to: change.offset + count)
            content.withUnsafeMutableBytes { to in
                change.data.withUnsafeBytes { from in
                    UnsafeMutableRawBufferPointer(rebasing: to[change.offset..<change.offset + count])
                        .copyMemory(from: UnsafeRawBufferPointer(rebasing: from[..<count]))
                }
            }
        case .truncate:
            grow(to: change.offset)
            content = Array(content[..<change.offset])
        case .allocate: grow(to: change.offset + change.value)
        case .punch:
            let end = min(content.count, change.offset + change.value)
            guard change.offset < end else { return }
            content.withUnsafeMutableBytes { _ = memset($0.baseAddress! + change.offset, 0, end - change.offset) }
        case .chmod: mode = change.value
        default: break
        }
    }

    private mutating func grow(to size: Int) {
        if size > content.count { content += [UInt8](repeating: 0, count: size - content.count) }
    }
}

/// What is there when the power comes back.
struct CutImage {
    fileprivate let disk: CutDisk
    fileprivate let seed: UInt64
    fileprivate(set) var folders: Set<String> = []
    fileprivate(set) var names: [String: Int] = [:]

    fileprivate init(disk: CutDisk, seed: UInt64) {
        self.disk = disk
        self.seed = seed
    }

    private func isThere(_ folder: String) -> Bool {
        folder.isEmpty || folders.contains(folder) && isThere(CutDisk.folder(of: folder))
    }

    /// The files that a folder leads to; SQLite's `-wal` is one like others.
    var paths: [String] { names.keys.filter { isThere(CutDisk.folder(of: $0)) }.sorted() }

    private func content(of file: Int) -> CutDisk.File {
        var content = disk.files[file]
        var dice = Dice(seed: seed ^ (UInt64(file) &+ 1) &* 0xD134_2543_DE82_EF95)
        for _ in 0..<3 { _ = dice.next() }
        let temper = Int.random(in: 0..<4, using: &dice)  // 0: all is lost, 1: nothing is
        for change in content.pending {
            let fate = temper < 2 ? temper * 9 : Int.random(in: 0..<10, using: &dice)
            switch fate {
            case 0..<4: continue
            case 4..<6 where change.operation == .write:
                let pages = Int.random(in: 0...change.data.count / 4096, using: &dice)
                content.apply(change, upTo: pages * 4096)
            default: content.apply(change)
            }
        }
        content.pending = []
        return content
    }

    /// Stored files that are not what their name says, each with why. One that is durable is asked about only once.
    func lies(_ known: inout Set<Int>) -> [String] {
        paths.compactMap { path in
            guard path.hasPrefix("blobs/"), let file = names[path] else { return nil }
            let isSettled = disk.files[file].pending.isEmpty
            if isSettled, known.contains(file) { return nil }
            let content = content(of: file)
            let name = path.split(separator: "/")[1] + ":" + (path.split(separator: "/").last ?? "")
            guard let digest = Digest(String(name)) else { return "\(path) has no name of a blob" }
            guard Digest.of(content.content, digest.algorithm) == digest else { return "\(path) has other bytes" }
            guard content.mode == 0o444 else { return "\(path) may be written" }
            if isSettled { known.insert(file) }
            return nil
        }
    }

    /// Makes it, as a data folder, in an empty folder.
    func lay(out root: String) throws {
        for folder in folders.filter({ isThere($0) }).sorted() {
            try FileManager.default.createDirectory(atPath: "\(root)/\(folder)", withIntermediateDirectories: true)
        }
        for path in paths {
            guard let file = names[path] else { continue }
            let content = content(of: file)
            try Data(content.content).write(to: URL(fileURLWithPath: "\(root)/\(path)"))
            chmod("\(root)/\(path)", mode_t(content.mode))
        }
    }
}
