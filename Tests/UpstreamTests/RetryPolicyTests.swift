// How long is waited before an upstream is asked again.
import Testing

@testable import Upstream

@Suite("RetryPolicy") struct RetryPolicyTests {
    private let policy = RetryPolicy()

    @Test(arguments: [
        (1, 0, 100), (2, 100, 200), (3, 200, 400), (4, 400, 800), (5, 800, 1600), (6, 1600, 3200), (7, 2500, 5000),
        (8, 2500, 5000), (Int.max, 2500, 5000), (0, 0, 100), (Int.min, 0, 100),
    ])
    func `the wait doubles up to 5 s, jittered over its upper half`(_ attempt: Int, _ least: Int, _ most: Int) {
        #expect(policy.delay(attempt: attempt, retryAfter: nil, jitter: 0) == .milliseconds(least))
        #expect(policy.delay(attempt: attempt, retryAfter: nil, jitter: 0.5) == .milliseconds((least + most) / 2))
        #expect(policy.delay(attempt: attempt, retryAfter: nil, jitter: 0.999_999) < .milliseconds(most))
    }

    @Test func `Retry-After is obeyed up to 30 s, and shortens nothing`() {
        #expect(policy.delay(attempt: 1, retryAfter: .seconds(7), jitter: 0.5) == .seconds(7))
        #expect(policy.delay(attempt: 1, retryAfter: .seconds(3600), jitter: 0.5) == .seconds(30))
        #expect(policy.delay(attempt: 7, retryAfter: .seconds(1), jitter: 0) == .milliseconds(2500))
        #expect(policy.delay(attempt: 2, retryAfter: .seconds(-5), jitter: 0) == .milliseconds(100))
    }
}
