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
    /// Confirms that a referrers list was filtered: end-12b.
    package static let filtersApplied = "OCI-Filters-Applied"
}
