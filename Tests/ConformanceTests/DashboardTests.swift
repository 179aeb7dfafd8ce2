// The dashboard in a real browser, on a real mirror: what it shows, what it does, and what it must never do.

import Foundation
import OCI
import TestSupport
import Testing

extension Conformance {
    @Suite("the dashboard") struct DashboardTests {
        private static let token = "0123456789abcdef0123456789abcdef"
        private static let repository = "library/harbour"
        private static let name = "docker.io/library/harbour"
        /// What a registry may say of itself in a manifest, and would like to be more than text.
        private static let hostile = "<img src=x onerror=document.title=1>"

        /// A mirror, and a browser that has opened its page.
        private func withPage(
            _ body: (_ scene: StubScene, _ browser: Browser, _ address: String) async throws -> Void
        ) async throws {
            let folder = try TemporaryDirectory()
            let file = try folder.write(Array("\(Self.token)\n".utf8), to: "token")
            try await withStub(others: ["access: {admin-token-file: \"\(file)\"}"]) { (scene: StubScene) async throws in
                try await withBrowser(on: scene.bench) { browser in
                    try await browser.look(width: 1280)
                    try await body(scene, browser, "http://127.0.0.1:\(scene.mirror.port)/")
                }
            }
        }

        /// Pulls an index for two platforms, of which one has a hostile name, with one platform's layers.
        @discardableResult private func pull(_ scene: StubScene, as tag: String = "1.0") async throws -> TestIndex {
            var builder = ImageBuilder(seed: 5)
            let index = scene.upstream.add(
                builder.index(architectures: ["amd64", Self.hostile], layers: [70_000, 1000]), to: Self.repository,
                tag: tag)
            let root = "/v2/\(Self.repository)"
            try await scene.mirror.warm("\(root)/manifests/\(tag)")
            for image in index.images { try await scene.mirror.warm("\(root)/manifests/\(image.manifest.digest)") }
            for blob in index.images[0].blobs { try await scene.mirror.warm("\(root)/blobs/\(blob.digest)") }
            try await scene.settle()
            return index
        }

        private func isClean(_ browser: Browser, _ address: String) async throws {
            #expect(try await browser.complaints() == [])
            let elsewhere = try await browser.evaluate(
                """
                return performance.getEntriesByType('resource').map((entry) => entry.name)
                  .filter((name) => !name.startsWith(location.origin + '/') && !name.startsWith('data:'));
                """)
            #expect(elsewhere.elements == [])
            #expect(try await browser.evaluate("return document.cookie").text == "")
            #expect(try await browser.evaluate("return document.querySelectorAll('img').length").number == 0)
        }

        @Test func `before the first pull it says how to begin`() async throws {
            try await withPage { scene, browser, address in
                try await browser.visit(address)
                try await browser.reads("Point a client here")
                try await browser.reads("docker pull 127.0.0.1:\(scene.mirror.port)/library/alpine")
                try await browser.reads("Live")
                try await browser.click("a", "How to point Docker")
                try await browser.reads("\"http://127.0.0.1:\(scene.mirror.port)\"")
                try await isClean(browser, address)
            }
        }

