// A port of 127.0.0.1 at which nobody listens, and that nobody else gets meanwhile.
import Glibc

/// Connections to it are refused for as long as this lives, once nobody listens there any more: bound, never listening.
/// Without it a port just freed may be the next test's.
final class ReservedPort: Sendable {
    private let descriptor: CInt

    struct Taken: Error {}

    /// - Throws: `Taken` if somebody has it who does not share it (SO_REUSEPORT).
    init(_ port: Int) throws(Taken) {
        let descriptor = socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
        var isReused: CInt = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEPORT, &isReused, socklen_t(MemoryLayout<CInt>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(port).bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        guard result == 0 else {
            close(descriptor)
            throw Taken()
        }
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }
}
