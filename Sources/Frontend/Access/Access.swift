// Who may do what: the owner of the data, a holder of the admin token, users, and who is near.

import FoundationEssentials
package import HTTPServer
import HTTPTypes
import OCI
import Synchronization

/// It can be printed, and shows nothing.
package final class Access: Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    private struct State {
        let rules: AccessRules
        let adminToken: [UInt8]?

        init(_ rules: AccessRules) {
            self.rules = rules
            adminToken = rules.adminToken.flatMap { $0.isEmpty ? nil : Array($0.utf8) }
        }
    }

    private let state: Mutex<State>

    package init(_ rules: AccessRules) { state = Mutex(State(rules)) }

    package convenience init(adminToken: String?) { self.init(AccessRules(adminToken: adminToken)) }

    /// Other rules, from the next request on.
    package func reconfigure(_ rules: AccessRules) { state.withLock { $0 = State(rules) } }

    /// Whether there is anybody who may push, by where he is or by who he is; the admin, who may do all, aside.
    var letsSomebodyPush: Bool { state.withLock { !$0.rules.push.isEmpty } }

    var waitingLogins: Int { state.withLock { $0.rules.passwords }?.load ?? 0 }

    var showsCatalog: Bool { state.withLock { $0.rules.showsCatalog } }

    /// Whether it came through the admin socket, or carries the admin token as `Authorization: Bearer` (RFC 6750 §2.1),
    /// once.
    package func isAdmin(_ request: Request) -> Bool {
        if request.isByOwner { return true }
        let fields = request.fields[values: .authorization]
        guard let adminToken = state.withLock({ $0.adminToken }), fields.count == 1, let credentials = fields.first
        else { return false }
        let scheme = credentials.prefix { $0 != " " }
        guard scheme.lowercased() == "bearer" else { return false }
        let token = credentials.utf8.dropFirst(scheme.utf8.count).drop { $0 == UInt8(ascii: " ") }
        return Self.isEqual(Array(token), to: adminToken)
    }

    // MARK: Users

    private enum Caller {
        case nobody
        case user(String)
        /// Credentials that are not right.
        case rejected
        case busy
    }

    /// RFC 7617.
    private func caller(_ request: Request, _ rules: AccessRules) async -> Caller {
        let fields = request.fields[values: .authorization]
        guard !fields.isEmpty else { return .nobody }
        guard let passwords = rules.passwords, fields.count == 1, let (user, password) = Self.basic(fields[0])
        else { return .rejected }
        switch await passwords.verdict(on: user, password, from: request.peer) {
        case .right: return .user(user)
        case .wrong: return .rejected
        case .busy: return .busy
        }
    }

    private static func basic(_ field: String) -> (user: String, password: [UInt8])? {
        let scheme = field.prefix { $0 != " " }
        guard scheme.lowercased() == "basic" else { return nil }
        let text = field.dropFirst(scheme.count).drop { $0 == " " }
        guard let data = Data(base64Encoded: String(text)), let colon = data.firstIndex(of: UInt8(ascii: ":")),
            let user = String(validating: data[..<colon], as: UTF8.self)
        else { return nil }
        return (user, Array(data[data.index(after: colon)...]))
    }

    /// Where people log in: whether who asks shows that he can. Elsewhere nobody is ever asked, since a client that is
    /// would send the password it has for Docker Hub.
    ///
    /// - Parameter isAsked: whether he must show anything; else only what he shows must be right.
    /// - Returns: the refusal, if it is one.
    func refusal(ofLogin request: Request, isAsked: Bool) async -> Response? {
        guard request.isAtLogin, isAsked || request.fields.contains(.authorization), !isAdmin(request)
        else { return nil }
        switch await caller(request, state.withLock { $0.rules }) {
        case .user: return nil
        case .nobody: return Self.challenge("log in: this address is for users")
        case .rejected: return Self.challenge("the user name or the password is wrong")
        case .busy: return Self.busy
        }
    }

    /// Whether who asks may push to a hosted repository, and delete there: by where he is, or by who he is.
    ///
    /// - Returns: the refusal, if he may not.
    func refusal(ofPush request: Request, to name: RepositoryName) async -> Response? {
        let rules = state.withLock { $0.rules }
        let covering = rules.push.filter { $0.covers(name) }
        if isAdmin(request) { return nil }
        // A page that somebody near looks at is not him.
        if !request.isByPage, covering.contains(where: { $0.isNear(request.peer) }) { return nil }
        guard covering.contains(where: \.hasUsers) || request.isAtLogin else {
            return Self.denied("nobody may push to \(name) from \(request.peer)")
        }
        switch await caller(request, rules) {
        case .user(let user):
            if covering.contains(where: { $0.admits(user) }) { return nil }
            return Self.denied("\(user) may not push to \(name)")
        case .nobody where request.isAtLogin: return Self.challenge("log in to push to \(name)")
        case .rejected where request.isAtLogin: return Self.challenge("the user name or the password is wrong")
        case .nobody:
            return Self.denied(
                "nobody may push to \(name) from \(request.peer) without a login: push to the address for that")
        case .rejected: return Self.denied("the user name or the password is wrong")
        case .busy: return Self.busy
        }
    }

    private static func challenge(_ message: String) -> Response {
        ErrorMapping.response(
            .unauthorized, .unauthorized, message, fields: [.wwwAuthenticate: "Basic realm=\"wharf\""])
    }

    private static func denied(_ message: String) -> Response {
        ErrorMapping.response(.forbidden, .denied, message)
    }

    private static let busy = ErrorMapping.response(
        .serviceUnavailable, .unavailable, "too many are logging in", fields: [.retryAfter: "1"])

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

extension Request {
    /// A browser sent it for a page, which no client of registries does: by a name of its own that leads here, or
    /// blindly, a page could push for whoever looks at it.
    fileprivate var isByPage: Bool {
        fields.contains(.origin) || fields[.secFetchSite].map { $0 != "none" } ?? false
    }
}
