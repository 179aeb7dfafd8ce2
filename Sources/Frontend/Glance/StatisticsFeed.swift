// The figures while they change: made once a second for all who listen, and not at all while nobody does.

import HTTPServer
import Synchronization

/// A listener that has not taken the last document yet misses those that come meanwhile, and gets the newest then.
final class StatisticsFeed: Sendable {
    private static let interval = Duration.seconds(1)
    /// Documents: so many are left out while they say nothing new.
    private static let longestSilence = 15

    /// One document.
    struct Edition: Sendable {
        let text: [UInt8]
        /// The same without what changes by itself.
        let timeless: [UInt8]

        init(text: [UInt8], timeless: [UInt8]) {
            self.text = text
            self.timeless = timeless
        }

        init(_ document: StatisticsDocument) {
            text = JSONAnswer.text(of: document)
            var document = document
            document.uptimeSeconds = 0
            timeless = JSONAnswer.text(of: document)
        }
    }

    private struct Listener {
        let writer: LiveWriter
        /// The edition that he was told last, and in which second.
        var told: (edition: Int, second: Int)?
    }

    private struct State {
        var listeners: [Int: Listener] = [:]
        var lastListener = 0
        /// There is a task that makes documents: as long as there are listeners, and a second longer at most.
        var isRunning = false
        /// Counted while it runs.
        var second = 0
        /// Goes on by one when the figures say something new.
        var edition = 0
        /// What the last document said, but for what changes by itself.
        var said: [UInt8] = []
        /// The last one, as an event; empty before the first.
        var event: [UInt8] = []
    }

    /// Whether documents are being made.
    var isRunning: Bool { state.withLock { $0.isRunning } }

    private let state = Mutex(State())
    private let clock: any Clock<Duration>
    private let make: @Sendable () async -> Edition

    /// - Parameter make: called once a second while somebody listens.
    init(clock: any Clock<Duration>, make: @escaping @Sendable () async -> Edition) {
        self.clock = clock
        self.make = make
    }

    /// The figures go to this writer, now and as they change.
    ///
    /// - Returns: what `leave` takes, once the body is over.
    func join(_ writer: LiveWriter) -> Int {
        let (number, isFirst) = state.withLock { state in
            state.lastListener += 1
            state.listeners[state.lastListener] = Listener(writer: writer)
            let isFirst = !state.isRunning
            state.isRunning = true
            // Less than a second old; without one, it is being made.
            if !isFirst, !state.event.isEmpty { Self.tell(state.lastListener, &state) }
            return (state.lastListener, isFirst)
        }
        if isFirst { Task { await run() } }
        return number
    }

    func leave(_ number: Int) {
        // What the writer holds goes after the lock.
        _ = state.withLock { $0.listeners.removeValue(forKey: number) }
    }

    private func run() async {
        while goesOn() {
            let made = await make()
            let event = Array("event: stats\ndata: ".utf8) + made.text + Array("\n\n".utf8)
            state.withLock { state in
                state.second += 1
                if made.timeless != state.said { state.edition += 1 }
                (state.said, state.event) = (made.timeless, event)
                for number in Array(state.listeners.keys) { Self.tell(number, &state) }
            }
            // Nobody cancels it.
            do { try await clock.sleep(for: Self.interval) } catch { return }
        }
    }

    private func goesOn() -> Bool {
        state.withLock { state in
            guard state.listeners.isEmpty else { return true }
            state = State(lastListener: state.lastListener)
            return false
        }
    }

    /// Tells him what is newest, if it is new to him or he has heard nothing for long. Under the lock, so that nobody
    /// is told something older after it: writing waits for nothing.
    private static func tell(_ number: Int, _ state: inout State) {
        guard let listener = state.listeners[number], listener.writer.isIdle else { return }
        if let told = listener.told, told.edition == state.edition, state.second - told.second < longestSilence {
            return
        }
        listener.writer.write(state.event)
        state.listeners[number]?.told = (state.edition, state.second)
    }
}
