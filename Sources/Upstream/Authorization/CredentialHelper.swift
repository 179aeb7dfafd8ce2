// A program that keeps credentials for Docker, asked for those of one registry.
import FoundationEssentials

/// `docker-credential-<name> get`: the registry on its standard input, JSON on its standard output
/// (docker/docker-credential-helpers, "Development").
struct CredentialHelper: Hashable, Sendable {
    /// A helper that has said nothing for so long is killed.
    static let limit = Duration.seconds(10)
    /// Bytes of its answer.
    static let outputLimit = 64 * 1024

    let name: String

    /// Nil for a name that could lead out of the directories on `PATH`.
    init?(_ name: String) {
        let isPlain = name.utf8.allSatisfy { byte in
            (byte | 0x20) &- 0x61 < 26 || byte &- 0x30 < 10 || "._-".utf8.contains(byte)
        }
        guard isPlain, !name.isEmpty, name.utf8.count <= 64 else { return nil }
        self.name = name
    }

    var program: String { "docker-credential-\(name)" }

    /// What it knows of a server; nil if nothing.
    ///
    /// - Throws: `.credentialsRefused`, naming the helper and never what it printed.
    func credentials(
        for server: String, environment: [String: String], clock: any Clock<Duration>
    ) async throws(UpstreamError) -> Credentials? {
        guard let path = HelperProcess.find(program, on: environment["PATH"] ?? "") else {
            throw failure("is not on PATH")
        }
        let process = HelperProcess(
            path: path, argument: "get", environment: environment, input: Array(server.utf8),
            outputLimit: Self.outputLimit)
        let end: HelperProcess.End
        do throws(UpstreamError) {
            end = try await Deadline(Self.limit, clock: clock).bound { () async throws(UpstreamError) in
                let end = await process.run()
                guard end != .stopped else { throw .cancelled }
                return end
            }
        } catch {
            throw error == .cancelled ? error : failure("gave no answer within \(Self.limit.components.seconds) s")
        }
        switch end {
        case .exited(0, let output): return try parse(output)
        case .exited(_, let output) where Self.isNothingFound(output): return nil
        case .exited(let status, _): throw failure("ended with status \(status)")
        case .overflowed: throw failure("answered more than \(Self.outputLimit) bytes")
        case .failed(let words): throw failure("cannot be run: \(words)")
        case .stopped: throw .cancelled
        }
    }

    private func failure(_ words: String) -> UpstreamError { .credentialsRefused(message: "\(program) \(words)") }

    /// docker-credential-helpers, `credentials/error.go`: told on the standard output, with status 1.
    private static func isNothingFound(_ output: [UInt8]) -> Bool {
        String(decoding: output.drop { $0 == 0x20 || $0 == 0x0A }, as: UTF8.self).hasPrefix("credentials not found")
    }

    /// What a helper has printed, read.
    func parse(_ output: [UInt8]) throws(UpstreamError) -> Credentials? {
        struct Body: Decodable {
            let username: String?
            let secret: String?

            enum CodingKeys: String, CodingKey {
                case username = "Username"
                case secret = "Secret"
            }
        }
        // The decoder's words may hold a piece of the secret.
        guard let body = try? JSONDecoder().decode(Body.self, from: Data(output)) else {
            throw failure("answered no JSON object")
        }
        let (username, secret) = (body.username ?? "", body.secret ?? "")
        if username == "<token>" { return secret.isEmpty ? nil : Credentials(identityToken: secret) }
        return username.isEmpty ? nil : Credentials(username: username, password: secret)
    }
}
