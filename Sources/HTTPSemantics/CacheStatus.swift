// How the cache answered a request (RFC 9211): the one value behind the field, the access line and the figures.

/// The class in which the figures count a request; each request is in exactly one.
package enum RequestClass: String, Sendable, CaseIterable {
    /// No upstream was asked.
    case hit
    /// Asked and fetched, or an honest 404.
    case miss
    /// Joined another request's forward.
    case collapsed
    /// Asked, and what is stored is still what the tag means.
    case revalidated
    /// Served although no longer fresh, since the upstream did not help.
    case stale
    /// Our own 4xx and 5xx, and the 404s made of failures. A matter of the status; no `CacheStatus` has this class.
    case error
}

/// `wharf; hit` or `wharf; fwd=miss; fwd-status=200; stored`: RFC 9211 §2.
package struct CacheStatus: Hashable, Sendable {
    /// Why an upstream was asked: RFC 9211 §2.2.
    package enum Forward: String, Sendable, CaseIterable {
        case miss
        case uriMiss = "uri-miss"
        case stale
        case request
        case bypass
        case partial
    }

    package static let fieldName = "Cache-Status"
    /// This cache's name in the field.
    package static let cacheName = "wharf"
    package static let hit = CacheStatus()

    /// `nil`: a hit.
    package var forward: Forward?
    /// The status of the upstream's answer, where there was one.
    package var forwardStatus: Int?
    package var isStored: Bool
    package var isCollapsed: Bool
    /// The upstream confirmed what is stored: by 304, by naming the same digest, or by having it too. Not in the field.
    package var isUnchanged: Bool
    /// What is served is past its freshness and was not confirmed. Not in the field.
    package var isStale: Bool
    /// Seconds of freshness left; negative when stale.
    package var ttl: Int?
    package var detail: String?

    package init(
        forward: Forward? = nil, forwardStatus: Int? = nil, isStored: Bool = false, isCollapsed: Bool = false,
        isUnchanged: Bool = false, isStale: Bool = false, ttl: Int? = nil, detail: String? = nil
    ) {
        self.forward = forward
        self.forwardStatus = forwardStatus
        self.isStored = isStored
        self.isCollapsed = isCollapsed
        self.isUnchanged = isUnchanged
        self.isStale = isStale
        self.ttl = ttl
        self.detail = detail
    }

    package var requestClass: RequestClass {
        if isStale { return .stale }
        guard let forward else { return .hit }
        if isCollapsed { return .collapsed }
        return isUnchanged || (forward == .stale && forwardStatus == 304) ? .revalidated : .miss
    }
}

extension CacheStatus: CustomStringConvertible {
    /// The field's value.
    package var description: String {
        var text = Self.cacheName
        if let forward {
            text += "; fwd=\(forward.rawValue)"
            if let forwardStatus { text += "; fwd-status=\(forwardStatus)" }
            if isStored { text += "; stored" }
            if isCollapsed { text += "; collapsed" }
        } else {
            text += "; hit"
        }
        if let ttl { text += "; ttl=\(ttl)" }
        if let detail { text += "; detail=\(StructuredField.tokenOrString(detail))" }
        return text
    }
}
