// `POST /api/v1/scrub`: everything that is stored is checked, and what is found is told as it is found, a line each.

import HTTPServer
import HTTPTypes
import OCI
package import PullThrough

/// One line of the answer, which is one JSON object: a finding, what became of its repair, or the end.
package struct ScrubLine: Codable, Equatable, Sendable {
    package struct Summary: Codable, Equatable, Sendable {
        package let blobs: Int
        package let bytes: Int64
        package let damaged, missing, unreadable, repaired, unrepaired: Int
    }

    package var digest: String?
    /// Of a finding: damaged, missing or unreadable.
    package var kind: String?
    /// Of a finding: bytes.
    package var size: Int64?
    /// Whether the digest could be fetched again.
    package var repaired: Bool?
    /// The repository that gave it.
    package var from: String?
    /// Why it could not be fetched again; without a digest: why the scrub ended early.
    package var error: String?
    /// Of the last line: all was checked.
    package var summary: Summary?
}

extension ScrubLine {
    package init(_ event: ScrubEvent) {
        switch event {
        case .found(let digest, let kind, let size): self.init(digest: "\(digest)", kind: kind, size: size)
        case .repaired(let digest, let repository):
            self.init(digest: "\(digest)", repaired: true, from: "\(repository)")
        case .unrepaired(let digest, let error):
            self.init(digest: "\(digest)", repaired: false, error: error.message)
        }
    }

    package init(error: String) { self.init(digest: nil, error: error) }

    package init(_ totals: ScrubTotals) {
        self.init(
            summary: Summary(
                blobs: totals.blobs, bytes: totals.bytes, damaged: totals.damaged, missing: totals.missing,
                unreadable: totals.unreadable, repaired: totals.repaired, unrepaired: totals.unrepaired))
    }
}

struct ScrubHandler: Sendable {
    let cache: PullThroughCache

    /// An empty line, which readers skip: so that one that left is noticed though nothing be found.
    private static let heartbeat = LiveBody.Heartbeat(Array("\n".utf8), every: .seconds(15))

    /// With `repair=true` what is found is fetched again. The scrub ends with its reader.
    func respond(to request: Request) -> Response {
        let repair = request.queryValue("repair") ?? "false"
        guard let isRepairing = Bool(repair) else {
            return ErrorMapping.response(.badRequest, .unsupported, "repair must be true or false")
        }
        let body = LiveBody(heartbeat: Self.heartbeat) { [cache] writer in
            let task = Task {
                do throws(PullThroughError) {
                    let totals = try await cache.scrub(isRepairing: isRepairing) {
                        writer.write(JSONAnswer.line(ScrubLine($0)))
                        // A reader that is slow makes it slow.
                        await writer.caughtUp()
                    }
                    // What was cancelled has not seen all; its reader is gone.
                    if !Task.isCancelled { writer.write(JSONAnswer.line(ScrubLine(totals))) }
                } catch {
                    writer.write(JSONAnswer.line(ScrubLine(error: error.message)))
                }
                writer.end()
            }
            writer.onClose { task.cancel() }
        }
        return Response(
            status: .ok, fields: [.contentType: "application/x-ndjson", .cacheControl: "no-store"], body: .live(body))
    }
}
