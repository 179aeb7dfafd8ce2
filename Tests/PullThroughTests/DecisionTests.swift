// The table at the head of Decision.swift as a pure function: its rows, and laws that hold in every case.

import OCI
import Testing

@testable import PullThrough

@Suite("Decision") struct DecisionTests {
    private static let digest = Digest.of([1])
    private static let other = Digest.of([2])
    /// Fresh for 60 s, then 30 s in the background, and stale until 660 s.
    private static let usual = FreshnessPolicy(
        freshFor: .seconds(60), staleWhileRevalidate: .seconds(30), staleIfError: .seconds(600),
        negativeFor: .seconds(10))
    private static let forgetting = usual.with { $0.forgetsAbsent = true }
    private static let immutable = usual.with { $0.isImmutable = true }

    private static func known(_ seconds: Int64?, jitter: Double = 0) -> KnownTag {
        KnownTag(digest: digest, age: seconds.map { $0 * 1000 }, jitter: jitter)
    }

    struct Row: CustomTestStringConvertible, Sendable {
        let known: KnownTag?
        let policy: FreshnessPolicy
        let upstream: Decision.Upstream
        let answer: Decision

        init(_ known: KnownTag?, _ upstream: Decision.Upstream, _ answer: Decision, _ policy: FreshnessPolicy = usual) {
            (self.known, self.policy, self.upstream, self.answer) = (known, policy, upstream, answer)
        }

        var testDescription: String { "\(known?.age.map { "\($0) ms" } ?? "-") \(upstream) \(answer)" }
    }

    private static let rows = [
        Row(known(0), .notAsked(must: false), .serve(digest)),
        Row(known(59), .notAsked(must: false), .serve(digest)),
        Row(known(60), .notAsked(must: false), .serveAndAsk(digest)),
        Row(known(89), .notAsked(must: false), .serveAndAsk(digest)),
        Row(known(90), .notAsked(must: false), .ask),
        Row(known(nil), .notAsked(must: false), .ask),
        Row(known(60), .notAsked(must: false), .ask, usual.with { $0.staleWhileRevalidate = 0 }),
        Row(known(0), .notAsked(must: false), .ask, usual.with { ($0.freshFor, $0.staleWhileRevalidate) = (0, 0) }),
        Row(known(0), .notAsked(must: true), .ask),
        Row(known(1_000_000), .notAsked(must: false), .serve(digest), immutable),
        Row(known(nil), .notAsked(must: false), .serve(digest), immutable),
        Row(known(0), .notAsked(must: true), .serve(digest), immutable),
        // A tenth of jitter leaves 54 s, and no less of what is stale.
        Row(known(53, jitter: 0.1), .notAsked(must: false), .serve(digest)),
        Row(known(54, jitter: 0.1), .notAsked(must: false), .serveAndAsk(digest)),
        Row(known(89, jitter: 0.1), .notAsked(must: false), .serveAndAsk(digest)),
        Row(known(659, jitter: 0.1), .fails, .serveStale(digest)),

        Row(known(100), .names(digest), .serveConfirmed(digest)),
        Row(known(nil), .names(digest), .serveConfirmed(digest)),
        Row(known(1_000_000), .names(digest), .serveConfirmed(digest)),
        Row(known(100), .names(other), .fetch(other)),
        Row(known(659), .fails, .serveStale(digest)),
        Row(known(nil), .fails, .serveStale(digest)),
        Row(known(660), .fails, .refuse),
        Row(known(659), .late, .serveStale(digest)),
        Row(known(660), .late, .wait),
        Row(known(659), .absent, .serveStale(digest)),
        Row(known(660), .absent, .refuse),
        Row(known(10), .absent, .forget(digest), forgetting),
        Row(known(660), .absent, .forget(digest), forgetting),
        Row(known(659), .fails, .serveStale(digest), forgetting),
        Row(known(1_000_000), .nobody, .serve(digest)),

        Row(nil, .notAsked(must: false), .ask),
        Row(nil, .notAsked(must: false), .ask, immutable),
        Row(nil, .notAsked(must: true), .ask),
        Row(nil, .names(digest), .fetch(digest)),
        Row(nil, .absent, .refuse),
        Row(nil, .absent, .refuse, forgetting),
        Row(nil, .fails, .refuse),
        Row(nil, .nobody, .refuse),
        Row(nil, .late, .wait),
    ]

    @Test(arguments: rows) func `each row is answered as the table says`(row: Row) {
        #expect(Decision(known: row.known, policy: row.policy, upstream: row.upstream) == row.answer)
    }

    @Test func `in no case is served what is not stored, or refused what may be served`() {
        let ages: [Int64?] = [nil, 0, 1, 59, 60, 61, 89, 90, 91, 659, 660, 661, 1_000_000]
        let upstreams: [Decision.Upstream] = [
            .notAsked(must: false), .notAsked(must: true), .nobody, .names(Self.digest), .names(Self.other), .absent,
            .fails, .late,
        ]
        var tags: [KnownTag?] = [nil]
        for age in ages { tags += [0, 0.05, 0.0999].map { Self.known(age, jitter: $0) } }
        for policy in [Self.usual, Self.forgetting, Self.immutable] {
            for (tag, upstream) in tags.flatMap({ tag in upstreams.map { (tag, $0) } }) {
                let decision = Decision(known: tag, policy: policy, upstream: upstream)
                switch decision {
                case .serve(let digest), .serveAndAsk(let digest), .serveStale(let digest), .serveConfirmed(let digest),
                    .forget(let digest):
                    #expect(tag?.digest == digest)
                case .fetch(let digest): #expect(upstream == .names(digest) && tag?.digest != digest)
                case .ask: #expect(upstream == .notAsked(must: false) || upstream == .notAsked(must: true))
                case .wait: #expect(upstream == .late)
                case .refuse:
                    #expect(upstream == .absent || upstream == .fails || upstream == .nobody)
                    if let age = tag?.age { #expect(age >= 660_000) } else { #expect(tag == nil) }
                }
            }
        }
    }
}
