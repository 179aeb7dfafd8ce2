// One request and what became of it: who is told, and what the access log says.
import HTTPTypes
import NIOCore

/// Lives from the moment a request's turn has come until its response has ended. Confined to its event loop.
final class Exchange {
    let arrival: Arrival
    /// The task that waits for the response; `nil` if memory answered.
    var task: Task<Void, Never>?
    /// No other request is served on the connection after this one; the response says so.
    private(set) var isLast = false
    /// Of the response; `nil` as long as there is none.
    private(set) var status: Int?
    private(set) var cacheStatus: String?
    private(set) var logged: [(key: String, value: String)] = []
    private(set) var sent: Int64 = 0
    private var observer: (any ResponseObserver)?
    private var hasEnded = false

    init(_ arrival: Arrival) {
        self.arrival = arrival
    }

    var isAnswered: Bool { status != nil }

    /// The response has been decided upon. Its head and body are for who sends it.
    func answered(by response: Response, isLast: Bool) {
        status = response.status.code
        cacheStatus = response.cacheStatus
        logged = response.logged
        observer = response.observer
        self.isLast = isLast
        task = nil
    }

    /// So many bytes of the body were handed to the kernel.
    func handed(_ bytes: Int64) {
        sent += bytes
        observer?.sent(bytes)
    }

    /// Once; later calls change nothing.
    func end(_ ending: ResponseEnding, log: (any AccessLog)?) {
        guard !hasEnded else { return }
        hasEnded = true
        task?.cancel()
        task = nil
        arrival.request.body?.end(.failure(.clientLeft))
        observer?.ended(ending)
        // What it holds is not needed any longer, and this may be.
        observer = nil
        if let log, log.isOn { log.write(AccessRecord(self, ending, at: .now())) }
    }
}
