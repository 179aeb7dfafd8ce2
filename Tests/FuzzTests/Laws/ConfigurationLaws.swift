// The configuration: any file gives one, or mistakes that say where; nothing secret is in them, and nothing takes long.

import Foundation
import OCI

@testable import wharf

extension FuzzTarget {
    static let configuration = FuzzTarget(
        "configuration",
        seeds: [
            "listen: [\"[::]:5000\", 127.0.0.1:80]\ndata: /x\ndrain: 5s\nlog:\n  level: debug\n  format: json\n",
            """
            upstreams:
              docker.io:
                endpoints: [https://mirror.example, "http://h:5000/x"]
                allow-http: true
                fresh-for: 5m
                tags:
                  v*: {immutable: true}
                  acme/app:*-nightly:
                    fresh-for: 1h
                proxy: http://u:s3cr3t@h:1
                ranges: 4
                max-bandwidth: 10MB/s
                allow: [library/*, acme/**]
              ghcr.io: {username: u, on-upstream-404: forget}
            default-upstream: ghcr.io
            """,
            "cache:\n  max-size: 80%\n  min-free: 1.5GiB\n  pin: [docker.io/library/debian:12]\n  lease: 0s\n",
            "a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nhosted: *c\n? *c\n: 1\n",
            "access: {anonymous-pull: false, push: ~}",
            "%YAML 1.1\n---\n!!map {? [a, b] : \"\\u0041\", c: |\n  d\n, e: >-\n  f\n}\n...\n",
            "prefetch:\n - images: [a, b]\n   every: 1h\n - {platforms: x}\nstorage: y\nlimits: {connections: 5}\n",
        ],
        words: [
            "&a ", "*a", "*a, *a", "[", "]", "{", "}", ": ", "- ", "? ", "|\n", ">\n", "\"", "'", "#", "\n", "\n  ",
            "\t", "---\n",
            "...\n", "!!", "!<x>", "%", "<<: ", "~", "null", "upstreams:\n", "docker.io:", "endpoints:", "tags:",
            "hosted: ",
            "proxy: ", "http://u:s3cr3t@", "\\x00", "\u{FEFF}", "\u{85}", "\u{2028}", "*", "**", "1h", "%YAML 1.2\n",
            "cache:",
        ]
    ) { bytes in
        guard let file = TemporaryFile(bytes) else { return }
        do {
            let (configuration, _) = try Configuration.load(file: file.path, flags: .init(), environment: [:])
            try hold(
                !configuration.listen.isEmpty && !configuration.upstreams.contains { $0.endpoints.isEmpty }, "nothing")
        } catch let error as ConfigurationMistakes {
            try hold(!error.mistakes.isEmpty, "no mistake is thrown")
            let lines = bytes.split(omittingEmptySubsequences: false) { $0 == 0x0A || $0 == 0x0D }.count
            let isText = String(validating: bytes, as: UTF8.self) != nil
            for mistake in error.mistakes {
                try lawOfWords(mistake.message, 600)
                switch mistake.origin {
                // Yams counts the line ends of Unicode too.
                case .file(_, let line): try hold(1...(lines + bytes.count / 2 + 1) ~= line, "line \(line) of \(lines)")
                case nil: try hold(!isText, "a mistake without a line: \(mistake.message)")
                default: throw Broken(description: "a mistake elsewhere: \(mistake)")
                }
            }
        }
    }

    static let values = FuzzTarget(
        "values",
        seeds: [
            "15s", "80%", "1.5GiB", "10MB/s", "0.0.0.0:5000", "[::]:80", "https://h/x", "http://u:s3cr3t@h:1", "v*",
            "ghcr.io/acme/**", "acme/app:*-nightly", "true", "100000", "36525d", "localhost:5000", "none", "info",
        ],
        words: [
            "s", "ms", "d", "h", "%", "B", "TiB", "kB", "/s", ".", "-", "+", "e9", "0x", "9223372036854775807", "1e400",
            "*", "**", "/",
            ":", "@", "[", "]", "http://", "https://", "none", "é", "٣", "\u{0}", "\n", "?", "#", "inf", "nan",
        ]
    ) { bytes in
        let text = String(decoding: bytes, as: UTF8.self)
        typealias Values = ConfigurationValues
        if let duration = told({ try Values.duration(text) }) { try hold(duration >= .zero, "\(duration)") }
        if let size = told({ try Values.size(text) }) { try hold(size >= 0, "\(size)") }
        if let share = told({ try Values.share(text) }) { try hold(0...1 ~= share, "\(share)") }
        if let rate = told({ try Values.positiveRate(text) }) { try hold(rate > 0, "\(rate)") }
        if let count = told({ try Values.count(text) }) { try hold(count > 0, "\(count)") }
        if let endpoint = told({ try Values.endpoint(text) }) {
            try hold(EndpointURL("\(endpoint)") == endpoint, "\(endpoint) reads back otherwise")
        }
        if let address = told({ try Values.listenAddress(text) }) {
            try hold(0...65535 ~= address.port && !address.host.isEmpty, "\(address)")
            try hold(told { try Values.listenAddress("\(address)") } == address, "\(address) reads back otherwise")
        }
        _ = told { try Values.capacity(text) }
        _ = told { try Values.imagePattern(text) }
        _ = told { try Values.tagPattern(text, of: "docker.io") }
        _ = told { try Values.registryHost(text) }
        _ = told { try Values.authHost(text) }
        _ = NearestWord.to(text, among: ["listen", "data"])
        for secret in ["http://u:s3cr3t@\(text)", "https://\(text)@s3cr3t/", "u:s3cr3t@h\(text)"] {
            for parse in [{ _ = try Values.proxy($0) }, { _ = try Values.endpoint($0) }] as [(String) throws -> Void] {
                do {
                    try parse(secret)
                } catch let error as ValueMistake {
                    try hold(!error.message.contains("s3cr3t"), "a secret is told: \(error.message)")
                }
            }
        }
    }

    /// Nil for a mistake, whose words are looked at.
    private static func told<Value>(_ parse: () throws -> Value) -> Value? { try? parse() }
}

/// A file that is gone with this.
private final class TemporaryFile {
    let path: String

    init?(_ bytes: [UInt8]) {
        var name = Array("/tmp/wharf-fuzz-XXXXXX".utf8CString)
        let descriptor = mkstemp(&name)
        guard descriptor >= 0 else { return nil }
        path = String(decoding: name.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let isWhole = bytes.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) } == bytes.count
        close(descriptor)
        if !isWhole { return nil }
    }

    deinit { unlink(path) }
}
