// What a request asks for, found out once for all that have the same head, and the head of its answer.

import HTTPServer
import HTTPTypes
import OCI
import PullThrough
import Synchronization

/// What a request's target names, as one edition of the upstreams has it. Kept as the request's `finding`.
final class KnownTarget: Sendable {
    let endpoint: Endpoint
    let repository: Repository
    let isHosted: Bool
    /// As the access log says it.
    let repositoryText: String
    /// Where it is counted, and who counts the bytes of a hit.
    let tally: Tally
    let observer: TrafficObserver
    let isNamespaced: Bool
    /// Whoever asks has something already, and may be told that it is still the same.
    let isConditional: Bool
    let edition: Int
    /// Of a manifest that was a hit: what may be said again.
    let hit: (standing: StandingManifest, head: PreparedHead)?
    /// When its use was last told, Unix milliseconds.
    let lastUse = Atomic<Int64>(0)

    /// Bytes of a manifest beyond which its answer is made anew each time, since it would be held on to here.
    private static let largest = 16 << 10

    init(
        _ endpoint: Endpoint, _ repository: Repository, tally: Tally, isNamespaced: Bool, isConditional: Bool,
        edition: Int, hit: (standing: StandingManifest, head: PreparedHead)? = nil
    ) {
        self.endpoint = endpoint
        self.repository = repository
        isHosted = repository.isHosted
        repositoryText = "\(repository)"
        self.tally = tally
        observer = TrafficObserver(tally: tally)
        self.isNamespaced = isNamespaced
        self.isConditional = isConditional
        self.edition = edition
        self.hit = hit
    }

    func mayBeSaid(_ standing: StandingManifest) -> Bool {
        !isConditional && standing.content.bytes.count <= Self.largest
    }

    /// - Parameter response: all of it but its age is the same the next time.
    func with(_ standing: StandingManifest, _ response: Response) -> KnownTarget {
        var response = response
        response.fields[.age] = nil
        return KnownTarget(
            endpoint, repository, tally: tally, isNamespaced: isNamespaced, isConditional: isConditional,
            edition: edition, hit: (standing, PreparedHead(response)))
    }
}
