// What an operator has said of who may do more than pull.

package import OCI

package struct AccessRules: Sendable {
    /// Who may push to some hosted repositories, and delete there.
    package struct Push: Sendable {
        package let names: [NamePattern]
        /// nil: every user; else these.
        package let users: Set<String>?
        /// Whether an address is one that needs no login.
        package let isNear: @Sendable (_ address: String) -> Bool

        package init(
            names: [NamePattern], users: Set<String>?, isNear: @escaping @Sendable (_ address: String) -> Bool
        ) {
            self.names = names
            self.users = users
            self.isNear = isNear
        }

        func covers(_ name: RepositoryName) -> Bool { names.contains { $0.matches("\(name)") } }
        var hasUsers: Bool { users?.isEmpty != true }
        func admits(_ user: String) -> Bool { users?.contains(user) ?? true }
    }

    /// Without one, or with an empty one, nobody is an administrator over the network.
    package var adminToken: String?
    /// nil: there are no users.
    package var passwords: Passwords?
    package var push: [Push] = []
    /// Whether `GET /v2/_catalog` is answered.
    package var showsCatalog = false

    package init(adminToken: String? = nil) { self.adminToken = adminToken }
}
