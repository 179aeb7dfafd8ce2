// What answers mean, and which may not be used: the pure parts.
import HTTPSemantics
import HTTPTypes
import Testing

@testable import Upstream

@Suite("AnswerRules") struct AnswerRulesTests {
    private let origin = UpstreamURL.Origin(isSecure: true, host: "registry.example", port: 443)
    private let rules = AnswerRules(pseudonym: "wharf-a1")

    private func head(_ status: Int, _ fields: HTTPFields = [:], length: Int64? = nil) -> ResponseHead {
        ResponseHead(status: status, fields: fields, length: length)
    }

    private func error(
        _ status: Int, _ fields: HTTPFields = [:], _ body: String = "", isHome: Bool = true
    ) -> UpstreamError {
        let answer = Answer(head: head(status, fields), body: Array(body.utf8), stream: nil)
        return AnswerRules.error(of: answer, from: origin, isHome: isHome, now: 1_700_000_000)
    }

    @Test(arguments: [
        ("1.1 wharf-a1", true), ("2 cdn, 1.1 wharf-a1 (x)", true), ("1.1 wharf-a12", false), ("1.1 wharf-b", false),
    ])
    func `our own Via is a loop, another's is none`(_ via: String, _ isLoop: Bool) {
        let refusal = rules.refusal(of: head(200, [.via: via]), from: origin)
        #expect((refusal?.proxyError == .proxyLoopDetected) == isLoop)
        #expect(refusal?.isTransient != true)
    }

    @Test func `an HTML page is refused as a 200, and is a failure's body otherwise`() {
        let fields: HTTPFields = [.contentType: "Text/HTML; charset=utf-8"]
        guard case .refused = rules.refusal(of: head(200, fields), from: origin) else {
            Issue.record("expected a refusal")
            return
        }
        #expect(rules.refusal(of: head(503, fields), from: origin) == nil)
    }

    @Test func `a 206 must be for what was asked`() {
        func range(
            _ asked: BlobRange?, _ field: String?, status: Int = 206, length: Int64? = nil, type: String? = nil
        ) -> Result<ContentRange?, UpstreamError> {
            var fields = HTTPFields()
            fields[.contentType] = type
            fields[.contentRange] = field
            return AnswerRules.blobRange(of: head(status, fields, length: length), asked: asked, from: origin)
        }
        #expect(range(nil, nil, status: 200) == .success(nil))
        #expect(range(.from(10), nil, status: 200) == .success(nil))
        #expect(range(.from(10), "bytes 10-19/20") == .success(ContentRange(10..<20, size: 20)))
        #expect(range(.from(10), "bytes 10-19/20", length: 10) == .success(ContentRange(10..<20, size: 20)))
        #expect(range(.part(10...14), "bytes 10-14/20") == .success(ContentRange(10..<15, size: 20)))
        #expect(range(.from(10), "bytes 10-19/*") == .success(ContentRange(10..<20, size: nil)))
        for refused in [
            range(.from(10), "bytes 10-19/20", type: "Multipart/ByteRanges; boundary=x"),
            range(nil, "bytes 0-19/20"), range(.from(10), nil), range(.from(10), "bytes 0-19/20"),
            range(.from(10), "bytes 10-19/20", length: 11), range(.part(10...14), "bytes 10-19/20"),
            range(.from(10), nil, status: 204),
        ] {
            guard case .failure = refused else {
                Issue.record("taken: \(refused)")
                continue
            }
        }
    }

    @Test func `a registry's statuses mean what the specification says`() {
        let body = "{\"errors\":[{\"code\":\"MANIFEST_UNKNOWN\",\"message\":\"no such tag\"}]}"
        #expect(error(404, [:], body) == .unknown(message: "registry.example: MANIFEST_UNKNOWN: no such tag"))
        #expect(error(401) == .denied(status: 401, message: "registry.example: HTTP 401"))
        #expect(error(403) == .denied(status: 403, message: "registry.example: HTTP 403"))
        #expect(error(503) == .failed(status: 503, message: "registry.example: HTTP 503"))
    }

