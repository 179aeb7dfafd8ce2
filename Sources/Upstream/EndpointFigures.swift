// What one endpoint was asked and what came of it: the figures of `/stats`, and whether it goes last.
import Synchronization

/// The figures of one endpoint since the start of the program.
package struct EndpointFigures: Equatable, Sendable {
    package let url: String
    /// Whether the last request that could tell was answered.
    package var isHealthy = true
    /// Requests sent to the endpoint itself: not those to token services and redirects' targets.
    package var requests: Int64 = 0
    package var errors: Int64 = 0
    /// Body bytes of blobs and manifests, from wherever the endpoint led.
    package var bytes: Int64 = 0
    package var lastError: String?
    package var rateLimit: RateLimit?

    package init(url: String) { self.url = url }
}

/// Keeps the figures of one endpoint.
final class EndpointLedger: Sendable {
    /// For so long a failed endpoint is asked after the others.
    static let markDuration = Duration.seconds(30)

    private struct State {
        var figures: EndpointFigures
        var failedAt: Duration?
        /// By whoever looked into what it sent: an answer does not clear it.
        var distrustedAt: Duration?
    }

    private let state: Mutex<State>
    private let uptime: @Sendable () -> Duration

    /// - Parameter uptime: time since some fixed instant, by the clock seam.
    init(url: String, uptime: @escaping @Sendable () -> Duration) {
        state = Mutex(State(figures: EndpointFigures(url: url)))
        self.uptime = uptime
    }

    var figures: EndpointFigures { state.withLock { $0.figures } }

    /// Whether it failed, or lied, of late. A mark puts an endpoint last; it excludes none.
    var isMarked: Bool {
        let now = uptime()
        return state.withLock { state in
            [state.failedAt, state.distrustedAt].contains { $0.map { now - $0 < Self.markDuration } ?? false }
        }
    }

    func requested() { state.withLock { $0.figures.requests += 1 } }

    func received(_ bytes: Int) { state.withLock { $0.figures.bytes += Int64(bytes) } }

    func saw(_ limit: RateLimit) { state.withLock { $0.figures.rateLimit = limit } }

    /// The endpoint answered, be it with an honest no.
    func answered() {
        state.withLock { state in
            state.figures.isHealthy = true
            state.failedAt = nil
        }
    }

    /// Counts what was the endpoint's fault. A rate limit, or a 4xx, is an error of an endpoint that lives.
    func failed(_ error: UpstreamError) {
        guard error != .cancelled else { return }
        guard error.isEndpointError else { return answered() }
        let now = uptime()
        state.withLock { state in
            state.figures.errors += 1
            state.figures.lastError = "\(error)"
            guard error.isOutage else { return }
            state.figures.isHealthy = false
            state.failedAt = now
        }
    }
    /// Counts what only the reader of its bytes could find, and marks it, however well it answers meanwhile.
    func distrusted(_ error: UpstreamError) {
        let now = uptime()
        state.withLock { state in
            state.figures.errors += 1
            state.figures.lastError = "\(error)"
            state.distrustedAt = now
        }
    }
}
