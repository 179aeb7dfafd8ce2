// The header fields of this room, by name.

import HTTPSemantics
import HTTPTypes
import OCI

extension HTTPField.Name {
    static let contentDigest = known(FieldNames.contentDigest)
    static let apiVersion = known(FieldNames.apiVersion)
    static let namespace = known(FieldNames.namespace)
    static let subject = known(FieldNames.subject)
    static let tag = known(FieldNames.tag)
    static let filtersApplied = known(FieldNames.filtersApplied)
    static let chunkMinLength = known(FieldNames.chunkMinLength)
    static let uploadID = known(FieldNames.uploadID)
    static let cacheStatus = known(CacheStatus.fieldName)
    static let proxyStatus = known(ProxyStatus.fieldName)
    static let host = known("Host")
    static let secFetchSite = known("Sec-Fetch-Site")
    static let warning = known("Warning")
    static let link = known("Link")
    static let contentSecurityPolicy = known("Content-Security-Policy")
    static let contentTypeOptions = known("X-Content-Type-Options")
    static let referrerPolicy = known("Referrer-Policy")
    static let via = known("Via")
    static let serverTiming = known(ServerTiming.fieldName)
    static let lastEventID = known("Last-Event-ID")

    /// The names above are tokens, so there is always a name.
    private static func known(_ name: String) -> HTTPField.Name {
        guard let name = HTTPField.Name(name) else { preconditionFailure("\(name) is no field name") }
        return name
    }
}
