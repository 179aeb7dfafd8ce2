// How our credentials stand with an upstream: accepted, or refused a moment ago. A value without a clock.

/// Remembers a no for a moment, so that not every request of every client asks the same again.
///
/// | the service says | to credentials it has accepted | to others |
/// |---|---|---|
/// | 401, or OAuth2's `invalid_grant` | refused, for that scope | refused, for everything |
/// | 403 | **denied**: they are good, but not for that | refused, for that scope |
///
/// Whoever may name repositories here could otherwise have the credentials doubted for all others: some services
/// answer 403 both to a wrong password and to a repository that one may not see.
struct Standing: Sendable {
    static let memory = Duration.seconds(10)
    static let silence = Duration.seconds(600)
    /// Beyond so many, the forgotten ones are dropped.
    private static let tidyAbove = 256

    private struct Refusal {
        let revision: Int
        let error: UpstreamError
        let end: Duration
    }

    /// By scope; nil: whatever the scope.
    private var refusals: [String?: Refusal] = [:]
    private var acceptedRevision: Int?
    private var told: (revision: Int, end: Duration)?

    /// - Parameter revision: of the credentials that were shown, here and below.
    mutating func accepted(_ revision: Int) {
        acceptedRevision = revision
        refusals[nil] = nil
    }

    /// What a no means.
    ///
    /// - Parameters:
    ///   - isForbidden: 403.
    ///   - error: `.credentialsRefused`.
    /// - Returns: nil where it says nothing about the credentials.
    mutating func refused(
        _ revision: Int, isForbidden: Bool, scope: String, _ error: UpstreamError, at now: Duration
    ) -> UpstreamError? {
        let isKnownGood = acceptedRevision == revision
        if isKnownGood, isForbidden { return nil }
        if refusals.count >= Self.tidyAbove { refusals = refusals.filter { now < $0.value.end } }
        refusals[isKnownGood || isForbidden ? scope : nil] = Refusal(
            revision: revision, error: error, end: now + Self.memory)
        return error
    }

    /// What those credentials were told for that scope not long ago, if it was no.
    func refusal(of revision: Int, scope: String, at now: Duration) -> UpstreamError? {
        for refusal in [refusals[nil], refusals[scope]] {
            if let refusal, refusal.revision == revision, now < refusal.end { return refusal.error }
        }
        return nil
    }

    /// Whether people are to be told: once in ten minutes, unless the credentials are others.
    mutating func shouldTell(_ revision: Int, at now: Duration) -> Bool {
        if let told, told.revision == revision, now < told.end { return false }
        told = (revision, now + Self.silence)
        return true
    }
}
