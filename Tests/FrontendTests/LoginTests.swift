// Who may push, where somebody is asked to log in, and where nobody ever is.

import HTTPTypes
import OCI
import TestSupport
import Testing

@testable import Frontend
@testable import HTTPServer

@Suite("Logging in and pushing", .timeLimit(.minutes(1))) struct LoginTests {
    private static let uploads = "/v2/ours/app/blobs/uploads/"
    private static let wrong = ["Authorization": "Basic ZGV2Ondyb25n"]

    @Test func `where people log in, v2 asks for it; elsewhere nobody is ever asked`() async throws {
        try await Scene.run { scene in
            for path in ["/v2/", "/v2"] {
                let asked = await scene.send("GET", path, atLogin: true)
                #expect(asked.status == 401 && asked["WWW-Authenticate"] == "Basic realm=\"wharf\"")
                let refusal = try await asked.error()
                #expect(refusal?.code == "UNAUTHORIZED")
                #expect(await scene.send("GET", path, Self.wrong, atLogin: true).status == 401)
                #expect(await scene.send("GET", path, Scene.login, atLogin: true).status == 200)
                for fields in [[:], Self.wrong, Scene.login] {
                    #expect(await scene.send("GET", path, fields).status == 200)
                }
            }
        }
    }

    @Test(
        "who may push",
        arguments: [
            (nil, "127.0.0.1", false, 403), (nil, "127.0.0.1", true, 401), (nil, "10.0.0.1", false, 202),
            (nil, "10.0.0.1", true, 202), ("wrong", "127.0.0.1", false, 403), ("wrong", "127.0.0.1", true, 401),
            ("right", "127.0.0.1", false, 202), ("right", "127.0.0.1", true, 202),
        ] as [(String?, String, Bool, Int)])
    func push(password: String?, peer: String, isAtLogin: Bool, status: Int) async throws {
        try await Scene.run { scene in
            let fields = password.map { $0 == "right" ? Scene.login : Self.wrong } ?? [:]
            let reply = await scene.send("POST", Self.uploads, fields, from: peer, atLogin: isAtLogin)
            #expect(reply.status == status)
            let refusal = try await reply.error()
            if status == 403 { #expect(refusal?.code == "DENIED") }
            if status == 401 { #expect(reply["WWW-Authenticate"] == "Basic realm=\"wharf\"") }
            // The same door for deleting, and for what is known of an upload.
            for (method, path) in [("DELETE", "/v2/ours/app/manifests/v1"), ("GET", Self.uploads + "1")] {
                let other = await scene.send(method, path, fields, from: peer, atLogin: isAtLogin)
                #expect(other.status == (status == 202 ? 404 : status), "\(method)")
            }
        }
    }

    @Test func `a page that somebody near looks at may not push for him`() async throws {
        try await Scene.run { scene in
            for fields in [["Origin": "http://evil.example"], ["Sec-Fetch-Site": "same-origin"]] {
                let reply = await scene.send("POST", Self.uploads, fields, from: "10.0.0.1")
                #expect(reply.status == 403)
                let named = await scene.send("POST", Self.uploads, fields.merging(Scene.login) { $1 }, from: "10.0.0.1")
                #expect(named.status == 202)
            }
            #expect(await scene.send("POST", Self.uploads, ["Sec-Fetch-Site": "none"], from: "10.0.0.1").status == 202)
        }
    }

    @Test func `a rule for some users is not for others`() async throws {
        try await Scene.run { scene in
            var rules = try Scene.rules()
            rules.push = rules.push.filter { $0.users != nil }
            scene.access.reconfigure(rules)
            let reply = await scene.send("POST", "/v2/ours/team/blobs/uploads/", Scene.login, atLogin: true)
            #expect(reply.status == 403)
            let refusal = try await reply.error()
            #expect(refusal?.message.contains("dev") == true)
            rules.push = []
            scene.access.reconfigure(rules)
            #expect(await scene.send("POST", Self.uploads, from: "10.0.0.1").status == 403)
        }
    }

    @Test func `the owner of the data may push, and a body is not taken before that is known`() async throws {
        try await Scene.run { scene in
            let request = Request(method: .post, path: Self.uploads, isByOwner: true)
            #expect(await scene.responder.respond(to: request).status.code == 202)
            var refused = Request.of("PUT", "/v2/ours/app/manifests/v1")
            refused.body = RequestBodyStream(length: 2, expectsContinue: true) { Issue.record("it was asked for") }
            #expect(await scene.responder.respond(to: refused).status.code == 403)
        }
    }

    @Test func `pulling where people log in is for all, but a password that is shown must be right`() async throws {
        try await Scene.run { scene in
            let image = scene.image(tag: "1.0")
            let path = "\(Scene.alpine)/manifests/\(image.manifest.digest)"
            try await scene.pull(path)
            #expect(await scene.send("GET", path, atLogin: true).status == 200)
            #expect(await scene.send("GET", path, Scene.login, atLogin: true).status == 200)
            #expect(await scene.send("GET", path, Self.wrong, atLogin: true).status == 401)
            #expect(await scene.send("GET", path, Self.wrong).status == 200)
            #expect(await scene.send("GET", "/v1/search", query: "q=x", Self.wrong, atLogin: true).status == 401)
        }
    }
}

@Suite("Passwords", .timeLimit(.minutes(1))) struct PasswordTests {
    private static let hash = "$2y$05$g6wXK3sFFvb/TaMdK4c3..1XCBEqbPkaVI4CNtoMLVtiY5qKYs2Vu"

    private func isRight(_ passwords: Passwords, _ user: String, _ password: String) async -> Bool {
        await passwords.verdict(on: user, Array(password.utf8), from: "127.0.0.1") == .right
    }

    @Test func `only the very password of the very user is right, again and again`() async throws {
        let passwords = try Passwords(parsing: "# people\n\ndev:\(Self.hash)\r\nops:\(Self.hash)\n")
        for _ in 0..<2 {
            #expect(await isRight(passwords, "dev", "secret"))
            #expect(await isRight(passwords, "ops", "secret"))
            for (user, password) in [
                ("dev", ""), ("dev", "secre"), ("dev", "Secret"), ("dev", "secret\0"), ("dev", "secret\0x"),
                ("Dev", "secret"), ("", "secret"), ("nobody", "secret"), ("# people", "secret"),
                ("dev", String(repeating: "s", count: 5000)),
            ] {
                #expect(await !isRight(passwords, user, password), "\(user) \(password.prefix(10))")
            }
        }
        #expect(await !isRight(try Passwords(parsing: ""), "dev", "secret"))
    }

    @Test(arguments: [
        ("dev", 1), ("dev:secret", 1), (":\(hash)", 1), ("dev:$apr1$x$y", 1), ("a:\(hash)\na:\(hash)", 2),
        ("dev:\(hash)x", 1), ("dev:$2y$15$\(hash.dropFirst(7))", 1), ("dev:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", 1), ("a:\(hash)\n\nb:\(hash.dropLast())", 3),
    ])
    func `a line that is none is named, and not repeated`(text: String, line: Int) {
        #expect {
            try Passwords(parsing: text)
        } throws: { error in
            guard let fault = error as? Passwords.Fault else { return false }
            return fault.line == line && !fault.reason.contains("secret")
        }
    }

    @Test func `one login that is asked of many times at once is looked at once, and strangers do not fill the room`()
        async throws
    {
        let passwords = try Passwords(parsing: "dev:\(Self.hash)")
        func verdicts(_ count: Int, _ peer: String, _ password: (Int) -> String) async -> [Passwords.Verdict] {
            let passwords = (0..<count).map(password)
            return await withTaskGroup(of: Passwords.Verdict.self) { group in
                for password in passwords {
                    group.addTask { await verdict(password, peer) }
                }
                return await group.reduce(into: []) { $0.append($1) }
            }
        }
        func verdict(_ password: String, _ peer: String) async -> Passwords.Verdict {
            await passwords.verdict(on: "dev", Array(password.utf8), from: peer)
        }
        async let strangers = verdicts(200, "192.0.2.1") { "guess \($0)" }
        async let ours = verdicts(200, "192.0.2.2") { _ in "secret" }
        #expect(await ours.allSatisfy { $0 == .right })
        #expect(await strangers.allSatisfy { $0 != .right })
    }

    @Test func `nothing of it is printed`() throws {
        let passwords = try Passwords(parsing: "dev:\(Self.hash)")
        var text = "\(passwords)"
        dump(passwords, to: &text)
        #expect(!text.contains("dev") && !text.contains("$2y"))
    }
}
