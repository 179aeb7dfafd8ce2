// A user name and a password that nothing prints.
import FoundationEssentials

/// Who we are to an upstream. Printed, interpolated or dumped, it reads `<redacted>`.
package struct Credentials: Hashable, Sendable {
    private let username: String
    private let password: String

    package init(username: String, password: String) {
        self.username = username
        self.password = password
    }

    /// Takes the password from a file, without the line end that editors leave there.
    package init(username: String, passwordFile path: String) throws {
        var password = try String(contentsOfFile: path, encoding: .utf8)
        while password.hasSuffix("\n") || password.hasSuffix("\r\n") { password.removeLast() }
        self.init(username: username, password: password)
    }

    /// RFC 7617 §2, for an `Authorization` field.
    var basic: String { "Basic " + Data("\(username):\(password)".utf8).base64EncodedString() }
}

extension Credentials: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String { "<redacted>" }
    package var debugDescription: String { "<redacted>" }
    package var customMirror: Mirror { Mirror(self, children: [:]) }
}
