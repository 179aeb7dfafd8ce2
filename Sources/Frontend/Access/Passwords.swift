// Users and their passwords, from an htpasswd file: bcrypt alone, compared on a thread of its own.

import CCrypt
import Dispatch
import OCI
import Synchronization

/// It can be printed, and shows nothing.
package final class Passwords: Sendable, CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// What is wrong with a line, counted from 1; never what stands in it.
    package struct Fault: Error, Equatable {
        package let line: Int
        package let reason: String
    }

    package enum Verdict: Sendable {
        case right
        case wrong
        /// More are waiting for theirs than will be answered soon.
        case busy
    }

    /// Who waits beyond so many is told so at once: each takes some tenths of a second, and anyone can ask. No address
    /// has all the places.
    private static let mostWaiting = 64
    private static let mostWaitingOfOne = 32
    /// A cost beyond takes seconds, of everybody.
    private static let mostCost = 14
    /// Bytes of a password; bcrypt looks at 72 of them.
    private static let mostBytes = 1024

    private let hashes: [String: String]
    /// What stands for the hash of who is not there: he takes as long.
    private let decoy: String
    private let salt: [UInt8]
    /// What was right before, hashed with the salt: a push is hundreds of requests, each with the password.
    private let known = Mutex(RecentlyUsed<Digest, Bool>(limit: 512))
    private let waiting = Mutex(Waiting())
    private static let thread = DispatchQueue(label: "wharf.passwords")

    /// Reads lines of `user:hash`; empty ones and those that begin with `#` are passed over.
    package init(parsing text: String) throws(Fault) {
        var hashes: [String: String] = [:]
        let lines = text.split(omittingEmptySubsequences: false) { $0.isNewline }
        for (index, line) in lines.enumerated() {
            if line.isEmpty || line.first == "#" { continue }
            guard let colon = line.firstIndex(of: ":"), colon > line.startIndex else {
                throw Fault(line: index + 1, reason: "is not user:hash")
            }
            let (user, hash) = (String(line[..<colon]), String(line[line.index(after: colon)...]))
            guard let cost = Self.cost(ofBcrypt: hash) else {
                throw Fault(line: index + 1, reason: "has no bcrypt hash: make it with htpasswd -B")
            }
            guard cost <= Self.mostCost else {
                throw Fault(
                    line: index + 1,
                    reason: "has a cost of \(cost), and each login would take long: make it with htpasswd -B -C 10")
            }
            guard hashes.updateValue(hash, forKey: user) == nil else {
                throw Fault(line: index + 1, reason: "names a user for the second time")
            }
        }
        self.hashes = hashes
        decoy = hashes.values.first ?? "$2b$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"
        salt = (0..<32).map { _ in UInt8.random(in: .min ... .max) }
    }

    /// `$2y$05$` and 53 of the signs of bcrypt's own base 64.
    ///
    /// - Returns: its cost; nil if it is none.
    private static func cost(ofBcrypt hash: String) -> Int? {
        let bytes = Array(hash.utf8)
        guard bytes.count == 60, ["$2a$", "$2b$", "$2y$"].contains(String(hash.prefix(4))) else { return nil }
        guard let cost = Int(hash.dropFirst(4).prefix(2)), (4...31).contains(cost), bytes[6] == UInt8(ascii: "$")
        else { return nil }
        let isWhole = bytes[7...].allSatisfy {
            $0 == UInt8(ascii: ".") || $0 == UInt8(ascii: "/") || $0 &- 0x30 < 10 || ($0 | 0x20) &- 0x61 < 26
        }
        return isWhole ? cost : nil
    }

    /// - Parameter peer: the address that asks.
    package func verdict(on user: String, _ password: [UInt8], from peer: String) async -> Verdict {
        // To C it would end there.
        guard !password.contains(0), password.count <= Self.mostBytes else { return .wrong }
        let key = Digest.of(salt + Array(user.utf8) + [0] + password)
        if known.withLock({ $0[key] }) == true { return .right }
        return await withCheckedContinuation { continuation in
            switch waiting.withLock({ $0.add(continuation, key, peer) }) {
            case .joined: break
            case .busy: continuation.resume(returning: .busy)
            case .first:
                Self.thread.async { [self] in
                    let hash = hashes[user]
                    let isRight = Self.matches(password, hash ?? decoy) && hash != nil
                    if isRight { known.withLock { $0[key] = true } }
                    for waiter in waiting.withLock({ $0.end(key, peer) }) {
                        waiter.resume(returning: isRight ? .right : .wrong)
                    }
                }
            }
        }
    }

    /// Logins that wait or are being looked at.
    var load: Int { waiting.withLock { $0.count } }

    /// Who waits for the thread. The same login asked of it many times at once, as when a site's machines begin, is
    /// looked at once.
    private struct Waiting {
        enum Place { case first, joined, busy }

        private var waiters: [Digest: [CheckedContinuation<Verdict, Never>]] = [:]
        private var places: [String: Int] = [:]

        var count: Int { waiters.count }

        mutating func add(_ waiter: CheckedContinuation<Verdict, Never>, _ key: Digest, _ peer: String) -> Place {
            if waiters[key] != nil {
                waiters[key]?.append(waiter)
                return .joined
            }
            guard waiters.count < Passwords.mostWaiting, places[peer, default: 0] < Passwords.mostWaitingOfOne
            else { return .busy }
            waiters[key] = [waiter]
            places[peer, default: 0] += 1
            return .first
        }

        mutating func end(_ key: Digest, _ peer: String) -> [CheckedContinuation<Verdict, Never>] {
            places[peer] = places[peer].flatMap { $0 > 1 ? $0 - 1 : nil }
            return waiters.removeValue(forKey: key) ?? []
        }
    }

    private static func matches(_ password: [UInt8], _ hash: String) -> Bool {
        // What libxcrypt calls `struct crypt_data`.
        let size = 32_768
        let room = UnsafeMutableRawBufferPointer.allocate(byteCount: size, alignment: 16)
        defer {
            // The password is in it.
            room.initializeMemory(as: UInt8.self, repeating: 0)
            room.deallocate()
        }
        room.initializeMemory(as: UInt8.self, repeating: 0)
        let phrase = (password + [0]).map { CChar(bitPattern: $0) }
        guard let made = crypt_rn(phrase, hash, room.baseAddress, CInt(size)) else { return false }
        return isEqual(Array(String(cString: made).utf8), Array(hash.utf8))
    }

    /// Both have the length of a bcrypt hash, unless something is amiss.
    private static func isEqual(_ one: [UInt8], _ other: [UInt8]) -> Bool {
        guard one.count == other.count else { return false }
        return zip(one, other).reduce(0) { $0 | ($1.0 ^ $1.1) } == 0
    }

    package var description: String { "Passwords" }
    package var debugDescription: String { description }
    package var customMirror: Mirror { Mirror(self, children: [:]) }
}
