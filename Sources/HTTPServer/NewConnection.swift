// How a connection begins: what it asks is mostly here already, and most that ask one thing want nothing more.
import Glibc
import Logging
import NIOCore

/// ```
/// fresh ─ admitted ─→ accepted ─ has to wait for something ─→ registered ─→ over
///                        └ answered, and it was the last ──────────────────→ over
/// ```
/// A client that opens a connection for each request (dockerd does) costs the kernel no registration for events, their
/// changes and their end, and NIO no pipeline: it is accepted, read, answered and closed.
enum Standing {
    case fresh
    /// Open, and the loop is told of nothing that happens to it. That lasts to the end of the turn at most.
    case accepted
    case registered
    case over
}

extension Connection {
    /// Whether the kernel has it still, as far as is known.
    var isOpen: Bool {
        switch standing {
        case .fresh, .over: false
        case .accepted: true
        case .registered: channel.isActive
        }
    }

    /// What TLS is spoken with, if it is.
    var secured: ServerTLS? { table.isForOwner ? nil : table.configuration.tls }

    /// On its loop, once.
    func start() {
        standing = .accepted
        descriptor = Pipeline.socket(of: channel)
        peer = descriptor.flatMap(Self.peer) ?? "-"
        admission = table.limits.enter(peer)
        table.insert(self)
        setDeadline(.now() + table.timeouts.header)
        if case .dropped = admission { return reset(as: .broken) }
        if secured == nil { readAtOnce() }
        if table.isDraining { drain() }
        registerUnlessPosted()
    }

    /// What came with it, up to a buffer full. The rest, and what is wrong with it, is found when the loop reads.
    private func readAtOnce() {
        guard let descriptor else { return }
        table.inlet.clear(minimumCapacity: 4_096)
        let count = table.inlet.writeWithUnsafeMutableBytes(minimumWritableBytes: 4_096) { bytes in
            max(0, recv(descriptor, bytes.baseAddress, bytes.count, CInt(MSG_DONTWAIT)))
        }
        if count > 0 { arrived(table.inlet) }
    }

    /// Whoever waits for nothing but the turn's end is looked at again then.
    func registerUnlessPosted() {
        if !isPosted { register() }
    }

    /// From here on the loop is told what happens. Before anything is left to NIO: it has this connection from then on.
    func register() {
        guard standing == .accepted else { return }
        standing = .registered
        do {
            try Pipeline.add(self, to: channel)
        } catch {
            // The channel is as new as can be; nothing fails on it.
            table.logger.error("a connection could not be set up", metadata: ["reason": "\(error)"])
            channel.close(promise: nil)
            return over()
        }
        channel._channelCore.registerAlreadyConfigured0(promise: nil)
    }

    /// - Parameter context: from where on the channel is closed, of one that is registered.
    func shut(_ context: ChannelHandlerContext?) {
        if let context { return context.close(promise: nil) }
        channel.close(promise: nil)
        over()
    }

    /// The client's address as text.
    private static func peer(of descriptor: CInt) -> String? {
        var storage = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let isKnown = withUnsafeMutablePointer(to: &storage) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getpeername(descriptor, $0, &length) == 0 }
        }
        guard isKnown else { return nil }
        return withUnsafeBytes(of: storage) { bytes -> String? in
            // The places of the addresses in a sockaddr_in and a sockaddr_in6.
            switch Int32(storage.ss_family) {
            case AF_INET: return text(UnsafeRawBufferPointer(rebasing: bytes[4..<8]))
            case AF_INET6:
                let address = UnsafeRawBufferPointer(rebasing: bytes[8..<24])
                // An IPv4 client of an IPv6 listener is the same client.
                let isMapped = address[..<10].allSatisfy { $0 == 0 } && address[10] == 0xFF && address[11] == 0xFF
                if isMapped { return text(UnsafeRawBufferPointer(rebasing: address[12...])) }
                var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
                guard inet_ntop(AF_INET6, address.baseAddress, &text, socklen_t(text.count)) != nil else { return nil }
                return String(decoding: text.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
            default: return nil
            }
        }
    }

    private static func text(_ address: UnsafeRawBufferPointer) -> String {
        "\(address[0]).\(address[1]).\(address[2]).\(address[3])"
    }
}
