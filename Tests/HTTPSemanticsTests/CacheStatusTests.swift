// RFC 9211 (Cache-Status) and RFC 9209 (Proxy-Status), as fields and as classes of requests.

import HTTPSemantics
import Testing

@Suite("Cache-Status: RFC 9211") struct CacheStatusTests {
    @Test(arguments: [
        (CacheStatus.hit, "wharf; hit"),
        (CacheStatus(ttl: 376), "wharf; hit; ttl=376"),
        (CacheStatus(ttl: -412), "wharf; hit; ttl=-412"),
        (CacheStatus(forward: .uriMiss), "wharf; fwd=uri-miss"),
        (CacheStatus(forward: .miss, forwardStatus: 200, isStored: true), "wharf; fwd=miss; fwd-status=200; stored"),
        (CacheStatus(forward: .miss, isCollapsed: true), "wharf; fwd=miss; collapsed"),
        (
            CacheStatus(forward: .stale, forwardStatus: 304, isUnchanged: true), "wharf; fwd=stale; fwd-status=304"
        ),
        (
            CacheStatus(forward: .stale, forwardStatus: 429, isStale: true, detail: "stale-if-error"),
            "wharf; fwd=stale; fwd-status=429; detail=stale-if-error"
        ),
        (CacheStatus(forward: .bypass, detail: "two words"), #"wharf; fwd=bypass; detail="two words""#),
        (CacheStatus(detail: "a\"b\\c\r\nX: é"), #"wharf; hit; detail="a\"b\\c??X: ??""#),
        (CacheStatus(detail: ""), #"wharf; hit; detail="""#),
    ])
    func `the field says it in the RFC's words`(status: CacheStatus, field: String) {
        #expect("\(status)" == field)
    }

    @Test(arguments: [
        (CacheStatus.hit, RequestClass.hit),
        (CacheStatus(forward: .miss, forwardStatus: 404), .miss),
        (CacheStatus(forward: .partial, isStored: true), .miss),
        (CacheStatus(forward: .miss, isStored: true, isCollapsed: true), .collapsed),
        (CacheStatus(forward: .stale, forwardStatus: 304), .revalidated),
        (CacheStatus(forward: .stale, forwardStatus: 200, isUnchanged: true), .revalidated),
        (CacheStatus(forward: .stale, forwardStatus: 200, isStored: true), .miss),
        (CacheStatus(forward: .stale, isCollapsed: true, isUnchanged: true), .collapsed),
        (CacheStatus(forward: .stale, forwardStatus: 503, isStale: true), .stale),
        (CacheStatus(forward: .stale, isCollapsed: true, isStale: true), .stale),
    ])
    func `each status is in one class`(status: CacheStatus, requestClass: RequestClass) {
        #expect(status.requestClass == requestClass)
    }
}

@Suite("Proxy-Status: RFC 9209") struct ProxyStatusTests {
    @Test(arguments: [
        (
            ProxyStatus(error: .connectionRefused, nextHop: "registry-1.docker.io", details: "port 443"),
            #"wharf; error=connection_refused; next-hop="registry-1.docker.io"; details="port 443""#
        ),
        (
            ProxyStatus(nextHop: "[::1]:5000", receivedStatus: 429),
            #"wharf; next-hop="[::1]:5000"; received-status=429"#
        ),
        (
            ProxyStatus(error: .dnsError, details: "x\"\r\nSet-Cookie: a"),
            #"wharf; error=dns_error; details="x\"??Set-Cookie: a""#
        ),
    ])
    func `the field says it in the RFC's words`(status: ProxyStatus, field: String) {
        #expect("\(status)" == field)
    }

    @Test func `every error has a status of an error, and a token`() {
        for error in ProxyError.allCases {
            #expect((400...599).contains(error.status))
            #expect(
                error.rawValue.utf8.allSatisfy {
                    $0 == UInt8(ascii: "_") || (UInt8(ascii: "a")...UInt8(ascii: "z")).contains($0)
                })
        }
        #expect(ProxyError.httpResponseTimeout.status == 504)
        #expect(ProxyError.connectionRefused.status == 502)
    }
}
