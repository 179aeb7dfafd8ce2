// end-4 to end-6, end-11, end-13, end-14: distribution-spec v1.1 "Pushing blobs", "Mounting a blob".

import HTTPServer
import HTTPTypes
import Hosting
import OCI
import PullThrough

struct UploadHandler: Sendable {
    let repositories: HostedRepositories
    let cache: PullThroughCache

    /// `POST`: with `mount` a blob of another repository is taken, with `digest` and a body the blob is here at once,
    /// else an upload begins.
    func begin(_ request: Request, in name: RepositoryName) async throws(HostingError) -> Response {
        if let text = request.queryValue("mount"), let digest = Digest(text) {
            if try await mount(digest, from: request, to: name) { return Self.created(digest, in: name) }
        } else if let text = request.queryValue("digest"), !text.isEmpty {
            guard let digest = Digest(text) else { return Self.noDigest(text) }
            // Some clients name it and send nothing yet.
            if request.body != nil || digest == Digest.of([], digest.algorithm) {
                try await repositories.push(UploadBody(request), as: digest, to: name)
                return Self.created(digest, in: name)
            }
        }
        var algorithm = Digest.Algorithm.sha256
        if let text = request.queryValue("digest-algorithm"), !text.isEmpty {
            guard let named = Digest.Algorithm.allCases.first(where: { $0.name == text }) else {
                return ErrorMapping.response(
                    .badRequest, .digestInvalid, "digests here are sha256 or sha512, not \(text)")
            }
            algorithm = named
        }
        let status = try repositories.beginUpload(in: name, algorithm: algorithm)
        var fields = Self.fields(status.id, status.received, in: name)
        fields[.chunkMinLength] = "1"
        return .plain(.accepted, fields)
    }

    /// Where nothing says from where, any hosted repository will do; where it does, what a pull from there would give.
    private func mount(
        _ digest: Digest, from request: Request, to name: RepositoryName
    ) async throws(HostingError) -> Bool {
        guard let text = request.queryValue("from"), !text.isEmpty else {
            return try await repositories.mount(digest, from: nil, to: name)
        }
        let host = request.fields[.host]
        guard let from = RepositoryName(text),
            let route = try? cache.directory.route(from, namespace: nil, ownHost: host)
        else { return false }
        let source: Repository
        switch route {
        case .hosted(let name): source = Repository(hosted: name)
        case .upstream(let repository): source = repository
        }
        return try await repositories.mount(digest, from: source, to: name)
    }

    func append(_ request: Request, _ id: String, in name: RepositoryName) async throws(HostingError) -> Response {
        let status = try await repositories.append(
            UploadBody(request), at: request.chunk, toUpload: id, in: name)
        return .plain(.accepted, Self.fields(status.id, status.received, in: name))
    }

    func finish(_ request: Request, _ id: String, in name: RepositoryName) async throws(HostingError) -> Response {
        let text = request.queryValue("digest") ?? ""
        guard let digest = Digest(text) else { return Self.noDigest(text) }
        try await repositories.finishUpload(
            id, as: digest, with: UploadBody(request), at: request.chunk, in: name)
        return Self.created(digest, in: name)
    }

    func status(_ id: String, in name: RepositoryName) throws(HostingError) -> Response {
        let status = try repositories.status(ofUpload: id, in: name)
        return .plain(.noContent, Self.fields(status.id, status.received, in: name))
    }

    func cancel(_ id: String, in name: RepositoryName) throws(HostingError) -> Response {
        try repositories.cancelUpload(id, in: name)
        return .plain(.noContent, [:])
    }

    /// Where to go on, and how much is here. Of nothing there is no range that would say so: clients take `0-0` for it.
    static func fields(_ id: String, _ received: Int64, in name: RepositoryName) -> HTTPFields {
        [
            .location: Endpoint.upload(name, id).path, .range: "0-\(max(0, received - 1))", .uploadID: id,
        ]
    }

    private static func created(_ digest: Digest, in name: RepositoryName) -> Response {
        .plain(.created, [.location: Endpoint.blob(name, digest).path, .contentDigest: "\(digest)"])
    }

    private static func noDigest(_ text: String) -> Response {
        ErrorMapping.response(
            .badRequest, .digestInvalid, text.isEmpty ? "the digest is missing" : "\(text) is no digest")
    }
}

extension Request {
    /// `Content-Range: 0-1023`, as distribution-spec v1.1 has it: not HTTP's own form, which is understood too.
    fileprivate var chunk: HostedRepositories.Chunk {
        guard let field = fields[.contentRange] else { return .next }
        var text = field[...]
        if text.lowercased().hasPrefix("bytes") { text = text.dropFirst(5).drop { $0 == " " || $0 == "=" } }
        let ends = text.prefix { $0 != "/" }.split(separator: "-", omittingEmptySubsequences: false)
        guard ends.count == 2, ends.allSatisfy({ !$0.isEmpty && $0.utf8.allSatisfy { $0 &- 0x30 < 10 } }),
            let first = Int64(ends[0]), let last = Int64(ends[1]), first <= last, last < .max
        else { return .malformed }
        return .range(first...last)
    }
}

extension UploadBody {
    init(_ request: Request) {
        guard let body = request.body else {
            self = .empty
            return
        }
        self.init(length: body.length) { () async throws(Broken) in
            do throws(RequestBodyStream.Fault) {
                return try await body.next()
            } catch {
                switch error {
                case .clientLeft: throw Broken("the client left before all had come")
                case .malformed: throw Broken("what came is no body by its framing")
                case .stalled: throw Broken("nothing more came")
                }
            }
        }
    }
}
