// end-3, `GET` or `HEAD /v2/<name>/manifests/<reference>`: distribution-spec v1.1 "Pulling manifests".

import HTTPSemantics
import HTTPServer
import HTTPTypes
import OCI
import PullThrough

struct ManifestHandler: Sendable {
    let cache: PullThroughCache
    let access: Access
    private static let hit = Series.place(.manifest, .hit)

    func respond(to request: Request, _ reference: Reference, in repository: Repository) async -> Response {
        do throws(Refusal) {
            let answer = try await cache.manifest(reference, in: repository, mustAsk: mustAsk(request))
            cache.statistics.count(answer.status.requestClass, .manifest, of: repository)
            return response(to: request, answer, repository).timed(.manifest, answer.status.requestClass)
        } catch {
            cache.statistics.countRefusal(error.requestClass, .manifest, of: repository)
            return ErrorMapping.response(to: error, about: .manifest).timed(.manifest, error.requestClass)
        }
    }

    /// What was in memory.
    func ready(_ request: Request, _ answer: ManifestAnswer, _ repository: Repository) -> Response {
        cache.statistics.tally(of: repository, lane: request.lane).count(answer.status.requestClass, .manifest)
        return response(to: request, answer, repository).timed(.manifest, answer.status.requestClass)
    }

    /// The same, with a head that was made for it before.
    func response(_ answer: ManifestAnswer, _ head: PreparedHead, _ target: KnownTarget) -> Response {
        target.tally.count(.hit, .manifest)
        var response = Response(
            head, age: answer.age, body: .bytes(answer.content.bytes), observer: target.observer)
        response.series = Self.hit
        return response
    }

    /// RFC 9111 §5.2.1.4, for who holds the admin token: at everybody's word it would be a way to spend what an
    /// upstream lets us pull.
    private func mustAsk(_ request: Request) -> Bool {
        let directives = request.fields[values: .cacheControl].flatMap {
            $0.split { $0 == "," || $0 == " " || $0 == "\t" }
        }
        return directives.contains { $0.lowercased() == "no-cache" } && access.isAdmin(request)
    }

    /// What the client's `Accept` says plays no part: the bytes are the upstream's, whatever their type.
    private func response(to request: Request, _ answer: ManifestAnswer, _ repository: Repository) -> Response {
        let content = answer.content
        let entityTag = "\"\(content.digest)\""
        var fields: HTTPFields = [
            .contentType: "\(content.mediaType)", .contentDigest: "\(content.digest)", .eTag: entityTag,
            .cacheStatus: "\(answer.status)", .age: "\(answer.age)",
        ]
        if let staleness = answer.staleness {
            fields[.warning] = "299 - \"served stale: \(quotable(staleness))\""
        }
        if let failure = answer.failure, let error = failure.proxyError {
            fields[.proxyStatus] = "\(ProxyStatus(error, failure))"
        }
        if Validators.ifNoneMatch(request.fields[.ifNoneMatch], entityTag: entityTag) {
            return Response(status: .notModified, fields: fields)  // RFC 9110 §15.4.5
        }
        // Counted like a blob's; a manifest just fetched goes out as it came.
        let observer = TrafficObserver(
            tally: cache.statistics.tally(of: repository, lane: request.lane),
            asTheyCame: answer.status.requestClass == .miss)
        return Response(status: .ok, fields: fields, body: .bytes(content.bytes), observer: observer)
    }

    /// Inside the quoted text of a `Warning`: distribution-spec v1.1 "Warnings" allows 4096 bytes and no quotes of
    /// its own.
    private func quotable(_ text: String) -> String {
        let plain = text.unicodeScalars.map { scalar -> Character in
            scalar.isASCII && scalar.value >= 0x20 && scalar.value != 0x7F && scalar != "\"" && scalar != "\\"
                ? Character(scalar) : "'"
        }
        return String(plain.prefix(1024))
    }
}
