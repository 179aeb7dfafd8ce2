// A real Chromium without a window, driven as its makers drive it: chromedriver's WebDriver protocol over loopback.

import Foundation

/// Lends a browser to `body` and closes it afterwards.
func withBrowser<Value>(on bench: Bench, _ body: (Browser) async throws -> Value) async throws -> Value {
    let browser = try await Browser.open(on: bench)
    do {
        let value = try await body(browser)
        await browser.close()
        return value
    } catch {
        await browser.close()
        throw error
    }
}

/// One browser with one page, lent by `withBrowser`.
/// - Source: W3C WebDriver; of chromedriver's own are the log and `goog/cdp/execute` (Chrome DevTools Protocol).
final class Browser: Sendable {
    /// Keys as WebDriver names them (§17.4.2).
    enum Key: String {
        case tab = "\u{E004}"
        case enter = "\u{E007}"
        case end = "\u{E010}"
    }

    private let port: Int
    private let session: String
    /// The browser's own process: chromedriver begins it in a session of its own, so that it would outlive both.
    private let identifier: Int32

    private init(port: Int, session: String, identifier: Int32) {
        (self.port, self.session, self.identifier) = (port, session, identifier)
    }

    /// Every name but loopback's leads nowhere: what a page asks elsewhere for cannot be had, and is complained of.
    fileprivate static func open(on bench: Bench) async throws -> Browser {
        let port = try freePort()
        _ = try bench.start("chromedriver", "chromedriver", ["--port=\(port)", "--allowed-ips=127.0.0.1"])
        let profile = try bench.makeFolder("browser-\(port)")
        let arguments = [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
            "--force-device-scale-factor=1", "--no-first-run", "--disable-background-networking",
            "--disable-component-update", "--disable-sync", "--user-data-dir=\(profile)",
            "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1",
        ]
        let wanted: [String: Any] = [
            "capabilities": [
                "alwaysMatch": [
                    "browserName": "chrome", "goog:loggingPrefs": ["browser": "ALL"],
                    "goog:chromeOptions": ["binary": try Programs.path(of: "chromium"), "args": arguments],
                ]
            ]
        ]
        let body = try JSONSerialization.data(withJSONObject: wanted)
        try await eventually(within: .seconds(20), "chromedriver listens") {
            // Nobody listens yet: asked again.
            (try? await order("GET", "/status", nil, port: port))?["ready"] == .bool(true)
        }
        let answer = try await order("POST", "/session", body, port: port)
        guard let session = answer["sessionId"].text,
            let identifier = answer["capabilities"]["goog:processID"].number.map({ Int32($0) })
        else { throw HarnessError("chromedriver gives no session") }
        try Undertaker.shared.get().watch(process: identifier)
        return Browser(port: port, session: "/session/\(session)", identifier: identifier)
    }

    /// Closes the window, and with it the browser.
    fileprivate func close() async {
        // One that does not close is ended by its pid.
        _ = try? await Self.order("DELETE", session, nil, port: port)
        let isGone = { kill(self.identifier, 0) != 0 }
        if (try? await eventually(within: .seconds(10), "the browser ends", isGone)) == nil {
            kill(identifier, SIGKILL)
        }
        try? Undertaker.shared.get().forget(process: identifier)
    }

    // MARK: The protocol

    private static func order(_ method: String, _ path: String, _ body: Data?, port: Int) async throws -> JSONValue {
        let answer = try await blocking {
            let connection = try Connection(port: port, within: .seconds(60))
            let fields = "Host: 127.0.0.1:\(port)\r\nConnection: close\r\nContent-Type: application/json\r\n"
            let bytes = Array(body ?? Data())
            try connection.send(
                bytes: Array("\(method) \(path) HTTP/1.1\r\n\(fields)Content-Length: \(bytes.count)\r\n\r\n".utf8)
                    + bytes)
            let head = try connection.readHead()
            let (body, ending) = try connection.readBody(after: head)
            return Answer(status: head.status, fields: head.fields, body: body, ending: ending)
        }
        let value = try JSONDecoder().decode(JSONValue.self, from: Data(answer.body))["value"]
        guard answer.status == 200 else {
            throw HarnessError("the browser refuses \(path): \(value["message"].text ?? answer.summary)")
        }
        return value
    }

