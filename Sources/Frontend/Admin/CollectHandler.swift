// `POST /api/v1/gc`: what hosted repositories no longer reach goes.

import HTTPServer
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
            return .json(CollectDocument(try await repositories.collect()))
        } catch {
            return ErrorMapping.response(to: error)
        }
    }
}
