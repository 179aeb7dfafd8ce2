// What carries credentials: a config.json, a helper's answer, a token's, a scope. Nothing secret is ever told.

import OCI

@testable import Upstream

extension FuzzTarget {
    static let secrets = FuzzTarget(
        "secrets",
        seeds: [
            #"{"auths":{"https://index.docker.io/v1/":{"auth":"dTpwYXNz"},"ghcr.io":{"username":"u","password":"p"}}}"#,
            #"{"auths":{"h":{"identitytoken":"t"},"i:5000":{"registrytoken":"t"},"j":{}},"credsStore":"x"}"#,
            #"{"credHelpers":{"gcr.io":"gcloud","ghcr.io":"../evil"},"auths":null}"#,
            #"{"token":"abc","expires_in":300,"refresh_token":"r"}"#, #"{"access_token":"abc","expires_in":-1e300}"#,
            #"{"Username":"<token>","Secret":"s"}"#, #"{"Username":"u","Secret":"s"}"#, #"{"error":"invalid_grant"}"#,
            "repository:a/b:pull,push repository:c:pull registry:catalog:* aws",
        ],
        words: [
            "{", "}", "[", "]", ":", ",", "\"", "null", "1e400", "-1", "\"auth\":", "\"auths\":{\"h\":",
            "\"credsStore\":",
            "\"credHelpers\":", "\"token\":", "\"expires_in\":", "\"Secret\":", "\\u0000", "\\r\\n", "repository:",
            "a/b", ":pull",
            "push", "*", " ", "repository(plugin):", "dTpwYXNz", "==", "\u{7F}", "https://", "/v1/",
        ]
    ) { bytes in
        if let config = DockerConfigContent(parsing: bytes) { try lawOfConfig(config) }
        if let token = try? TokenRequest.token(in: bytes, askedAt: .zero) {
            try hold(Token.fitsField(token.token.text), "a token that ends its field")
            try hold(.zero...Duration.seconds(3600) ~= token.token.expiry, "a token until \(token.token.expiry)")
            try hold(token.token.refreshAt <= token.token.expiry, "refreshed too late")
        }
        _ = TokenRequest.isInvalidGrant(bytes)
        let text = String(decoding: bytes, as: UTF8.self)
        if let helper = CredentialHelper(text) {
            try hold(!helper.program.contains("/") && !helper.program.utf8.contains(0), "a helper elsewhere")
        }
        if let helper = CredentialHelper("x") {
            do {
                _ = try helper.parse(bytes)
            } catch let error as UpstreamError {
                try hold("\(error)".count < 200, "a helper's words are told: \(error)")
            }
        }
        try lawOfScope(text)
    }

    private static func lawOfConfig(_ config: DockerConfigContent) throws {
        for text in ["https://index.docker.io", "https://ghcr.io", "http://h", "http://i:5000"] {
            guard let url = UpstreamURL(text) else { continue }
            for key in RegistryKey.candidates(for: url.origin, of: "docker.io") {
                do {
                    for step in try config.steps(for: key) {
                        guard case .credentials(let credentials) = step else { continue }
                        try hold("\(credentials)" == "<redacted>", "credentials are told")
                        try lawOfWords(credentials.owner)
                        let isField = credentials.basic?.utf8.allSatisfy { 0x20...0x7E ~= $0 } ?? true
                        try hold(isField, "credentials that end their field")
                    }
                } catch let mistake as DockerConfigContent.Mistake {
                    try lawOfWords(mistake.words)
                }
            }
        }
    }

    private static func lawOfScope(_ text: String) throws {
        guard let name = RepositoryName("a/b") else { return }
        for isOwn in [true, false] {
            let scope = TokenScope(challenged: text, pulling: name, isOwnRealm: isOwn)
            try hold(!scope.parts.isEmpty, "no scope at all")
            for part in scope.parts {
                let pieces = part.split(separator: ":", omittingEmptySubsequences: false)
                try hold(pieces.count == 1 || pieces.last == "pull", "more than a pull: \(part)")
                try hold(!part.contains("*") && part.utf8.allSatisfy { 0x21...0x7E ~= $0 }, "an odd scope: \(part)")
                let isRepository = pieces.count > 1 && pieces[0].lowercased().hasPrefix("repository")
                try hold(isOwn || !isRepository || part == "repository:a/b:pull", "another's repository: \(part)")
            }
        }
    }
}