    @discardableResult private func order(_ command: String, _ body: [String: Any] = [:]) async throws -> JSONValue {
        try await Self.order(
            "POST", session + command, try JSONSerialization.data(withJSONObject: body), port: port)
    }

    @discardableResult
    private func tools(_ command: String, _ parameters: [String: Any] = [:]) async throws -> JSONValue {
        try await order("/goog/cdp/execute", ["cmd": command, "params": parameters])
    }

    // MARK: What a person does

    func visit(_ address: String) async throws { try await order("/url", ["url": address]) }

    func back() async throws { try await order("/back") }

    /// What a script that ends with `return` returns.
    @discardableResult func evaluate(_ script: String, _ arguments: [String] = []) async throws -> JSONValue {
        try await order("/execute/sync", ["script": script, "args": arguments])
    }

    func press(_ key: Key) async throws { try await type(key.rawValue) }

    /// Types into what has the focus.
    func type(_ text: String) async throws {
        let strokes = text.flatMap { [["type": "keyDown", "value": "\($0)"], ["type": "keyUp", "value": "\($0)"]] }
        try await order("/actions", ["actions": [["type": "key", "id": "keyboard", "actions": strokes]]])
    }

    /// Clicks the first element that the selector finds and whose text, or label, has these words in it.
    func click(_ selector: String, _ words: String = "") async throws {
        try await sees("\(selector) \(words)") {
            try await self.evaluate(
                """
                const found = [...document.querySelectorAll(arguments[0])].find((element) =>
                  element.checkVisibility() && !element.disabled
                  && `${element.textContent} ${element.getAttribute('aria-label') ?? ''}`.includes(arguments[1]));
                found?.click();
                return found !== undefined;
                """, [selector, words]) == .bool(true)
        }
    }

    // MARK: What a person sees

    /// The text of the whole page as it is drawn.
    func text() async throws -> String { try await evaluate("return document.body.innerText").text ?? "" }

    /// Waits until the page shows these words.
    func reads(_ words: String) async throws {
        do {
            try await sees(words) { try await self.text().contains(words) }
        } catch {
            throw HarnessError("the page does not show \(words); it shows: \(try await text().prefix(3000))")
        }
    }

    func sees(_ what: String, _ isSeen: () async throws -> Bool) async throws {
        try await eventually(within: .seconds(15), "the page shows \(what)", isSeen)
    }

    /// Warnings and errors of the console since the last call: refused by the policy, not found, thrown.
    func complaints() async throws -> [String] {
        try await order("/se/log", ["type": "browser"]).elements.compactMap { entry in
            guard let level = entry["level"].text, level == "SEVERE" || level == "WARNING" else { return nil }
            return entry["message"].text
        }
    }

    /// How wide the window is, and whether the system is dark.
    func look(width: Int, height: Int = 900, isDark: Bool = false) async throws {
        try await tools(
            "Emulation.setDeviceMetricsOverride",
            ["width": width, "height": height, "deviceScaleFactor": 1, "mobile": false])
        try await tools(
            "Emulation.setEmulatedMedia",
            ["features": [["name": "prefers-color-scheme", "value": isDark ? "dark" : "light"]]])
    }

    /// Writes a picture of the whole page into the folder that `WHARF_SCREENSHOTS` names, if it names one.
    func picture(_ name: String) async throws {
        guard let folder = ProcessInfo.processInfo.environment["WHARF_SCREENSHOTS"] else { return }
        try await evaluate("window.scrollTo(0, 0)")
        let picture = try await tools("Page.captureScreenshot", ["captureBeyondViewport": true])["data"].text
        guard let data = picture.flatMap({ Data(base64Encoded: $0) }) else { throw HarnessError("no picture") }
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try data.write(to: URL(fileURLWithPath: "\(folder)/\(name).png"))
    }
}
