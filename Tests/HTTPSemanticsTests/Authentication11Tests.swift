// RFC 9110 §11.6.1: the challenges of WWW-Authenticate.

import HTTPSemantics
import Testing

@Suite("WWW-Authenticate: RFC 9110 §11.6.1") struct AuthenticationChallengeTests {
    @Test func `Docker Hub's challenge`() throws {
        let field =
            #"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/debian:pull,push""#
        let challenge = try #require(AuthenticationChallenge.parse(field).first)
        #expect(challenge.scheme == "bearer")
        #expect(challenge.realm == "https://auth.docker.io/token")
        #expect(challenge.service == "registry.docker.io")
        #expect(challenge.scope == "repository:library/debian:pull,push")
    }

    @Test func `the RFC's example: two challenges in a field`() {
        let field = #"Basic realm="simple", Newauth realm="apps", type=1, title="Login to \"apps\"""#
        #expect(
            AuthenticationChallenge.parse(field) == [
                .init(scheme: "basic", parameters: ["realm": "simple"]),
                .init(scheme: "newauth", parameters: ["realm": "apps", "type": "1", "title": "Login to \"apps\""]),
            ])
    }

    @Test(arguments: [
        ("Basic", ["basic"]), ("Negotiate, Basic realm=x", ["negotiate", "basic"]),
        ("NTLM TlRMTVNTUAAC==, Bearer realm=\"x\"", ["ntlm", "bearer"]),
        ("Basic,Bearer,Digest", ["basic", "bearer", "digest"]),
        (",, Basic realm=\"a\" ,, ,Bearer realm=\"b\",", ["basic", "bearer"]), ("Custom abc, def", ["custom", "def"]),
        ("Custom abc=, Basic", ["custom", "basic"]),
    ])
    func `schemes are told from parameters and tokens`(field: String, schemes: [String]) {
        #expect(AuthenticationChallenge.parse(field).map(\.scheme) == schemes)
    }

    @Test(arguments: [
        "BEARER REALM=\"x\"", "Bearer realm = \"x\"", "Bearer realm\t=\t\"x\" ", "Bearer   realm=x",
        "Bearer realm=x,,,error=\"y\"", "Bearer realm=x, realm=y", "Bearer realm=\"\\x\"",
    ])
    func `spelt in other ways it is the same`(field: String) {
        #expect(AuthenticationChallenge.parse(field).first?.realm == "x")
    }

    @Test(arguments: [
        "", " ", ",", "=", "\"", "Bearer realm=\"x", "Bearer realm=\"x\\", "Bearer realm=\"", "Bearer realm=\"x\" y",
        "Bearer/realm=x", "Bearer realm=\"x\"service=\"y\"", "é realm=x", "Bearer realm=\u{1}",
    ])
    func `what is malformed challenges nobody`(field: String) {
        #expect(AuthenticationChallenge.parse(field).isEmpty)
    }

    @Test func `what came before something malformed counts`() {
        #expect(AuthenticationChallenge.parse("Basic realm=a, Bearer realm=\"b").map(\.scheme) == ["basic"])
    }

    @Test func `a field of any length is read in time that grows with it`() {
        let many = String(repeating: "A a=b,", count: 20_000)
        #expect(AuthenticationChallenge.parse(many).count == 20_000)
        #expect(AuthenticationChallenge.parse("A a=\"" + String(repeating: "\\", count: 200_001)).isEmpty)
    }
}
