// end-2, `GET` or `HEAD /v2/<name>/blobs/<digest>`: distribution-spec v1.1 "Pulling blobs".

import HTTPSemantics
import HTTPServer
import HTTPTypes
import OCI
import PullThrough

struct BlobHandler: Sendable {
    let cache: PullThroughCache

    func respond(to request: Request, _ digest: Digest, in repository: Repository) async -> Response {
        do throws(Refusal) {
            // RFC 9110 §13.1.2: who has it already is told so, and no transfer is begun for that.
            let isKnown = Validators.ifNoneMatch(request.fields[.ifNoneMatch], entityTag: "\"\(digest)\"")
            return isKnown || request.method == .head
                ? try await facts(isKnown ? .notModified : .ok, digest, in: repository, request.lane)
                : try await get(request, digest, in: repository)
        } catch {
            cache.statistics.countRefusal(error.requestClass, .blob, of: repository)
            return ErrorMapping.response(to: error, about: .blob).timed(.blob, error.requestClass)
        }
    }

    /// From memory and an open file; nil where something has to be waited for.
    func ready(_ request: Request, _ digest: Digest, in repository: Repository) -> Response? {
        let isKnown = Validators.ifNoneMatch(request.fields[.ifNoneMatch], entityTag: "\"\(digest)\"")
        guard !isKnown, request.method == .get else {
            return cache.blobSizeAtOnce(digest, in: repository)
                .map { facts(isKnown ? .notModified : .ok, digest, in: repository, size: $0, .hit, request.lane) }
        }
        let (field, condition) = (request.fields[.range], request.fields[.ifRange])
        guard let answer = cache.blobAtOnce(digest, in: repository, range: reading(field, condition, digest))
        else { return nil }
        // No descriptor is left: who waits may get one.
        return try? response(to: answer, digest, in: repository, lane: request.lane)
    }

    /// An answer without a body.
    private func facts(
        _ status: HTTPResponse.Status, _ digest: Digest, in repository: Repository, _ lane: Int
    ) async throws(Refusal) -> Response {
        let (size, cacheStatus) = try await cache.blobFacts(digest, in: repository)
        return facts(status, digest, in: repository, size: size, cacheStatus, lane)
    }

    private func facts(
        _ status: HTTPResponse.Status, _ digest: Digest, in repository: Repository, size: Int64?,
        _ cacheStatus: CacheStatus, _ lane: Int
    ) -> Response {
        cache.statistics.tally(of: repository, lane: lane).count(cacheStatus.requestClass, .blob)
        var fields = fields(of: digest, cacheStatus)
        if let size { fields[.contentLength] = "\(size)" }
        return Response(status: status, fields: fields).timed(.blob, cacheStatus.requestClass)
    }

    private func get(
        _ request: Request, _ digest: Digest, in repository: Repository
    ) async throws(Refusal) -> Response {
        let (field, condition) = (request.fields[.range], request.fields[.ifRange])
        let answer = try await cache.blob(digest, in: repository, range: reading(field, condition, digest))
        return try response(to: answer, digest, in: repository, lane: request.lane)
    }

    private func response(
        to answer: BlobAnswer, _ digest: Digest, in repository: Repository, lane: Int
    ) throws(Refusal) -> Response {
        var fields = fields(of: digest, answer.status)
        switch answer.content {  // RFC 9110 §14.2, §13.1.5
        case .bytes(let reader, .part(let range, let isOpenEnded)):
            fields[.contentRange] = "\(ContentRange(range, size: reader.size))"
            // What only passes is never verified from the middle on: its client has the rest, and checks it.
            let isPiece = !isOpenEnded || reader.isPassing && range.lowerBound > 0
            return try response(.partialContent, fields, answer, reader, range, isPiece: isPiece, repository, lane)
        case .bytes(let reader, _):
            let range = 0..<(reader.size ?? .max)
            return try response(.ok, fields, answer, reader, range, isPiece: false, repository, lane)
        case .unsatisfiable(let size):
            cache.statistics.count(answer.status.requestClass, .blob, of: repository)
            fields[.contentRange] = ContentRange.unsatisfied(size)
            return Response(status: .rangeNotSatisfiable, fields: fields)
                .timed(.blob, answer.status.requestClass)
        case .scattered:
            // Lazy pullers ask for one range at a time when they are told so, and for the whole when they get it.
            cache.statistics.count(.error, .blob, of: repository)
            return ErrorMapping.response(
                .badRequest, .rangeInvalid, "several ranges that far apart are not here yet: ask for one at a time",
                fields: [.cacheStatus: "\(answer.status)"]
            ).timed(.blob, .error)
        }
    }

    /// nil where nothing is asked for that could be a range.
    private func reading(
        _ field: String?, _ condition: String?, _ digest: Digest
    ) -> PullThroughCache.RangeReading? {
        guard let field else { return nil }
        let reading: PullThroughCache.RangeReading = {
            .parse(range: field, ifRange: condition, entityTag: "\"\(digest)\"", size: $0)
        }
        // What is ignored whatever the size is must not cost a question for it.
        return reading(.max) == .whole ? nil : reading
    }

    private func response(
        _ status: HTTPResponse.Status, _ fields: HTTPFields, _ answer: BlobAnswer, _ reader: BlobReader,
        _ range: Range<Int64>, isPiece: Bool, _ repository: Repository, _ lane: Int
    ) throws(Refusal) -> Response {
        let file: OpenFile
        do throws(PullThroughError) {
            file = OpenFile(taking: try reader.openDescriptor())
        } catch {
            throw Refusal(error, answer.status)
        }
        let tally = cache.statistics.tally(of: repository, lane: lane)
        tally.count(answer.status.requestClass, .blob)
        let body = FileBody(file: file, start: range.lowerBound, end: reader.size.map { _ in range.upperBound }) {
            offset, atLeast, waker, call in
            let (available, ending) = reader.view(
                from: offset, atLeast: atLeast, isPiece: isPiece, group: waker.id, execute: waker.execute, orCall: call)
            return FileView(available: available, ending: ending.map(FileView.Ending.init))
        }
        let observer = TrafficObserver(tally: tally, reader: reader, asTheyCame: answer.beganFill)
        return Response(
            status: status, fields: fields, body: .file(body), observer: observer,
            logged: isPiece && reader.isInFlight ? [(key: "verified", value: "false")] : []
        ).timed(.blob, answer.status.requestClass)
    }

    private func fields(of digest: Digest, _ status: CacheStatus) -> HTTPFields {
        [
            .contentType: "application/octet-stream", .contentDigest: "\(digest)", .eTag: "\"\(digest)\"",
            .acceptRanges: "bytes", .cacheStatus: "\(status)",
        ]
    }
}

/// Counts a body's bytes as they go out.
final class TrafficObserver: ResponseObserver {
    private let tally: Tally
    private let reader: BlobReader?
    private let asTheyCame: Bool

    /// - Parameters:
    ///   - reader: held while its bytes go out, so that the fill knows its followers.
    ///   - asTheyCame: the request began the fill whose bytes these are.
    init(tally: Tally, reader: BlobReader? = nil, asTheyCame: Bool = false) {
        self.tally = tally
        self.reader = reader
        self.asTheyCame = asTheyCame
    }

    func sent(_ bytes: Int64) { tally.sent(bytes, asTheyCame: asTheyCame) }
    func ended(_ ending: ResponseEnding) { if ending == .broken { reader?.broke() } }
}

extension FileView.Ending {
    fileprivate init(_ ending: BlobReader.Ending) {
        switch ending {
        case .complete(let size): self = .complete(size: size)
        case .broken: self = .broken
        }
    }
}
