// The challenges of `WWW-Authenticate`: which scheme, whose realm, what scope.

/// `Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="…"`: RFC 9110 §11.6.1.
package struct AuthenticationChallenge: Equatable, Sendable {
    /// In lower case: `basic`, `bearer`.
    package let scheme: String
    /// Names in lower case; of a name that comes twice, the first. A `token68` is not kept.
    package let parameters: [String: String]

    package init(scheme: String, parameters: [String: String]) {
        self.scheme = scheme
        self.parameters = parameters
    }

    package var realm: String? { parameters["realm"] }
    package var service: String? { parameters["service"] }
    package var scope: String? { parameters["scope"] }
    /// Why a token was refused: RFC 6750 §3.1, `insufficient_scope`, `invalid_token`.
    package var error: String? { parameters["error"] }

    /// All challenges of a field, in its order; several fields are read joined by `, `.
    ///
    /// A scheme and a parameter both follow a comma; what tells them apart is the `=` behind a parameter's name.
    /// Reading stops at the first thing malformed: what came before it counts, the challenge it is in does not.
    package static func parse(_ field: String) -> [AuthenticationChallenge] {
        var parser = ChallengeParser(rest: field[...].utf8)
        var challenges: [AuthenticationChallenge] = []
        while let challenge = parser.next() { challenges.append(challenge) }
        return challenges
    }
}

private struct ChallengeParser {
    var rest: Substring.UTF8View

    mutating func next() -> AuthenticationChallenge? {
        skip { Self.isBlank($0) || $0 == UInt8(ascii: ",") }
        guard let scheme = token()?.lowercased() else { return nil }
        guard rest.isEmpty || rest.first == UInt8(ascii: ",") || rest.first.map(Self.isBlank) == true else {
            return nil
        }
        skip(Self.isBlank)
        var parameters: [String: String] = [:]
        if rest.first != UInt8(ascii: ","), !skipToken68() {
            while let parameter = parameter() {
                if parameters[parameter.name] == nil { parameters[parameter.name] = parameter.value }
                skip(Self.isBlank)
                guard rest.first == UInt8(ascii: ",") else { break }
                guard nextIsParameter() else { break }
                skip { Self.isBlank($0) || $0 == UInt8(ascii: ",") }
            }
        }
        skip(Self.isBlank)
        guard rest.isEmpty || rest.first == UInt8(ascii: ",") else { return nil }
        return AuthenticationChallenge(scheme: scheme, parameters: parameters)
    }

    private static func isBlank(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }

    private mutating func skip(_ isSkipped: (UInt8) -> Bool) { rest = rest.drop(while: isSkipped) }

    private mutating func token() -> String? {
        let token = rest.prefix(while: StructuredField.isTokenCharacter)
        guard !token.isEmpty else { return nil }
        rest = rest[token.endIndex...]
        return String(token)
    }

    /// Looks past the commas for `name =`, without taking anything.
    private func nextIsParameter() -> Bool {
        var ahead = self
        ahead.skip { Self.isBlank($0) || $0 == UInt8(ascii: ",") }
        guard ahead.token() != nil else { return false }
        ahead.skip(Self.isBlank)
        return ahead.rest.first == UInt8(ascii: "=")
    }

    /// `name=token` or `name="quoted"`, blanks around the `=` allowed (RFC 9110 §11.2).
    private mutating func parameter() -> (name: String, value: String)? {
        let start = rest
        guard let name = token()?.lowercased() else { return nil }
        skip(Self.isBlank)
        guard rest.first == UInt8(ascii: "=") else {
            rest = start
            return nil
        }
        rest = rest.dropFirst()
        skip(Self.isBlank)
        guard let value = rest.first == UInt8(ascii: "\"") ? quotedString() : token() else {
            rest = start
            return nil
        }
        return (name, value)
    }

    /// RFC 9110 §5.6.4; `nil` if it does not end.
    private mutating func quotedString() -> String? {
        var bytes: [UInt8] = []
        var position = rest.index(after: rest.startIndex)
        while position < rest.endIndex {
            var byte = rest[position]
            rest.formIndex(after: &position)
            if byte == UInt8(ascii: "\"") {
                rest = rest[position...]
                return String(validating: bytes, as: UTF8.self)
            }
            if byte == UInt8(ascii: "\\") {
                guard position < rest.endIndex else { return nil }
                byte = rest[position]
                rest.formIndex(after: &position)
            }
            bytes.append(byte)
        }
        return nil
    }

    /// `YWJj==`, as of `Negotiate`: letters, digits and `-._~+/`, then any `=`, then the end or a comma.
    private mutating func skipToken68() -> Bool {
        let extra = Set("-._~+/".utf8)
        let body = rest.prefix { ($0 | 0x20) &- 0x61 < 26 || $0 &- 0x30 < 10 || extra.contains($0) }
        guard !body.isEmpty else { return false }
        let end = rest[body.endIndex...].drop { $0 == UInt8(ascii: "=") }.drop(while: Self.isBlank)
        guard end.isEmpty || end.first == UInt8(ascii: ",") else { return false }
        rest = end
        return true
    }
}
