// Proxies as they are written, and which one leads to a host.
import Testing

@testable import Upstream

@Suite("ProxyURL and Proxies: as Go's clients read the environment") struct ProxyTests {
    @Test(arguments: [
        ("http://p:3128", "http://p:3128"), ("HTTP://P/", "http://p:80"), ("https://p", "https://p:443"),
        ("socks5h://p", "socks5h://p:1080"), ("socks5h://[::1]:9", "socks5h://[::1]:9"),
        ("http://user:pass@p:1", "http://p:1"),
    ])
    func `a URL is read, and printed without who we are`(_ text: String, _ printed: String) throws {
        let proxy = try #require(ProxyURL(text))
        #expect("\(proxy)" == printed)
        #expect(String(reflecting: proxy) == printed)
        #expect(!"\(Way(proxy: proxy))".contains("pass"))
        var dumped = ""
        dump(proxy, to: &dumped)
        #expect(!dumped.contains("pass"))
    }

    @Test func `user and password are decoded`() throws {
        let proxy = try #require(ProxyURL("http://a%40b:c%3Ad%2F@p"))
        #expect(proxy.user == "a@b")
        #expect(proxy.password == "c:d/")
        #expect(try #require(ProxyURL("http://p")).user == nil)
    }

    @Test(arguments: [
        "p:3128", "socks5://p", "socks4://p", "ftp://p", "http://", "http://p/path", "http://p?q", "http://p#f",
        "http://p:99999", "http://p:x", "http://us%0der@p", "http://us%0aer:x@p", "",
    ])
    func `what is no proxy is none`(_ text: String) {
        #expect(ProxyURL(text) == nil)
    }

    private func way(_ environment: [String: String], _ url: String) throws -> String? {
        let proxies = Proxies(configured: .environment, environment: environment)
        return proxies.proxy(for: try #require(UpstreamURL(url)).origin).map { "\($0)" }
    }

    @Test func `each scheme has its variable, in capitals first, and ALL_PROXY stands in`() throws {
        let both = ["HTTPS_PROXY": "http://s:1", "http_proxy": "http://h:2"]
        #expect(try way(both, "https://r/") == "http://s:1")
        #expect(try way(both, "http://r/") == "http://h:2")
        #expect(try way(["HTTPS_PROXY": "http://a:1", "https_proxy": "http://b:1"], "https://r/") == "http://a:1")
        #expect(try way(["HTTPS_PROXY": "", "https_proxy": "http://b:1"], "https://r/") == "http://b:1")
        #expect(try way(["http_proxy": "http://h:2"], "https://r/") == nil)
        #expect(try way(["all_proxy": "socks5://a"], "https://r/") == "socks5h://a:1080")
        #expect(try way(["ALL_PROXY": "a:1", "HTTP_PROXY": "b:1"], "http://r/") == "http://b:1")
        #expect(try way([:], "https://r/") == nil)
    }

    @Test func `a request's Proxy field is no proxy`() throws {
        #expect(try way(["REQUEST_METHOD": "GET", "HTTP_PROXY": "http://evil:1"], "http://r/") == nil)
        #expect(try way(["REQUEST_METHOD": "GET", "http_proxy": "http://p:1"], "http://r/") == "http://p:1")
        #expect(try way(["REQUEST_METHOD": "GET", "HTTPS_PROXY": "http://p:1"], "https://r/") == "http://p:1")
    }

    @Test(arguments: [
        ("*", "https://r.example/", true), ("r.example", "https://r.example/", true),
        ("r.example", "https://a.r.example/", true), ("r.example", "https://xr.example/", false),
        (".r.example", "https://a.r.example/", true), (".r.example", "https://r.example/", false),
        ("*.r.example", "https://a.r.example/", true), ("a, R.Example ,b", "https://r.example/", true),
        ("r.example:443", "https://r.example/", true), ("r.example:443", "https://r.example:5000/", false),
        ("10.0.0.1", "https://10.0.0.1/", true), ("10.0.0.1", "https://10.0.0.2/", false),
        ("10.0.0.1:5000", "https://10.0.0.1:5000/", true), ("10.0.0.1:5000", "https://10.0.0.1/", false),
        ("10.0.0.0/8", "https://10.200.0.1:5000/", true), ("10.0.0.0/8", "https://11.0.0.1/", false),
        ("10.0.0.0/8", "https://r.example/", false), ("2001:db8::1", "https://[2001:db8::1]/", true),
        ("[2001:db8::1]:443", "https://[2001:db8::1]/", true), ("[2001:db8::1]:444", "https://[2001:db8::1]/", false),
        ("2001:db8::/32", "https://[2001:db8:1::]/", true), ("", "https://r.example/", false),
    ])
    func `NO_PROXY excepts hosts`(_ list: String, _ url: String, _ isExcepted: Bool) throws {
        #expect(try (way(["ALL_PROXY": "http://p:1", "NO_PROXY": list], url) == nil) == isExcepted)
        #expect(try (way(["ALL_PROXY": "http://p:1", "no_proxy": list], url) == nil) == isExcepted)
    }

    @Test(arguments: ["http://localhost:5000/", "http://a.localhost/", "http://127.0.0.9/", "http://[::1]:5000/"])
    func `the environment's proxy never leads to this host, a configured one leads everywhere`(_ url: String) throws {
        #expect(try way(["ALL_PROXY": "http://p:1"], url) == nil)
        let proxy = try #require(ProxyURL("http://p:1"))
        let environment = ["NO_PROXY": "*"]
        let origin = try #require(UpstreamURL(url)).origin
        #expect(Proxies(configured: .proxy(proxy), environment: environment).proxy(for: origin) == proxy)
        #expect(Proxies(configured: .direct, environment: ["ALL_PROXY": "http://p:1"]).proxy(for: origin) == nil)
    }

    @Test func `what cannot be read is told, without what it says of us`() {
        let proxies = Proxies(
            configured: .environment,
            environment: [
                "HTTPS_PROXY": "ftp://user:secret@p", "http_proxy": "http://p:1", "NO_PROXY": "a,10.0.0.0/40",
            ])
        #expect(
            proxies.mistakes == [
                "HTTPS_PROXY is no URL of an http, https or socks5h proxy",
                "NO_PROXY: \"10.0.0.0/40\" is no host, address or block of addresses",
            ])
        #expect(Proxies(configured: .direct, environment: ["HTTPS_PROXY": "ftp://p"]).mistakes == [])
    }
}
