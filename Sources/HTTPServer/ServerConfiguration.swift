// Addresses, limits and timeouts of the server, with the defaults of the configuration file.

package struct ServerConfiguration: Sendable {
    package struct Address: Sendable, Hashable, CustomStringConvertible {
        /// An IP address or a host name, without brackets.
        package let host: String
        /// 0 lets the kernel choose.
        package let port: Int

        package init(host: String, port: Int) {
            self.host = host
            self.port = port
        }

        package var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }
    }

    package var addresses: [Address]
    /// The same is served here; what comes to them says so (`Request.isAtLogin`).
    package var loginAddresses: [Address] = []
    /// The path of a socket through which requests come with the administrator's right; the directory is ours alone.
    package var adminSocket: String?
    /// What is spoken on the addresses, from the next connection on; `nil`: clear text. Never on the admin socket.
    package var tls: ServerTLS?
    /// Open connections at once, in all and from one client address; further ones are answered 503.
    package var connections = 20_000
    package var connectionsPerAddress = 4_096
    /// Connections beyond them that are told so at one time; further ones are closed without a word.
    package var refusedAtOnce = 256
    /// Request line and header fields together, in bytes (414 and 431 beyond).
    package var headLimit = 16 * 1024
    /// A request body is read and dropped up to so many bytes; behind a longer one the connection is closed.
    package var discardLimit = 64 * 1024
    /// From the first byte of a request (or, for the first one, from the connection's beginning) to the end of its
    /// head. The handshake of TLS has as long, too.
    package var headerTimeout: Duration = .seconds(15)
    /// Between two requests of a connection.
    package var idleTimeout: Duration = .seconds(120)
    /// A client that takes no byte of a response for so long is reset.
    package var clientStallTimeout: Duration = .seconds(60)
    /// How long a graceful shutdown waits for responses in flight before it resets them.
    package var drain: Duration = .seconds(30)

    package init(addresses: [Address]) {
        self.addresses = addresses
    }
}

/// Where the server listens, with the port the kernel chose.
package typealias BoundAddress = ServerConfiguration.Address
