// `POST /api/v1/gc`: what hosted repositories no longer reach goes.

import FoundationEssentials
import HTTPServer
import HTTPTypes
package import Hosting

package struct CollectDocument: Codable, Equatable, Sendable {
    /// That no tag led to.
    package let manifests: Int
    /// Taken from a repository none of whose manifests names them.
    package let blobs: Int
    /// Abandoned.
    package let uploads: Int

    package init(_ collected: Collected) {
        (manifests, blobs, uploads) = (collected.manifests, collected.blobs, collected.uploads)
    }
}

struct CollectHandler: Sendable {
    let repositories: HostedRepositories

    func respond() async -> Response {
        do throws(HostingError) {
            let document = CollectDocument(try await repositories.collect())
            let encoder = JSONEncoder()
            encoder.outputFormatting = .sortedKeys
            // Two numbers: there is nothing in it that cannot be encoded.
            let bytes = Array((try? encoder.encode(document)) ?? Data()) + Array("\n".utf8)
            return Response(status: .ok, fields: [.contentType: "application/json"], body: .bytes(bytes))
        } catch {
            return ErrorMapping.response(to: error)
        }
    }
}
