// The few system calls the store makes, with EINTR retried and errno told.

import CLinux
import Glibc

/// Gives the memory that is free back to the system. Buffers of many sizes on many threads leave the allocator's
/// arenas full of holes, which it does not give back by itself: eight times what was in use, after minutes of load.
func giveBackFreeMemory() { wharf_trim_memory() }

func describe(errno code: CInt) -> String { String(cString: strerror(code)) }

/// Runs `call` until it is not interrupted; a negative answer throws what failed on which path.
@discardableResult
func system(_ operation: String, _ path: String, _ call: () -> CInt) throws(StoreError) -> CInt {
    while true {
        let result = call()
        if result >= 0 { return result }
        let code = errno
        if code == EINTR { continue }
        if code == ENOSPC || code == EDQUOT { throw .noSpace(needed: 0) }
        throw .io(operation: operation, path: path, errno: code)
    }
}

/// Writes all of `bytes` at `offset`; a short write is tried on, and tells its errno then.
func writeFully(
    _ descriptor: CInt, _ bytes: UnsafeRawBufferPointer, at offset: Int64, path: String
) throws(StoreError) {
    var done = 0
    while done < bytes.count {
        let rest = bytes.baseAddress?.advanced(by: done)
        let count = pwrite(descriptor, rest, bytes.count - done, off_t(offset) + off_t(done))
        if count > 0 {
            done += count
        } else if count < 0, errno != EINTR {
            let code = errno
            if code == ENOSPC || code == EDQUOT { throw .noSpace(needed: Int64(bytes.count - done)) }
            throw .io(operation: "write", path: path, errno: code)
        }
    }
}

/// Reads up to `buffer.count` bytes at `offset`; fewer only at the end of the file.
func readFully(
    _ descriptor: CInt, _ buffer: UnsafeMutableRawBufferPointer, at offset: Int64, path: String
) throws(StoreError) -> Int {
    var done = 0
    while done < buffer.count {
        let rest = buffer.baseAddress?.advanced(by: done)
        let count = pread(descriptor, rest, buffer.count - done, off_t(offset) + off_t(done))
        if count == 0 { break }
        if count > 0 {
            done += count
        } else if errno != EINTR {
            throw .io(operation: "read", path: path, errno: errno)
        }
    }
    return done
}

/// Takes the blocks of the first `size` bytes that are not there yet, at once: a late ENOSPC becomes an early one, and
/// writes are faster. A file system that cannot takes them as they come.
func allocate(_ descriptor: CInt, size: Int64, path: String) throws(StoreError) {
    guard size > 0 else { return }
    do throws(StoreError) {
        try system("allocate", path) { wharf_fallocate(descriptor, 0, off_t(size)) }
    } catch .noSpace {
        throw .noSpace(needed: size)
    } catch {
        // Any other refusal only means that it is not done here.
    }
}

/// Gives the blocks that lie wholly in the range back to the disk, and makes zeros of the rest of it.
func punchHole(_ descriptor: CInt, _ range: Range<Int64>, path: String) throws(StoreError) {
    try system("punch", path) { wharf_punch_hole(descriptor, off_t(range.lowerBound), off_t(range.count)) }
}

/// A file in memory that goes with its last descriptor.
func memoryFile(_ name: String) throws(StoreError) -> CInt { try system("memfd", name) { wharf_memfd(name) } }

/// Makes the directory's own entries durable: a rename is only on disk when this has returned.
func syncDirectory(_ path: String) throws(StoreError) {
    let descriptor = try system("open", path) { open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) }
    defer { close(descriptor) }
    try system("fsync", path) { fsync(descriptor) }
}

/// Makes one directory; true if it was not there.
@discardableResult
func makeDirectory(_ path: String) throws(StoreError) -> Bool {
    if mkdir(path, 0o755) == 0 { return true }
    if errno == EEXIST { return false }
    throw .io(operation: "mkdir", path: path, errno: errno)
}

/// The names in a directory, without `.` and `..`, unordered; none if it is not there.
func names(in directory: String) -> [String] {
    guard let stream = opendir(directory) else { return [] }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
        let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
            pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        if name != ".", name != ".." { names.append(name) }
    }
    return names
}

/// The same of a directory that must be there, and be read to its end.
func listing(_ directory: String) throws(StoreError) -> [String] {
    guard let stream = opendir(directory) else { throw .io(operation: "open", path: directory, errno: errno) }
    defer { closedir(stream) }
    var names: [String] = []
    while true {
        errno = 0
        guard let entry = readdir(stream) else {
            if errno != 0 { throw .io(operation: "read", path: directory, errno: errno) }
            return names
        }
        let name = withUnsafePointer(to: &entry.pointee.d_name) { pointer in
            pointer.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
        }
        if name != ".", name != ".." { names.append(name) }
    }
}

/// What `fstat` says of an open file, in bytes.
func fileSize(_ descriptor: CInt, path: String) throws(StoreError) -> Int64 {
    var status = stat()
    try system("stat", path) { fstat(descriptor, &status) }
    return Int64(status.st_size)
}

/// Bytes that an open file takes on the disk, which is what `du` says of it.
func allocatedSize(_ descriptor: CInt, path: String) throws(StoreError) -> Int64 {
    var status = stat()
    try system("stat", path) { fstat(descriptor, &status) }
    return Int64(status.st_blocks) * 512
}

/// Bytes that a file of this size takes on the disk: whole blocks of 4 KiB.
func onDisk(_ size: Int64) -> Int64 { (min(size, .max - 4095) + 4095) & ~4095 }
