// Who may do what: at this time, whether a request comes from the owner of the data or a holder of the admin token.

package import HTTPServer
import HTTPTypes
import Synchronization

/// It can be printed, and shows nothing.
package final class Access: Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    private let adminToken: Mutex<[UInt8]?>

    /// - Parameter adminToken: without one, or with an empty one, nobody is an administrator over the network.
    package init(adminToken: String?) { self.adminToken = Mutex(Self.secret(adminToken)) }

    /// Another token, or none, from the next request on.
    package func reconfigure(adminToken token: String?) { adminToken.withLock { $0 = Self.secret(token) } }

    private static func secret(_ token: String?) -> [UInt8]? { token.flatMap { $0.isEmpty ? nil : Array($0.utf8) } }

    /// Whether it came through the admin socket, or carries the admin token as `Authorization: Bearer` (RFC 6750 §2.1),
    /// once.
    package func isAdmin(_ request: Request) -> Bool {
        if request.isByOwner { return true }
        let fields = request.fields[values: .authorization]
        guard let adminToken = adminToken.withLock({ $0 }), fields.count == 1, let credentials = fields.first else {
            return false
        }
        let scheme = credentials.prefix { $0 != " " }
        guard scheme.lowercased() == "bearer" else { return false }
        let token = credentials.utf8.dropFirst(scheme.utf8.count).drop { $0 == UInt8(ascii: " ") }
        return Self.isEqual(Array(token), to: adminToken)
    }

    /// Takes as long for every secret that is not empty: every byte that was presented is looked at, whatever those
    /// before it were, and as many are presented as the client chose.
    private static func isEqual(_ presented: [UInt8], to secret: [UInt8]) -> Bool {
        var difference = presented.count ^ secret.count
        var place = 0
        for byte in presented {
            difference |= Int(byte ^ secret[place])
            place = place + 1 == secret.count ? 0 : place + 1
        }
        return difference == 0
    }

    package var description: String { "Access" }
    package var debugDescription: String { description }
    package var customMirror: Mirror { Mirror(self, children: [:]) }
}
