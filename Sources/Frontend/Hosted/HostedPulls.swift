// end-2 and end-3 of a hosted repository: distribution-spec v1.1 "Pulling manifests", "Pulling blobs".

import HTTPSemantics
import HTTPServer
import HTTPTypes
import Hosting
import OCI
import PullThrough

struct HostedPulls: Sendable {
    let repositories: HostedRepositories
    let statistics: Statistics

    private static let hit = "\(CacheStatus.hit)"

    // MARK: Manifests

    func manifest(
        _ request: Request, _ reference: Reference, in name: RepositoryName
    ) async throws(HostingError) -> Response {
        let manifest = try await repositories.manifest(reference, in: name, isProbe: request.method == .head)
        return response(to: request, manifest, tally(of: name, request))
    }

    /// Whether a digest is there is asked by pushers, and that is remembered: not here.
    func ready(_ request: Request, _ reference: Reference, _ target: KnownTarget) -> Response? {
        if request.method == .head, case .digest = reference { return nil }
        return repositories.manifestAtOnce(reference, in: target.repository.name)
            .map { response(to: request, $0, target.tally) }
    }

    private func tally(of name: RepositoryName, _ request: Request) -> Tally {
        statistics.tally(of: Repository(hosted: name), lane: request.lane)
    }

    private func response(to request: Request, _ manifest: ManifestContent, _ tally: Tally) -> Response {
        tally.count(.hit, .manifest)
        let entityTag = "\"\(manifest.digest)\""
        let fields: HTTPFields = [
            .contentType: "\(manifest.mediaType)", .contentDigest: "\(manifest.digest)", .eTag: entityTag,
            .cacheStatus: Self.hit,
        ]
        if Validators.ifNoneMatch(request.fields[.ifNoneMatch], entityTag: entityTag) {
            return Response(status: .notModified, fields: fields).timed(.manifest, .hit)  // RFC 9110 §15.4.5
        }
        return Response(
            status: .ok, fields: fields, body: .bytes(manifest.bytes), observer: TrafficObserver(tally: tally)
        ).timed(.manifest, .hit)
    }

    // MARK: Blobs

    func blob(
        _ request: Request, _ digest: Digest, in name: RepositoryName
    ) async throws(HostingError) -> Response {
        let blob = try await repositories.blob(digest, in: name, isProbe: request.method == .head)
        return try response(to: request, blob, tally(of: name, request))
    }

    /// The same of a blob.
    func ready(_ request: Request, _ digest: Digest, _ target: KnownTarget) -> Response? {
        guard request.method == .get, let blob = repositories.blobAtOnce(digest, in: target.repository.name)
        else { return nil }
        // No descriptor is left: who waits may get one.
        return try? response(to: request, blob, target.tally)
    }

    private func response(
        to request: Request, _ blob: HostedRepositories.Blob, _ tally: Tally
    ) throws(HostingError) -> Response {
        let entityTag = "\"\(blob.digest)\""
        var fields: HTTPFields = [
            .contentType: "application/octet-stream", .contentDigest: "\(blob.digest)", .eTag: entityTag,
            .acceptRanges: "bytes", .cacheStatus: Self.hit,
        ]
        let isKnown = Validators.ifNoneMatch(request.fields[.ifNoneMatch], entityTag: entityTag)
        if isKnown || request.method == .head {
            tally.count(.hit, .blob)
            fields[.contentLength] = "\(blob.size)"
            return Response(status: isKnown ? .notModified : .ok, fields: fields).timed(.blob, .hit)
        }
        let asked = RequestedRange.parse(
            range: request.fields[.range], ifRange: request.fields[.ifRange], entityTag: entityTag, size: blob.size,
            refusesInverted: true)
        var (status, range) = (HTTPResponse.Status.ok, 0..<blob.size)
        switch asked {  // RFC 9110 §14.2
        case .whole, .multiple: break
        case .part(let part, _):
            (status, range) = (.partialContent, part)
            fields[.contentRange] = "\(ContentRange(part, size: blob.size))"
        case .unsatisfiable:
            tally.count(.hit, .blob)
            return ErrorMapping.response(
                .rangeNotSatisfiable, .rangeInvalid, "the blob has \(blob.size) bytes, and nothing of that range",
                fields: [.contentRange: ContentRange.unsatisfied(blob.size), .acceptRanges: "bytes"]
            ).timed(.blob, .hit)
        }
        let file = OpenFile(taking: try blob.openDescriptor())
        blob.noteServed(Int64(range.count))
        tally.count(.hit, .blob)
        let body = FileBody(complete: file, start: range.lowerBound, end: range.upperBound, size: blob.size)
        return Response(
            status: status, fields: fields, body: .file(body),
            observer: HostedObserver(counting: TrafficObserver(tally: tally), blob: blob)
        ).timed(.blob, .hit)
    }
}

/// Counts a body's bytes, and has a blob looked at that the disk did not give.
private final class HostedObserver: ResponseObserver {
    private let counting: TrafficObserver
    private let blob: HostedRepositories.Blob

    init(counting: TrafficObserver, blob: HostedRepositories.Blob) {
        self.counting = counting
        self.blob = blob
    }

    func sent(_ bytes: Int64) { counting.sent(bytes) }
    func ended(_ ending: ResponseEnding) { if ending == .broken { blob.broke() } }
}
