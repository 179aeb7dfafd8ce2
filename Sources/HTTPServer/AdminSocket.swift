// The admin socket: a file of the data directory through which its owner, and nobody else, may do more than pull.
import Glibc

package enum AdminSocket {
    /// A system call that failed, and why.
    package struct Failure: Error, CustomStringConvertible {
        package let code: CInt
        private let call: String

        fileprivate init(_ call: String) {
            code = errno
            self.call = call
        }

        package var reason: String { String(cString: strerror(code)) }
        package var description: String { "\(call): \(reason)" }
    }

    /// Makes the socket, in place of one that an earlier process left, and listens. The caller owns the directory: a
    /// socket that lies there has nobody behind it.
    ///
    /// - Returns: a descriptor that is the caller's to close.
    /// - Throws: what failed.
    static func listen(at path: String) throws(Failure) -> CInt {
        try withAddress(of: path) { descriptor, address, length throws(Failure) in
            // Linux gives the file the mode that the socket has: nobody can open it even at its first moment.
            guard fchmod(descriptor, 0o600) == 0 else { throw Failure("chmod \(path)") }
            var status = stat()
            // What is no socket is somebody's, and stays: then there is none here.
            if stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFSOCK { unlink(path) }
            guard bind(descriptor, address, length) == 0 else { throw Failure("bind \(path)") }
            guard Glibc.listen(descriptor, 64) == 0 else { throw Failure("listen \(path)") }
        }
    }

    /// Connects, blocking.
    ///
    /// - Returns: a descriptor that is the caller's to close.
    /// - Throws: ENOENT or ECONNREFUSED where nobody is there, EACCES where it is another's.
    package static func connect(to path: String) throws(Failure) -> CInt {
        try withAddress(of: path) { descriptor, address, length throws(Failure) in
            guard Glibc.connect(descriptor, address, length) == 0 else {
                throw Failure("connect \(path)")
            }
        }
    }

    /// `sun_path` holds 107 bytes, and a data directory may have a longer name: so it is always reached by a
    /// descriptor of its directory, which is short.
    private static func withAddress(
        of path: String, _ body: (CInt, UnsafePointer<sockaddr>, socklen_t) throws(Failure) -> Void
    ) throws(Failure) -> CInt {
        let slash = path.lastIndex(of: "/")
        let name = slash.map { path[path.index(after: $0)...] } ?? path[...]
        let directory = slash.map { $0 == path.startIndex ? "/" : String(path[..<$0]) } ?? "."
        let folder = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard folder >= 0 else { throw Failure("open \(directory)") }
        defer { close(folder) }

        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let short = Array("/proc/self/fd/\(folder)/\(name)".utf8)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: short.prefix($0.count - 1)) }

        let descriptor = socket(AF_UNIX, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw Failure("socket") }
        do throws(Failure) {
            try withUnsafePointer(to: address) { pointer throws(Failure) in
                try pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { pointer throws(Failure) in
                    try body(descriptor, pointer, socklen_t(MemoryLayout<sockaddr_un>.size))
                }
            }
        } catch {
            close(descriptor)
            throw error
        }
        return descriptor
    }
}
