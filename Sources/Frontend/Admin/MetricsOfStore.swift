// Metrics of the disk: what is stored, what there is room for, what had to go, and what is amiss.

import PullThrough

extension MetricsText {
    mutating func storage(_ figures: Figures) {
        let stored = figures.storage
        family("wharf_storage_bytes", .gauge, "Bytes on the disk, all together.", stored.used)
        family("wharf_storage_limit_bytes", .gauge, "Bytes that may be stored.", stored.limit)
        family("wharf_storage_free_bytes", .gauge, "Bytes that the file system has left.", stored.free)
        family("wharf_storage_pinned_bytes", .gauge, "Bytes of what is pinned, never evicted.", stored.pinned)
        family("wharf_storage_hosted_bytes", .gauge, "Bytes of what was pushed here.", stored.hosted)
        family(
            "wharf_storage_partial_bytes", .gauge, "Bytes of transfers under way, and of those kept to go on with.",
            stored.partial)
        family("wharf_storage_blobs", .gauge, "Blobs stored, manifests aside.", Int64(stored.blobs))
        family("wharf_storage_manifests", .gauge, "Manifests stored.", Int64(stored.manifests))
        family("wharf_storage_tags", .gauge, "Tags known.", Int64(stored.tags))
        family("wharf_evicted_blobs_total", .counter, "Blobs removed to make room.", stored.evictedBlobs)
        family("wharf_evicted_bytes_total", .counter, "Bytes of blobs removed to make room.", stored.evictedBytes)
        family(
            "wharf_quarantined_blobs", .gauge, "Files kept that did not match their digest.", Int64(stored.quarantined))
        family(
            "wharf_quarantines_total", .counter, "Times that bytes did not match their digest and were put aside.",
            stored.quarantines)
        family(
            "wharf_amiss", .gauge,
            "1 while something is amiss: no room, the disk, the metadata, hosted content unread, files being adopted.",
            figures.amiss.map { (["what": $0.what], $0.isAmiss ? 1 : 0) })
    }
}
