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
        let result = withLoopback(port) { bind(descriptor, $0, $1) }
        guard result == 0 else {
            close(descriptor)
            throw Taken()
        }
        self.descriptor = descriptor
    }

    deinit { close(descriptor) }
}