        @Test func `after pulls it shows what /stats has, live`() async throws {
            try await withPage { scene, browser, address in
                try await browser.visit(address)
                try await browser.reads("Nothing has been pulled")
                let index = try await pull(scene)
                let layer = try #require(index.images.first?.layers.first)
                for _ in 0..<9 { try await scene.mirror.warm("/v2/\(Self.repository)/blobs/\(layer.digest)") }
                let stats = try await scene.mirror.statistics()
                let saved = Int(try #require(stats["bytes_saved"].number))
                #expect(saved == 9 * 70_000)
                try await browser.sees("what was saved, to the byte") {
                    try await browser.evaluate("return document.querySelectorAll('.answer .big')[1].title").text
                        == "630,000 bytes"
                }
                try await browser.reads("630 kB")
                try await browser.reads(Self.name)
                try await browser.reads("Idle")
                try await browser.sees("the charts") {
                    let drawn = "return document.querySelectorAll('.stage .line, .stage .dot').length"
                    return try await browser.evaluate(drawn).number ?? 0 > 2
                }
                for width in [390, 1280, 1920] {
                    for isDark in [false, true] {
                        try await browser.look(width: width, height: width == 390 ? 844 : 1000, isDark: isDark)
                        let beyond = "return document.documentElement.scrollWidth - innerWidth"
                        #expect(try await browser.evaluate(beyond).number ?? 1 <= 0, "\(width)")
                        try await browser.picture("overview-\(width)-\(isDark ? "dark" : "light")")
                    }
                }
                try await isClean(browser, address)
            }
        }

        @Test func `a transfer in flight is shown while it is in flight`() async throws {
            try await withPage { scene, browser, address in
                let blob = scene.cargo(400_000)
                let gate = StubGate()
                scene.spoil(blob, .holdBody(at: 100_000, gate))
                async let pulled = scene.pull(blob)
                try await scene.upstreamSees("a body held") { $0.held == 1 }
                try await browser.visit(address)
                try await browser.reads("1 client follows")
                try await browser.reads("docker.io/\(StubScene.repository)")
                gate.open()
                #expect(try await pulled.isWhole)
                try await browser.reads("Nothing is being fetched.")
                try await isClean(browser, address)
            }
        }

        @Test func `an image is found, and its address leads to its layers`() async throws {
            try await withPage { scene, browser, address in
                let index = try await pull(scene)
                try await browser.visit("\(address)#/images?q=harb")
                try await browser.click("td a", Self.name)
                try await browser.reads("1 tag")
                try await browser.click("td a", "1.0")
                try await browser.reads("2 manifests")
                try await browser.reads("linux/amd64")
                for blob in index.images[0].blobs { try await browser.reads("\(blob.digest)".prefix(19).description) }
                #expect(try await browser.evaluate("return location.hash").text == "#/images/\(Self.name):1.0")
                #expect(try await browser.evaluate("return document.activeElement.tagName").text == "H1")
                try await browser.picture("image-1280-light")
                try await browser.back()
                try await browser.reads("1 tag")

                // The same by its address alone, in a page of its own; what is not here says so.
                try await browser.visit("about:blank")
                try await browser.visit("\(address)#/images/\(Self.name)@\(index.manifest.digest)")
                try await browser.reads("linux/amd64")
                try await browser.reads("not here")
                try await isClean(browser, address)
            }
        }

        @Test func `names with markup in them stay text wherever they come from`() async throws {
            try await withPage { scene, browser, address in
                try await pull(scene)
                try await browser.visit("\(address)#/images/\(Self.name):1.0")
                try await browser.reads("linux/\(Self.hostile)")
                try await browser.evaluate(
                    "location.hash = '#/images?q=' + encodeURIComponent(arguments[0])", [Self.hostile])
                try await browser.reads("No repository matches")
                try await browser.evaluate(
                    "location.hash = '#/images/docker.io/' + arguments[0].replaceAll(' ', '%20')", [Self.hostile])
                try await browser.reads("docker.io/\(Self.hostile)")
                #expect(try await browser.evaluate("return document.querySelectorAll('img').length").number == 0)
                #expect(try await browser.evaluate("return document.title").text != "1")
            }
        }

        /// Presses Tab until the focus comes round, and returns what it did not reach or did not show there.
        private func unreached(_ browser: Browser) async throws -> [String] {
            try await browser.evaluate(
                "window.reached = new Set(); window.unseen = []; document.activeElement.blur(); window.scrollTo(0, 0)")
            for _ in 0..<250 {
                try await browser.press(.tab)
                let isRound = try await browser.evaluate(
                    """
                    const now = document.activeElement;
                    if (now === document.body || reached.has(now)) return reached.size > 0;
                    reached.add(now);
                    const style = getComputedStyle(now);
                    if (style.outlineStyle === 'none' || parseFloat(style.outlineWidth) < 2) unseen.push(now.outerText);
                    return false;
                    """)
                if isRound == .bool(true) { break }
            }
            return try await browser.evaluate(
                """
                const all = 'a[href], button:not([disabled]), input, select, textarea, summary, [tabindex="0"]';
                const missed = [...document.querySelectorAll(all)]
                  .filter((element) => element.checkVisibility() && !reached.has(element))
                  .map((element) => `missed ${element.tagName} ${element.textContent}`);
                return [...missed, ...unseen.map((text) => `no focus seen at ${text}`)];
                """
            ).elements.compactMap(\.text)
        }

        @Test func `the keyboard reaches everything, and is seen where it is`() async throws {
            try await withPage { scene, browser, address in
                try await pull(scene)
                try await scene.mirror.warm("/v2/\(Self.repository)/manifests/1.0")
                for view in ["", "images", "images/\(Self.name):1.0", "storage", "connect", "admin"] {
                    try await browser.visit("about:blank")
                    try await browser.visit("\(address)#/\(view)")
                    try await browser.reads("Live")
                    try await browser.sees("\(view) loaded") { try await !browser.text().contains("Loading…") }
                    #expect(try await unreached(browser) == [], "\(view)")
                }
                // The readout of a chart follows the arrow keys.
                try await browser.visit("about:blank")
                try await browser.visit(address)
                try await browser.sees("a chart") {
                    try await browser.evaluate(
                        """
                        const stage = document.querySelector('.stage');
                        stage?.focus();
                        return stage?.querySelector('.area, .dot') !== null;
                        """) == .bool(true)
                }
                try await browser.press(.end)
                try await browser.sees("a value by keyboard") {
                    try await browser.evaluate(
                        "return document.querySelector('.stage').getAttribute('aria-valuetext')"
                    ).text?.contains("so far") == true
                }
                try await isClean(browser, address)
            }
        }

        @Test func `a wrong token is refused in words, the right one pins, and neither is kept unasked`() async throws {
            try await withPage { scene, browser, address in
                try await pull(scene)
                try await browser.visit("\(address)#/images/\(Self.name):1.0")
                try await browser.click(".acts button", "Pin")
                try await browser.reads("This takes the admin token")
                try await browser.evaluate("document.getElementById('token').focus()")
                try await browser.type("guess")
                try await browser.press(.enter)
                try await browser.reads("That is not the admin token")
                // The console tells every answer that is a refusal, and this one was wanted.
                #expect(try await browser.complaints().allSatisfy { $0.contains("401") })
                try await browser.evaluate("document.getElementById('token').select()")
                try await browser.type(Self.token)
                try await browser.press(.enter)
                try await browser.reads("Pinned \(Self.name):1.0")
                // So does the order that asks whether the token is right: it is one that cannot be carried out.
                #expect(try await browser.complaints().allSatisfy { $0.contains("400") })
                try await browser.click(".acts button", "Unpin")
                try await browser.reads("Unpinned \(Self.name):1.0")
                let kept = try await browser.evaluate(
                    "return [...Object.values(localStorage), ...Object.values(sessionStorage)]")
                #expect(!kept.elements.contains(.text(Self.token)))
                try await isClean(browser, address)
            }
        }

        @Test func `what destroys is done once it was confirmed, and told`() async throws {
            try await withPage { scene, browser, address in
                try await pull(scene)
                try await browser.visit("\(address)#/admin")
                try await browser.evaluate("document.getElementById('token').focus()")
                try await browser.type(Self.token)
                try await browser.press(.enter)
                try await browser.reads("The admin token is in use")
                #expect(try await browser.complaints().allSatisfy { $0.contains("400") })

                try await browser.evaluate("document.getElementById('pattern').focus()")
                try await browser.type("\(Self.name):1.0")
                try await browser.click(".panel button", "Forget")
                try await browser.click("dialog button", "Cancel")
                #expect(try await scene.mirror.statistics()["storage"]["tags"].number == 1)
                try await browser.click(".panel button", "Forget")
                try await browser.click("dialog button", "Forget")
                try await browser.reads("Forgot 1 tag")
                #expect(try await scene.mirror.statistics()["storage"]["tags"].number == 0)

                try await browser.evaluate("document.getElementById('prefetch-images').focus()")
                try await browser.type("harbour:1.0 harbour:none")
                try await browser.click(".panel button", "Fetch")
                try await browser.reads("1 image fetched, 1 failed")
                #expect(try await scene.mirror.statistics()["storage"]["tags"].number == 1)

                try await browser.evaluate("document.getElementById('evict-to').focus()")
                try await browser.type("0B")
                try await browser.click(".panel button", "Make room")
                try await browser.click("dialog button", "Make room")
                try await browser.reads("Removed")
                #expect(try await scene.mirror.statistics()["storage"]["blobs"].number == 0)
                try await browser.picture("admin-1280-light")
                try await isClean(browser, address)
            }
        }

        @Test func `where the mirror is gone it says so, and goes on when it is back`() async throws {
            try await withPage { scene, browser, address in
                try await browser.visit(address)
                try await browser.reads("Live")
                #expect(try await scene.mirror.stop() == 0)
                try await browser.reads("No answer")
                _ = try await Mirror.start(
                    on: scene.bench, upstream: scene.upstream.port(), port: scene.mirror.port, data: scene.mirror.data)
                try await browser.reads("Live")
                try await browser.reads("Yes")
            }
        }
    }
}
