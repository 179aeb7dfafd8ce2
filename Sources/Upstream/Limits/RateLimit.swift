// What an upstream says of how much may still be asked of it.
import HTTPTypes

/// Docker Hub's `RateLimit-Limit: 100;w=21600`, `RateLimit-Remaining: 76;w=21600`, `Docker-RateLimit-Source: …`, on
/// GET and HEAD of manifests. Their absence means no limit for that image or account.
package struct RateLimit: Equatable, Sendable, Codable {
    /// Pulls in a window.
    package var limit: Int?
    package var remaining: Int?
    /// The window's length; it is no time of reset.
    package var windowSeconds: Int?
    /// The address, or the account, that the pulls are counted for.
    package var source: String?

    package init(limit: Int?, remaining: Int?, windowSeconds: Int?, source: String?) {
        self.limit = limit
        self.remaining = remaining
        self.windowSeconds = windowSeconds
        self.source = source
    }

    /// Nil unless one of the two numbers is told.
    init?(_ fields: HTTPFields) {
        let (limit, window) = Self.parsed(fields[.rateLimitLimit])
        let (remaining, otherWindow) = Self.parsed(fields[.rateLimitRemaining])
        guard limit != nil || remaining != nil else { return nil }
        self.init(
            limit: limit, remaining: remaining, windowSeconds: window ?? otherWindow,
            source: fields[.rateLimitSource].map { String($0.prefix(64)) })
    }

    private static func parsed(_ field: String?) -> (number: Int?, window: Int?) {
        let parts = (field ?? "").split { $0 == ";" || $0 == " " }
        guard let number = parts.first.flatMap({ Int($0) }), number >= 0 else { return (nil, nil) }
        let window = parts.dropFirst().first { $0.hasPrefix("w=") }.flatMap { Int($0.dropFirst(2)) }
        return (number, window)
    }
}

extension HTTPField.Name {
    fileprivate static let rateLimitLimit = named("RateLimit-Limit")
    fileprivate static let rateLimitRemaining = named("RateLimit-Remaining")
    fileprivate static let rateLimitSource = named("Docker-RateLimit-Source")

    private static func named(_ name: String) -> HTTPField.Name {
        guard let name = HTTPField.Name(name) else { preconditionFailure("\(name) is no field name") }
        return name
    }
}
