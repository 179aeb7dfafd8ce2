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
    private var series = 0
    /// When it was decided upon, where that is not one with its end: memory's small answers cost one look at the clock.
    private var answeredAt: NIODeadline?
    private var isEndless = false
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
        series = response.series
        switch response.body {
        case .empty, .bytes: if task != nil { answeredAt = .now() }
        case .file: answeredAt = .now()
        case .live: (answeredAt, isEndless) = (.now(), true)
        }
        self.isLast = isLast
        task = nil
    }

    /// So many bytes of the body were handed to the kernel.
    func handed(_ bytes: Int64) {
        sent += bytes
        observer?.sent(bytes)
    }

    /// Once; later calls change nothing.
    func end(_ ending: ResponseEnding, log: (any AccessLog)?, times: RequestTimes) {
        guard !hasEnded else { return }
        hasEnded = true
        task?.cancel()
        task = nil
        arrival.request.body?.end(.failure(.clientLeft))
        observer?.ended(ending)
        // What it holds is not needed any longer, and this may be.
        observer = nil
        let now = NIODeadline.now()
        if isAnswered {
            let (whole, firstByte) = (now - arrival.began, (answeredAt ?? now) - arrival.began)
            times.count(series, whole: isEndless ? nil : whole, firstByte: firstByte)
        }
        if let log, log.isOn { log.write(AccessRecord(self, ending, at: now)) }
    }
}
