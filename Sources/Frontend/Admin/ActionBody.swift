// The body of an action: one small JSON object whose every key is known, or a refusal that says what is wrong with it.

import FoundationEssentials
import HTTPServer
import HTTPTypes
import OCI

/// Why an action was not begun, as it is answered.
struct ActionRefusal: Error {
    let response: Response

    init(_ status: HTTPResponse.Status, _ code: ErrorCode, _ message: String) {
        response = ErrorMapping.response(status, code, message)
    }
}

/// What a body may say.
protocol ActionWish: Decodable, Sendable {
    static var keys: Set<String> { get }
}

enum ActionBody {
    /// Bytes.
    static let limit = 64 << 10

    /// `Content-Type: application/json` is required: a page elsewhere can have a browser send nothing of that type here
    /// without asking first (Fetch, "CORS-safelisted request-header").
    static func read<Wish: ActionWish>(_ type: Wish.Type, of request: Request) async throws(ActionRefusal) -> Wish {
        let bytes = try await bytes(of: request)
        do {
            return try JSONDecoder().decode(Strict<Wish>.self, from: Data(bytes)).wish
        } catch let error as UnknownKey {
            throw malformed("\(error.key) is no key here; there are: \(Wish.keys.sorted().joined(separator: ", "))")
        } catch let error as DecodingError {
            throw malformed(words(of: error))
        } catch {
            throw malformed("it is no JSON object")
        }
    }

    private static func bytes(of request: Request) async throws(ActionRefusal) -> [UInt8] {
        guard request.fields[.contentType].flatMap({ MediaType(field: $0) }) == .json else {
            throw ActionRefusal(
                .unsupportedMediaType, .unsupported, "send a JSON object with Content-Type: application/json")
        }
        let tooLarge = ActionRefusal(.contentTooLarge, .sizeInvalid, "a body may have \(limit) bytes")
        guard let body = request.body else { return [] }
        if let length = body.length, length > limit { throw tooLarge }
        var bytes: [UInt8] = []
        do throws(RequestBodyStream.Fault) {
            while let piece = try await body.next() {
                bytes += piece
                if bytes.count > limit { break }
            }
        } catch {
            throw malformed("it did not come whole")
        }
        if bytes.count > limit { throw tooLarge }
        return bytes
    }

    private static func malformed(_ message: String) -> ActionRefusal {
        ActionRefusal(.badRequest, .unsupported, "the body cannot be used: \(message)")
    }

    /// The first thing that is wrong, without a word of what was sent.
    private static func words(of error: DecodingError) -> String {
        switch error {
        case .keyNotFound(let key, _): return "\(key.stringValue) is missing"
        case .typeMismatch(_, let context), .valueNotFound(_, let context), .dataCorrupted(let context):
            let path = context.codingPath.map { $0.intValue.map { "[\($0)]" } ?? $0.stringValue }.joined()
            return path.isEmpty ? "it is no JSON object" : "\(path) is not of its type"
        @unknown default: return "it is no JSON object"
        }
    }

    private struct UnknownKey: Error { let key: String }

    private struct AnyKey: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }
        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    private struct Strict<Wish: ActionWish>: Decodable {
        let wish: Wish

        init(from decoder: any Decoder) throws {
            let keys = try decoder.container(keyedBy: AnyKey.self).allKeys.map(\.stringValue)
            if let stranger = keys.first(where: { !Wish.keys.contains($0) }) {
                throw UnknownKey(key: String(stranger.prefix(40)))
            }
            wish = try Wish(from: decoder)
        }
    }
}
