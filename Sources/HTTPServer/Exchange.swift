// One request and what became of it: who is told, and what the access log says.
import HTTPTypes
import NIOCore

/// Lives from the moment a request's turn has come until its response has ended. Confined to its event loop.
final class Exchange {
    let arrival: Arrival
    let lane: Int
    /// The task that waits for the response; `nil` if memory answered.
    var task: Task<Void, Never>?
    /// No other request is served on the connection after this one; the response says so.
    private(set) var isLast = false
    private(set) var response: Response?
    private(set) var sent: Int64 = 0
    private var hasEnded = false

    init(_ arrival: Arrival, lane: Int) {
        self.arrival = arrival
        self.lane = lane
    }

    /// The response has been decided upon. Its body is kept by whoever sends it, not here.
    func answered(by response: Response, isLast: Bool) {
        self.response = response
        self.response?.body = .empty
        self.isLast = isLast
        task = nil
    }

    /// So many bytes of the body were handed to the kernel.
    func handed(_ bytes: Int64) {
        sent += bytes
        response?.observer?.sent(bytes)
    }

    /// Once; later calls change nothing.
    func end(_ ending: ResponseEnding, log: (any AccessLog)?) {
        guard !hasEnded else { return }
        hasEnded = true
        task?.cancel()
        task = nil
        response?.observer?.ended(ending)
        if let log, log.isOn { log.write(AccessRecord(self, ending, at: .now())) }
    }
}
