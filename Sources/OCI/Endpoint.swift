// The endpoints of the distribution-spec, path to endpoint and back: the server parses with it, the client prints.

/// Why a path is no endpoint; each with the text that is wrong, for the message.
package enum EndpointError: Error, Equatable, Sendable {
    /// Nothing under `/v2/` that the spec knows: 404.
    case notAnEndpoint
    case nameInvalid(String)
    case digestInvalid(String)
    /// Neither tag nor digest: for GET and HEAD this is 404 `MANIFEST_UNKNOWN`.
    case tagInvalid(RepositoryName, String)
}

/// ```
/// /v2/                                     base        end-1
/// /v2/<name>/blobs/<digest>                blob        end-2, end-10
/// /v2/<name>/manifests/<reference>         manifest    end-3, end-7, end-9
/// /v2/<name>/blobs/uploads/                uploads     end-4, end-11
/// /v2/<name>/blobs/uploads/<id>            upload      end-5, end-6, end-13, end-14
/// /v2/<name>/tags/list                     tags        end-8
/// /v2/<name>/referrers/<digest>            referrers   end-12
/// /v2/_catalog                             catalog     (Docker's)
/// ```
/// The fixed words are looked for from the end, so that a repository may be called `a/manifests/b`.
package enum Endpoint: Hashable, Sendable {
    case base
    case manifest(RepositoryName, Reference)
    case blob(RepositoryName, Digest)
    case tags(RepositoryName)
    case referrers(RepositoryName, Digest)
    case uploads(RepositoryName)
    case upload(RepositoryName, String)
    case catalog

    /// Parses the path of a request as it was sent, before any decoding and without its query.
    ///
    /// Escapes of harmless bytes are decoded (some clients write `sha256%3a…`); `%2f`, `%00` and broken escapes are
    /// refused, and `..`, `//` and NUL are in no grammar.
    package init(path: String) throws(EndpointError) {
        if path.utf8.contains(UInt8(ascii: "%")) {
            guard let decoded = Self.decoded(path) else { throw .nameInvalid(path) }
            try self.init(decodedPath: decoded[...])
        } else {
            try self.init(decodedPath: path[...])
        }
    }

    package var path: String {
        switch self {
        case .base: "/v2/"
        case .manifest(let name, let reference): "/v2/\(name)/manifests/\(reference)"
        case .blob(let name, let digest): "/v2/\(name)/blobs/\(digest)"
        case .tags(let name): "/v2/\(name)/tags/list"
        case .referrers(let name, let digest): "/v2/\(name)/referrers/\(digest)"
        case .uploads(let name): "/v2/\(name)/blobs/uploads/"
        case .upload(let name, let id): "/v2/\(name)/blobs/uploads/\(id)"
        case .catalog: "/v2/_catalog"
        }
    }

    private init(decodedPath path: Substring) throws(EndpointError) {
        if path == "/v2/" || path == "/v2" {
            self = .base
            return
        }
        if path == "/v2/_catalog" {
            self = .catalog
            return
        }
        guard path.utf8.starts(with: "/v2/".utf8) else { throw .notAnEndpoint }
        let (beforeLast, last) = Self.split(path.dropFirst(4))
        let (name, word) = Self.split(beforeLast)
        switch word {
        case "manifests":
            let name = try Self.name(name)
            self = .manifest(name, try Self.reference(last, in: name))
        case "blobs" where last == "uploads":
            self = .uploads(try Self.name(name))
        case "blobs":
            self = .blob(try Self.name(name), try Self.digest(last))
        case "referrers":
            self = .referrers(try Self.name(name), try Self.digest(last))
        case "tags" where last == "list":
            self = .tags(try Self.name(name))
        case "uploads":
            let (name, blobs) = Self.split(name)
            guard blobs == "blobs" else { throw .notAnEndpoint }
            if last.isEmpty {
                self = .uploads(try Self.name(name))
            } else {
                guard Self.isUploadID(last) else { throw .notAnEndpoint }
                self = .upload(try Self.name(name), String(last))
            }
        default: throw .notAnEndpoint
        }
    }

    /// What stands before and after the last slash; without a slash, nothing stands before it.
    private static func split(_ path: Substring) -> (before: Substring, after: Substring) {
        guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return ("", path) }
        return (path[..<slash], path[path.utf8.index(after: slash)...])
    }

    private static func name(_ text: Substring) throws(EndpointError) -> RepositoryName {
        guard let name = RepositoryName(text) else { throw .nameInvalid(String(text)) }
        return name
    }

    private static func digest(_ text: Substring) throws(EndpointError) -> Digest {
        guard let digest = Digest(text) else { throw .digestInvalid(String(text)) }
        return digest
    }

    private static func reference(_ text: Substring, in name: RepositoryName) throws(EndpointError) -> Reference {
        if text.utf8.contains(UInt8(ascii: ":")) { return .digest(try digest(text)) }
        guard let tag = Tag(text) else { throw .tagInvalid(name, String(text)) }
        return .tag(tag)
    }

    /// The name of an upload session is ours to choose; anything longer or stranger was not chosen here.
    private static func isUploadID(_ text: Substring) -> Bool {
        text.utf8.count <= 128
            && text.utf8.allSatisfy { $0.isAlphanumeric || $0 == UInt8(ascii: "-") || $0 == UInt8(ascii: "_") }
    }

    /// RFC 3986 §2.1, once. `nil` for an escape that is broken, or that hides a slash or a NUL.
    private static func decoded(_ path: String) -> String? {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(path.utf8.count)
        var rest = path.utf8.makeIterator()
        while let byte = rest.next() {
            guard byte == UInt8(ascii: "%") else {
                bytes.append(byte)
                continue
            }
            guard let high = rest.next()?.hexValue, let low = rest.next()?.hexValue else { return nil }
            let value = high << 4 | low
            guard value != 0, value != UInt8(ascii: "/"), value != UInt8(ascii: "\\") else { return nil }
            bytes.append(value)
        }
        return String(validating: bytes, as: UTF8.self)
    }
}
