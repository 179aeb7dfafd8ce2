// What the store knows, asked and told so that a database that does not answer is no reason to refuse anybody.

import HTTPSemantics
import Logging
import OCI
import Store

extension PullThroughCache {
    /// What is known of it. Where the database does not answer that is nothing, and the upstream is asked.
    func known(_ digest: Digest, in repository: Repository) async -> BlobKnowledge {
        await ServerTiming.measure(.store, uptime) {
            (try? await store.knowledge(of: digest, in: repository)) ?? BlobKnowledge()
        }
    }

    /// Not being able to write a link down is no reason not to serve what may be seen: the store says what is amiss.
    func note(_ digest: Digest, size: Int64?, linkedTo repository: Repository, isNamed: Bool) async {
        do throws(StoreError) {
            try await store.link(digest, size: size, to: repository, isNamed: isNamed)
        } catch {
            logger.debug("a link could not be stored", metadata: ["digest": "\(digest)", "error": "\(error)"])
        }
    }
}

