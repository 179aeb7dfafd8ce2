// `/` and `/assets/…`: how the dashboard's files are served, and what must not be in any of them.

import Foundation
import HTTPServer
import TestSupport
import Testing

@testable import Frontend

@Suite("GET / and /assets/<name>") struct PageTests {
    private static let names = PageHandler.files.map(\.name)

    private func text(_ name: String) throws -> String {
        let file = try #require(PageHandler.files.first { $0.name == name })
        return try #require(String(validating: file.bytes, as: UTF8.self))
    }

    private func path(_ name: String) -> String { name == "index.html" ? "/" : "/assets/\(name)" }

    // MARK: How they are served

    @Test func `every file comes with its type, and with fields that forbid all that it does not need`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            for (name, bytes) in PageHandler.files {
                let reply = await scene.get(path(name))
                #expect(reply.status == 200, "\(name)")
                let type = ["html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"]
                let ending = String(name.split(separator: ".").last ?? "")
                #expect(reply["Content-Type"]?.split(separator: ";").first.map(String.init) == type[ending], "\(name)")
                #expect(
                    reply["Content-Security-Policy"]
                        == "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
                        + "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
                #expect(reply["X-Content-Type-Options"] == "nosniff")
                #expect(reply["Referrer-Policy"] == "no-referrer")
                #expect(reply["Cache-Control"] == "no-cache")
                #expect(reply["Set-Cookie"] == nil)
                #expect(reply.cacheStatus == "wharf; hit; detail=local")
                #expect(try await reply.bytes() == bytes, "\(name)")
            }
        }
    }

    @Test func `HEAD says the same and sends nothing`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            for name in Self.names {
                let (get, head) = (await scene.get(path(name)), await scene.head(path(name)))
                for field in ["Content-Type", "Content-Length", "ETag", "Content-Security-Policy"] {
                    #expect(head[field] == get[field], "\(field) of \(name)")
                }
                #expect(try await head.bytes() == [])
            }
        }
    }

    @Test func `an entity tag is strong, of the content, and known again`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            var tags: Set<String> = []
            for name in Self.names {
                let tag = try #require(await scene.get(path(name))["ETag"])
                #expect(tag.hasPrefix("\"") && tag.hasSuffix("\""))
                tags.insert(tag)
                for field in [tag, "\"other\", W/\(tag)", "*"] {
                    let again = await scene.get(path(name), ["If-None-Match": field])
                    #expect(again.status == 304, "\(field)")
                    #expect(again["ETag"] == tag)
                    #expect(again["Cache-Control"] == "no-cache")
                    #expect(try await again.bytes() == [])
                }
                #expect(await scene.get(path(name), ["If-None-Match": "\"other\""]).status == 200)
            }
            #expect(tags.count == Self.names.count)
        }
    }

    @Test(arguments: ["/assets/", "/assets/index.html", "/assets/none.js", "/assets/../app.js", "/index.html"])
    func `what is no file of it is not found`(path: String) async throws {
        try await Scene.run { (scene: Scene) async throws in
            #expect(await scene.get(path).status == 404)
        }
    }

    @Test(arguments: ["POST", "PUT", "DELETE"]) func `it is only read`(method: String) async throws {
        try await Scene.run { (scene: Scene) async throws in
            for path in ["/", "/assets/app.js"] {
                let reply = await scene.send(method, path)
                #expect(reply.status == 405)
                #expect(reply["Allow"] == "GET, HEAD")
            }
        }
    }

    @Test func `where people log in, a password that is wrong is refused`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let wrong = await scene.send("GET", "/", ["Authorization": "Basic ZGV2Ondyb25n"], atLogin: true)
            #expect(wrong.status == 401)
            #expect(wrong["WWW-Authenticate"] == "Basic realm=\"wharf\"")
            #expect(await scene.send("GET", "/", Scene.login, atLogin: true).status == 200)
        }
    }

    // MARK: What is in them

    @Test func `every file of the folder is served, and together they weigh less than 150 KB`() throws {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
            .appendingPathComponent("../../Sources/Frontend/Page/web").standardized
        let there = try FileManager.default.contentsOfDirectory(atPath: folder.path)
        #expect(Set(there) == Set(Self.names))
        for (name, bytes) in PageHandler.files {
            #expect(try Data(contentsOf: folder.appendingPathComponent(name)) == Data(bytes), "\(name)")
        }
        #expect(PageHandler.files.map(\.bytes.count).reduce(0, +) < 150_000)
    }

    /// What a browser loads, or leads to, without being asked: addresses with a host in these places.
    private static let outside =
        #"(src|href|action|srcset|poster|from|import|@import|url\(|fetch\(|EventSource\()[\s=(]*["'`]?(\w+:)?//"#

    @Test(arguments: PageTests.names) func `nothing is loaded from elsewhere, nor led to`(name: String) throws {
        #expect(try text(name).range(of: Self.outside, options: .regularExpression) == nil)
    }

    /// Every way in which text becomes markup or code.
    @Test(arguments: PageTests.names) func `text stays text`(name: String) throws {
        let ways = [
            #"\binnerHTML\b"#, #"\bouterHTML\b"#, #"insertAdjacentHTML"#, #"document\.write"#, #"\beval\s*\("#,
            #"new Function"#, #"DOMParser"#, #"createContextualFragment"#, #"srcdoc"#, #"javascript:"#,
            #"setHTMLUnsafe"#, #"set(Timeout|Interval)\(\s*["'`]"#, #"document\.cookie"#,
        ]
        for way in ways {
            #expect(try text(name).range(of: way, options: .regularExpression) == nil, "\(way)")
        }
    }

    @Test func `the document has no script, style or handler of its own, which the policy would refuse`() throws {
        let document = try text("index.html")
        for way in [#"<style"#, #"\sstyle="#, #"\son\w+="#, #"<script(?![^>]*\ssrc=)"#, #"<base"#, #"<iframe"#] {
            #expect(document.range(of: way, options: .regularExpression) == nil, "\(way)")
        }
        for name in Self.names where name.hasSuffix(".js") {
            #expect(try !text(name).contains("style:"), "\(name)")
            #expect(try !text(name).contains("setAttribute('style'"), "\(name)")
        }
    }

    @Test func `what the document and the modules name is there`() throws {
        for name in Self.names {
            let text = try text(name)
            for way in [#"/assets/([\w.-]+)"#, #"from '\./([\w.-]+)'"#] {
                for match in text.matches(of: try Regex<(Substring, Substring)>(way)) {
                    #expect(Self.names.contains(String(match.output.1)), "\(match.output.1) in \(name)")
                }
            }
        }
    }

    // MARK: Colours

    /// The custom properties of the rule that begins with `selector`, as relative luminances (WCAG 2.2).
    private func luminances(of selector: String) throws -> [String: Double] {
        let style = try text("style.css")
        let start = try #require(style.range(of: selector)).upperBound
        let rule = style[start...].prefix { $0 != "}" }
        var found: [String: Double] = [:]
        for match in rule.matches(of: /--([\w-]+): #([0-9a-f]{6})/) {
            let value = try #require(Int(match.output.2, radix: 16))
            let parts = [value >> 16, value >> 8 & 255, value & 255].map { part in
                let share = Double(part) / 255
                return share <= 0.04045 ? share / 12.92 : pow((share + 0.055) / 1.055, 2.4)
            }
            found[String(match.output.1)] = 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]
        }
        return found
    }

    /// WCAG 2.2, 1.4.3 and 1.4.11: 4.5 to 1 for text, 3 to 1 for what is drawn.
    @Test(arguments: [":root {", ":root[data-theme=\"dark\"] {", ":root:not([data-theme=\"light\"]) {"])
    func `every colour stands out from what it is on`(selector: String) throws {
        let colours = try luminances(of: selector)
        let grounds = ["ground", "surface", "sunk"]
        var pairs: [(String, String, Double)] = [
            ("ink", "accent-soft", 4.5), ("on-accent", "accent", 4.5), ("amiss", "surface", 4.5),
        ]
        for text in ["ink", "muted", "accent", "bad"] { for ground in grounds { pairs.append((text, ground, 4.5)) } }
        for drawn in ["good", "plain", "control", "cached", "pinned", "lamp"] { pairs.append((drawn, "surface", 3)) }
        for (front, back, least) in pairs {
            let lights = [try #require(colours[front]), try #require(colours[back])].sorted()
            #expect((lights[1] + 0.05) / (lights[0] + 0.05) >= least, "\(front) on \(back)")
        }
    }

    @Test func `a first line says what lives in each script`() throws {
        for name in Self.names where name.hasSuffix(".js") {
            let lines = try text(name).split(separator: "\n", omittingEmptySubsequences: false)
            #expect(lines.first?.hasPrefix("// ") == true, "\(name)")
            #expect(lines.count <= 450, "\(name)")
        }
    }
}
