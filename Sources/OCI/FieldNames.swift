// The header fields that the distribution API adds to HTTP's own.

package enum FieldNames {
    /// The digest of what is answered. An upstream's is a hint, never a proof.
    package static let contentDigest = "Docker-Content-Digest"
    /// Always `registry/2.0`; old clients take a server without it for no registry.
    package static let apiVersion = "Docker-Distribution-Api-Version"
    /// Which upstream a `?ns=` was understood as: distribution-spec v1.1 "Registry Proxying".
    package static let namespace = "OCI-Namespace"
    /// Confirms to a pusher that the manifest's subject was understood: end-7.
    package static let subject = "OCI-Subject"
    /// Confirms to a pusher by digest that a tag names the manifest: each tag, or a list of them.
    package static let tag = "OCI-Tag"
    /// Bytes that a chunk must have at the least, the last one aside: end-4.
    package static let chunkMinLength = "OCI-Chunk-Min-Length"
    /// The name of an upload, as Docker's registry tells it.
    package static let uploadID = "Docker-Upload-UUID"
    /// Confirms that a referrers list was filtered: end-12b.
    package static let filtersApplied = "OCI-Filters-Applied"
}
