// A tar archive, written: the little of POSIX ustar that an image layer needs.

/// - Source: POSIX.1 pax, "ustar Interchange Format"; image-spec v1.1 "Image Layer Filesystem Changeset".
struct TarArchive {
    private var bytes: [UInt8] = []

    private enum Kind: UInt8 {
        case file = 0x30
        case symbolicLink = 0x32
        case folder = 0x35
    }

    mutating func addFolder(_ path: String) { add(.folder, path, mode: 0o755) }

    mutating func addFile(_ path: String, _ content: [UInt8], mode: Int = 0o644) {
        add(.file, path, mode: mode, content: content)
    }

    mutating func addSymbolicLink(_ path: String, to target: String) {
        add(.symbolicLink, path, mode: 0o777, target: target)
    }

    /// The archive with its end, two blocks of zeros.
    consuming func finish() -> [UInt8] {
        bytes += [UInt8](repeating: 0, count: 1024)
        return bytes
    }

    private mutating func add(_ kind: Kind, _ path: String, mode: Int, content: [UInt8] = [], target: String = "") {
        var header = [UInt8](repeating: 0, count: 512)
        func put(_ text: String, at offset: Int) {
            header.replaceSubrange(offset..<offset + text.utf8.count, with: text.utf8)
        }
        func put(_ number: Int, at offset: Int, digits: Int) {
            let octal = String(number, radix: 8)
            put(String(repeating: "0", count: digits - octal.count) + octal, at: offset)
        }
        put(path, at: 0)
        put(mode, at: 100, digits: 7)
        put(0, at: 108, digits: 7)  // owner
        put(0, at: 116, digits: 7)  // group
        put(content.count, at: 124, digits: 11)
        put(1_700_000_000, at: 136, digits: 11)  // one time for all, so that the digests are the same in every run
        header[156] = kind.rawValue
        put(target, at: 157)
        put("ustar", at: 257)
        put("00", at: 263)
        // The sum counts its own field as blanks.
        put("        ", at: 148)
        put(header.reduce(0) { $0 + Int($1) }, at: 148, digits: 6)
        header[154] = 0
        bytes += header
        bytes += content
        bytes += [UInt8](repeating: 0, count: (512 - content.count % 512) % 512)
    }
}
