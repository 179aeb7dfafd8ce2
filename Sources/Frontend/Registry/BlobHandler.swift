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
                ? try await facts(isKnown ? .notModified : .ok, digest, in: repository)
                : try await get(request, digest, in: repository)
        } catch {
            cache.statistics.count(error.requestClass, of: repository)
            return ErrorMapping.response(to: error, about: .blob)
        }
    }

    /// An answer without a body.
    private func facts(
        _ status: HTTPResponse.Status, _ digest: Digest, in repository: Repository
    ) async throws(Refusal) -> Response {
        let (size, cacheStatus) = try await cache.blobFacts(digest, in: repository)
        cache.statistics.count(cacheStatus.requestClass, of: repository)
        var fields = fields(of: digest, cacheStatus)
        if let size { fields[.contentLength] = "\(size)" }
        return Response(status: status, fields: fields)
    }

    private func get(
        _ request: Request, _ digest: Digest, in repository: Repository
    ) async throws(Refusal) -> Response {
        let answer = try await cache.blob(digest, in: repository)
        var fields = fields(of: digest, answer.status)
        let requested: RequestedRange =
            answer.reader.size.map {
                .parse(
                    range: request.fields[.range], ifRange: request.fields[.ifRange], entityTag: "\"\(digest)\"",
                    size: $0)
            } ?? .whole
        switch requested {  // RFC 9110 §14.2, §13.1.5
        case .whole, .multiple:
            return try response(.ok, fields, answer, 0..<(answer.reader.size ?? .max), isPiece: false, repository)
        case .part(let range, let isOpenEnded):
            fields[.contentRange] = "\(ContentRange(range, size: answer.reader.size))"
            return try response(.partialContent, fields, answer, range, isPiece: !isOpenEnded, repository)
        case .unsatisfiable:
            cache.statistics.count(answer.status.requestClass, of: repository)
            fields[.contentRange] = ContentRange.unsatisfied(answer.reader.size ?? 0)
            return Response(status: .rangeNotSatisfiable, fields: fields)
        }
    }

    private func response(
        _ status: HTTPResponse.Status, _ fields: HTTPFields, _ answer: BlobAnswer, _ range: Range<Int64>,
        isPiece: Bool, _ repository: Repository
    ) throws(Refusal) -> Response {
        let reader = answer.reader
        let file: OpenFile
        do throws(PullThroughError) {
            file = OpenFile(taking: try reader.openDescriptor())
        } catch {
            throw Refusal(error, answer.status)
        }
        cache.statistics.count(answer.status.requestClass, of: repository)
        let body = FileBody(file: file, start: range.lowerBound, end: reader.size.map { _ in range.upperBound }) {
            offset, atLeast, waker, call in
            let (available, ending) = reader.view(
                atLeast: atLeast, isPiece: isPiece, group: waker.id, execute: waker.execute, orCall: call)
            return FileView(available: available, ending: ending.map(FileView.Ending.init))
        }
        let observer = TrafficObserver(
            statistics: cache.statistics, repository: repository, asTheyCame: answer.beganFill, reader: reader)
        return Response(
            status: status, fields: fields, body: .file(body), observer: observer,
            logged: isPiece && reader.isInFlight ? [(key: "verified", value: "false")] : [])
    }

    private func fields(of digest: Digest, _ status: CacheStatus) -> HTTPFields {
        [
            .contentType: "application/octet-stream", .contentDigest: "\(digest)", .eTag: "\"\(digest)\"",
            .acceptRanges: "bytes", .cacheStatus: "\(status)",
        ]
    }
}

/// Counts a body's bytes as they go out.
struct TrafficObserver: ResponseObserver {
    let statistics: Statistics
    let repository: Repository
    /// The request began the fill whose bytes these are.
    let asTheyCame: Bool
    /// Held while its bytes go out, so that the fill knows its followers.
    let reader: BlobReader?

    func sent(_ bytes: Int64) { statistics.sent(bytes, of: repository, asTheyCame: asTheyCame) }
    func ended(_ ending: ResponseEnding) {}
}

extension FileView.Ending {
    fileprivate init(_ ending: BlobReader.Ending) {
        switch ending {
        case .complete(let size): self = .complete(size: size)
        case .broken: self = .broken
        }
    }
}
