// The gate of the admin API, and who holds the token.

import HTTPTypes
import OCI
import Testing

@testable import Frontend
@testable import HTTPServer

@Suite("The admin API's gate", .timeLimit(.minutes(1))) struct AccessTests {
    private static let token = Served.token

    private enum Credentials: String, CaseIterable {
        case none, wrong, basic, right

        var fields: [String: String] {
            switch self {
            case .none: [:]
            case .wrong: ["Authorization": "Bearer \(AccessTests.token)x"]
            case .basic: ["Authorization": "Basic \(AccessTests.token)"]
            case .right: ["Authorization": "Bearer \(AccessTests.token)"]
            }
        }
    }

    @Test func `reading is for all, everything else needs the token before anything is looked at`() async throws {
        let paths = [
            "/api/v1/events", "/api/v1/events?after=1", "/api/v1/prefetches", "/api/v1/nothing", "/api/v1/", "/api/v1",
            "/api/v1/%65vents", "/api/v1/../../v2/", "/api/v1/events/", "/api/v1//events",
        ]
        try await Scene.run { scene in
            try await Served.run(scene) { served in
                for path in paths {
                    let isKnown = path.prefix { $0 != "?" } == "/api/v1/events"
                    for method in ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"] {
                        for credentials in Credentials.allCases {
                            let reply = try await served.ask(method, path, credentials.fields)
                            let isRead = method == "GET" || method == "HEAD"
                            let isLet = isRead || credentials == .right
                            let status = isLet ? (isKnown ? (isRead ? 200 : 405) : 404) : 401
                            #expect(reply.status == status, "\(method) \(path) \(credentials)")
                            #expect(reply["Allow"] == (status == 405 ? "GET, HEAD" : nil))
                            #expect(reply["WWW-Authenticate"] == (status == 401 ? "Bearer realm=\"wharf\"" : nil))
                            if status != 200 { #expect(reply["Content-Type"] == "application/json") }
                        }
                    }
                }
            }
        }
    }

    @Test(arguments: ["POST", "DELETE"], ["/api", "/api/v2/events", "/api/v1x", "/API/v1/events", "//api/v1/events"])
    func `what is no path of it is nothing, with the token too`(method: String, path: String) async throws {
        try await Scene.run { scene in
            try await Served.run(scene) { served in
                let reply = try await served.ask(method, path, Credentials.right.fields)
                #expect(reply.status == 404)
            }
        }
    }

    @Test func `without a token nobody is an administrator`() async throws {
        try await Scene.run { scene in
            for fields in [["Authorization": "Bearer "], ["Authorization": "Bearer"], [:]] {
                #expect(await scene.send("POST", "/api/v1/events", fields).status == 401)
            }
        }
        #expect(!isAdmin("Bearer ", token: ""))
        #expect(!isAdmin("Bearer", token: ""))
        #expect(!isAdmin(nil, token: ""))
    }

    @Test(
        "only the very token counts, once; the scheme in any case",
        arguments: [
            ("Bearer abc", true), ("bearer abc", true), ("BEARER   abc", true), ("Bearer abcd", false),
            ("Bearer ab", false), ("Bearer abcabc", false), ("Bearer abd", false), ("Bearer ABC", false),
            ("Bearer", false), ("Bearer ", false), ("abc", false), ("Bearerabc", false), ("Basic abc", false),
            ("Bearer abc, Bearer abc", false), ("Bearer abc def", false), (" abc", false), ("Bearer \u{e4}bc", false),
            ("Bearer\tabc", false),
        ])
    func token(field: String, isAdmin expected: Bool) {
        #expect(isAdmin(field, token: "abc") == expected)
    }

    @Test func `two fields are none`() {
        var fields = HTTPFields()
        fields.append(HTTPField(name: .authorization, value: "Bearer abc"))
        fields.append(HTTPField(name: .authorization, value: "Bearer abc"))
        #expect(!Access(adminToken: "abc").isAdmin(Request(method: .post, path: "/", fields: RequestFields(fields))))
    }

    @Test func `it is never shown`() {
        let access = Access(adminToken: "abcdefg")
        var dumped = ""
        dump(access, to: &dumped)
        dump([access], to: &dumped)
        let bytes = "\(Array("abcdefg".utf8))".dropFirst().dropLast()
        for text in ["\(access)", String(reflecting: access), "\([access])", "\(Optional(access) as Any)", dumped] {
            #expect(!text.contains("abcdefg") && !text.contains(bytes) && !text.contains("97"))
        }
    }

    private func isAdmin(_ field: String?, token: String?) -> Bool {
        var fields = HTTPFields()
        if let field { fields[.authorization] = field }
        return Access(adminToken: token).isAdmin(Request(method: .post, path: "/", fields: RequestFields(fields)))
    }
}
