// What is asked of the reading API: pages of names, and why a question is none.

import HTTPServer
import HTTPTypes
import OCI
import PullThrough

enum GlanceError: Error {
    case unknownParameter(String, known: [String])
    /// `n` is no whole number from 1 on.
    case noNumber
    case searchTooLong
    /// It is no image's name.
    case noImage(String)
    /// Nothing of it is here; its name in full.
    case unknownImage(String)
    /// It is here, and no image: a config or a layer.
    case noManifest(Digest)
    /// Too many look around at once.
    case crowded
    case failed(PullThroughError)

    var response: Response {
        switch self {
        case .unknownParameter(let name, let known):
            let rest = known.isEmpty ? "it takes none" : "it takes \(known.joined(separator: ", "))"
            return bad(.unsupported, "there is no parameter \(name.prefix(100)) here: \(rest)")
        case .noNumber: return bad(.paginationNumberInvalid, "n must be a whole number from 1 on")
        case .searchTooLong: return bad(.unsupported, "q may have \(PageOfNames.longestSearch) characters at most")
        case .noImage(let text): return bad(.nameInvalid, "\(text.prefix(300)) is no image's name")
        case .unknownImage(let name):
            return ErrorMapping.response(.notFound, .manifestUnknown, "nothing of \(name) is stored here")
        case .noManifest(let digest):
            return ErrorMapping.response(
                .notFound, .manifestUnknown, "\(digest) is stored here as a blob, a layer or a config, and is no image")
        case .crowded:
            return ErrorMapping.response(
                .serviceUnavailable, .unavailable, "too many are looking around: try again in a moment",
                fields: [.retryAfter: "1"])
        case .failed(let error): return ErrorMapping.response(to: error, about: .name)
        }
    }

    private func bad(_ code: ErrorCode, _ message: String) -> Response {
        ErrorMapping.response(.badRequest, code, message)
    }
}

/// `q=`, `n=` and `last=`; of images `repository=` too.
struct PageOfNames: Sendable {
    private static let usual = 50
    /// Unicode scalars, as JSON Schema counts: no name is as long.
    static let longestSearch = 512

    let search: String?
    let last: String?
    let count: Int
    /// A full name.
    let repository: String?

    init(_ request: Request, mayNameOne: Bool = false) throws(GlanceError) {
        try request.knowsOnly(["q", "n", "last"] + (mayNameOne ? ["repository"] : []))
        repository = request.queryValue("repository").flatMap { $0.isEmpty ? nil : $0 }
        search = request.queryValue("q").flatMap { $0.isEmpty ? nil : $0 }
        guard (search?.unicodeScalars.count ?? 0) <= Self.longestSearch else { throw .searchTooLong }
        last = request.queryValue("last").flatMap { $0.isEmpty ? nil : $0 }
        count = try request.count(or: Self.usual)
    }
}

extension Request {
    /// More entries are on no page.
    private static let most = 1000

    /// A name that is misspelt would go unnoticed, and something else be shown than was meant.
    func knowsOnly(_ known: [String]) throws(GlanceError) {
        if let name = queryNames.first(where: { !known.contains($0) }) {
            throw .unknownParameter(name, known: known)
        }
    }

    /// `n=`: any whole number from 1 on; a thousand where it is more.
    func count(or usual: Int) throws(GlanceError) -> Int {
        guard let text = queryValue("n") else { return usual }
        let digits = text.utf8.drop { $0 == UInt8(ascii: "0") }
        guard !digits.isEmpty, digits.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) })
        else { throw .noNumber }
        return min(Int(text) ?? Self.most, Self.most)
    }
}