    @Test func `a rate limit tells its delay in seconds or as a date`() {
        let words = "registry.example: Too Many Requests (HAP429)."
        #expect(
            error(429, [.retryAfter: "30", .contentType: "text/plain"], "Too Many Requests (HAP429).\nmore")
                == .rateLimited(retryAfter: .seconds(30), message: words))
        #expect(
            error(429, [.retryAfter: "Tue, 14 Nov 2023 22:13:30 GMT"])
                == .rateLimited(retryAfter: .seconds(10), message: "registry.example: HTTP 429"))
        #expect(error(429) == .rateLimited(retryAfter: nil, message: "registry.example: HTTP 429"))
    }

    @Test func `a host behind a redirect does not speak for the registry`() {
        #expect(error(404, isHome: false) == .failed(status: 404, message: "registry.example: HTTP 404"))
        #expect(error(403, isHome: false) == .failed(status: 403, message: "registry.example: HTTP 403"))
    }

    @Test func `a 416 to a range tells the size, whoever sends it, and is no outage`() {
        for isHome in [true, false] {
            for (field, size) in [("bytes */20", Int64(20)), ("bytes 0-1/20", nil), (nil, nil)] {
                var fields = HTTPFields()
                fields[.contentRange] = field
                let answer = Answer(head: head(416, fields), body: [], stream: nil)
                func error(_ hasRange: Bool) -> UpstreamError {
                    AnswerRules.error(of: answer, from: origin, isHome: isHome, hasRange: hasRange, now: 0)
                }
                #expect(error(true) == .unsatisfiable(size: size))
                #expect(error(false) == .failed(status: 416, message: "registry.example: HTTP 416"))
            }
        }
        let error = UpstreamError.unsatisfiable(size: 20)
        #expect(!error.isTransient && error.mayTryNextEndpoint && error.isEndpointError && !error.isOutage)
        #expect("\(error)" == "has no byte in that range, only 20 bytes in all")
    }

    @Test func `another mirror's failure in the clothes of a 404 is a failure`() throws {
        let name = try #require(HTTPField.Name("Proxy-Status"))
        #expect(error(404, [name: "wharf; error=connection_refused"]).isUnknown == false)
        #expect(error(404, [name: "cdn; received-status=404"]).isUnknown)
        for status in [401, 403] {
            let itsOwn = error(status, [name: "wharf; error=proxy_configuration_error; details=\"x\""])
            #expect(itsOwn == .failed(status: status, message: "registry.example: HTTP \(status)"))
            let told = error(status, [name: "wharf; error=http_request_error; received-status=\(status)"])
            #expect(told == .denied(status: status, message: "registry.example: HTTP \(status)"))
        }
    }

    @Test func `a proxy that forwards in the clear does not speak for the registry`() throws {
        let proxy = try #require(ProxyURL("http://user:secret@proxy.test:3128"))
        func error(_ status: Int, _ type: String) -> UpstreamError? {
            let answer = Answer(head: head(status, [.contentType: type]), body: [], stream: nil)
            return AnswerRules.proxyError(of: answer, proxy: proxy)
        }
        for status in [403, 404, 503] {
            guard case .failed(status, let words) = error(status, "text/html; charset=utf-8") else {
                Issue.record("expected a failure")
                return
            }
            #expect(words.contains("http://proxy.test:3128") && !words.contains("secret"))
            #expect(error(status, "application/json") == nil)
        }
        guard case .unreachable(.proxyConfigurationError, _) = error(407, "text/plain") else {
            Issue.record("expected a mistake of the configuration")
            return
        }
        #expect(proxy.speaksForItself(to: origin) == false)
        #expect(proxy.speaksForItself(to: UpstreamURL.Origin(isSecure: false, host: "a", port: 80)))
    }

    @Test func `a circle that another mirror has met is one here`() {
        #expect(error(508) == .unreachable(.proxyLoopDetected, "registry.example: HTTP 508"))
    }

    @Test func `messages are one printable line of bounded length`() {
        let answer = Answer(
            head: head(500, [.contentType: "text/plain"]),
            body: Array(("a\u{1B}[31mb\u{202E}c" + String(repeating: "x", count: 500) + "\nsecond").utf8), stream: nil)
        let words = AnswerRules.words(of: answer)
        #expect(words.hasPrefix("a[31mbcxx"))
        #expect(words.count == 240)
    }

    @Test func `rate-limit fields are read with their window and source`() throws {
        let fields: HTTPFields = [
            try #require(HTTPField.Name("ratelimit-limit")): "100;w=21600",
            try #require(HTTPField.Name("ratelimit-remaining")): "76;w=21600",
            try #require(HTTPField.Name("docker-ratelimit-source")): "192.0.2.1",
        ]
        #expect(
            RateLimit(fields) == RateLimit(limit: 100, remaining: 76, windowSeconds: 21600, source: "192.0.2.1"))
        #expect(RateLimit([:]) == nil)
        #expect(RateLimit([try #require(HTTPField.Name("ratelimit-remaining")): "-3"]) == nil)
    }
}

extension UpstreamError {
    fileprivate var isUnknown: Bool { if case .unknown = self { true } else { false } }
}
