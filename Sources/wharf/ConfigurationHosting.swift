// What is hosted here and who may push to it: `hosted`, `hosting` and `access`.

import FoundationEssentials
import Frontend
package import Hosting
package import OCI
package import Upstream

extension Configuration {
    package struct Hosting: Hashable, Sendable {
        /// Names that are pushed here and never fetched.
        package var names: [NamePattern] = []
        package var readOnly: [NamePattern] = []
        package var immutableTags: [HostingPolicy.TagPattern] = []
        package var quotas: [HostingPolicy.Quota] = []
        /// A manifest that no tag leads to for so long is collected; `nil`: never.
        package var untaggedAfter: Duration?
        /// An upload that nothing is sent to, or a blob that no manifest names, for so long is given up.
        package var abandonedAfter = Duration.seconds(86_400)
    }

    /// Equal where the file has the same name and holds the same.
    package struct Users: Equatable, Sendable {
        package let file: String
        private let contents: Digest
        let passwords: Passwords

        init(file: String) throws(ValueMistake) {
            guard let bytes = FileManager.default.contents(atPath: file),
                let text = String(validating: bytes, as: UTF8.self)
            else { throw ValueMistake(file, "no file that can be read; make it with htpasswd -cB FILE USER") }
            self.file = file
            contents = Digest.of(bytes)
            do throws(Passwords.Fault) {
                passwords = try Passwords(parsing: text)
            } catch {
                throw ValueMistake(file, "no file of users: line \(error.line) \(error.reason)")
            }
        }

        package static func == (one: Users, other: Users) -> Bool {
            (one.file, one.contents) == (other.file, other.contents)
        }
    }

    /// Who may push to some repositories.
    package struct PushRule: Hashable, Sendable {
        package var names: [NamePattern]
        /// `nil`: every user.
        package var users: [String]?
        /// From where no login is needed.
        package var networks: [AddressBlock] = []
    }

    mutating func readHosting(_ root: inout ConfigurationSection) {
        typealias Values = ConfigurationValues
        hosting.names = root.list("hosted", Values.namePattern) ?? hosting.names
        var section = root.section("hosting")
        hosting.readOnly = section.list("read-only", Values.namePattern) ?? hosting.readOnly
        hosting.immutableTags = section.list("immutable-tags", Values.hostedTags) ?? hosting.immutableTags
        hosting.untaggedAfter = section.optional("untagged-after", Values.timeout)
        hosting.abandonedAfter = section.value("abandoned-after", or: hosting.abandonedAfter, Values.timeout)
        for var quota in section.sections("quotas") {
            let names = quota.list("names", Values.namePattern)
            let size = quota.optional("size", Values.size)
            if let names, let size {
                hosting.quotas.append(HostingPolicy.Quota(names: names, bytes: size))
            } else {
                let origin = quota.origin
                if !quota.isGiven("names") {
                    quota.mistake("names", "say for which repositories: [\"acme/**\"]", at: origin)
                }
                if !quota.isGiven("size") { quota.mistake("size", "say how much: 10GB", at: origin) }
            }
            quota.finish()
        }
        section.finish()
    }

    /// What would open a door, or pretend to close one, is refused until it acts.
    mutating func readAccess(_ root: inout ConfigurationSection, _ notes: ConfigurationNotes) {
        typealias Values = ConfigurationValues
        var section = root.section("access")
        adminToken = section.optional("admin-token-file", Values.adminToken)
        users = section.optional("htpasswd", Values.users)
        showsCatalog = section.value("catalog", or: showsCatalog, Values.bool)
        loginListen = section.optional("login-listen", Values.listenAddress)
        readPush(&section, notes)
        if loginListen != nil, users == nil, !section.isGiven("htpasswd") {
            section.mistake("login-listen", "nobody could log in there: name a file of users as access.htpasswd")
        }
        for key in ["allow-networks", "trusted-proxies"] { section.refuse(key) }
        section.refuse("anonymous-pull", unless: "true")
        section.finish()
    }

    /// A pattern alone means every user.
    private mutating func readPush(_ section: inout ConfigurationSection, _ notes: ConfigurationNotes) {
        typealias Values = ConfigurationValues
        for member in section.members("push") {
            switch member {
            case .word(let text, let origin):
                do throws(ValueMistake) {
                    push.append(PushRule(names: [try Values.namePattern(text)]))
                } catch {
                    notes.mistake(origin, "access.push: \(error.message)")
                }
            case .keys(var rule):
                let names = rule.list("names", Values.namePattern)
                let users = rule.list("users", Values.text)
                let networks = rule.list("networks", Values.network)
                if let names {
                    // Who names networks alone means nobody by his name.
                    let named = users ?? (rule.isGiven("networks") ? [] : nil)
                    push.append(PushRule(names: names, users: named, networks: networks ?? []))
                } else if !rule.isGiven("names") {
                    rule.mistake("names", "say to which repositories: [\"acme/**\"]", at: rule.origin)
                }
                rule.finish()
            }
        }
        if users == nil, !section.isGiven("htpasswd"), push.contains(where: { $0.users?.isEmpty != true }) {
            notes.warn("access.push: there are no users without access.htpasswd, so nobody may push by his name")
        }
    }
}

extension ConfigurationValues {
    static func users(_ file: String) throws(ValueMistake) -> Configuration.Users {
        try Configuration.Users(file: file)
    }

    static func hostedTags(_ text: String) throws(ValueMistake) -> HostingPolicy.TagPattern {
        guard let pattern = HostingPolicy.TagPattern(try pattern(text)) else {
            throw ValueMistake(text, "no pattern of tags; write it as acme/app:v* or acme/**:v*")
        }
        return pattern
    }

    /// A block of addresses, or one.
    static func network(_ text: String) throws(ValueMistake) -> AddressBlock {
        let whole = text.contains("/") ? text : text + (text.contains(":") ? "/128" : "/32")
        guard let block = AddressBlock(whole) else {
            throw ValueMistake(text, "no network; write it as 10.0.0.0/8 or fd00::/8")
        }
        return block
    }
}
