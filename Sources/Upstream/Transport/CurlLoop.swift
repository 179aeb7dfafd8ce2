// A thread that touches libcurl: it takes messages, lets the multi handle work, and waits.
import CCurl
import Glibc
import HTTPSemantics
import Synchronization

/// A thread around one multi handle.
///
/// Everything reaches it as a message, resume and cancel too, so its handles are entered by one thread alone and
/// "resumed before the pause was noted" cannot happen: a message is read only after the callback that paused has
/// returned. Waking it costs one write to a socket pair, under 0.5 ms to act.
final class CurlLoop: Sendable {
    enum Message: Sendable {
        case begin(UInt64, TransferRequest, any TransferReceiver)
        case resume(UInt64)
        case cancel(UInt64)
        case stop
    }

    private struct Inbox {
        var messages: [Message] = []
        var isOpen = true
        var hasEnded = false
        var lastID: UInt64 = 0
        var awaitingEnd: [CheckedContinuation<Void, Never>] = []
    }

    /// Whom a connection leads to, and how.
    struct Peer: Hashable, Sendable {
        let origin: UpstreamURL.Origin
        let way: Way
    }

    private let multi: CurlMulti
    private let inbox = Mutex(Inbox())

    /// Nil where a thread, memory or descriptors are short just now.
    init?() {
        guard let multi = CurlMulti() else { return nil }
        self.multi = multi
        var thread = pthread_t()
        let me = Unmanaged.passRetained(self)
        let failure = pthread_create(
            &thread, nil,
            { raw in
                guard let raw else { return nil }
                let loop = Unmanaged<CurlLoop>.fromOpaque(raw).takeRetainedValue()
                ignoreBrokenPipes()
                loop.run()
                return nil
            }, me.toOpaque())
        guard failure == 0 else {
            me.release()
            multi.cleanUp()
            return nil
        }
        pthread_detach(thread)
    }

    /// The number of the transfer, or nil if the loop was stopped.
    func begin(_ request: TransferRequest, _ receiver: any TransferReceiver) -> UInt64? {
        post { inbox in
            inbox.lastID += 1
            inbox.messages.append(.begin(inbox.lastID, request, receiver))
            return inbox.lastID
        }
    }

    func resume(_ id: UInt64) {
        _ = post { $0.messages.append(.resume(id)) }
    }

    func cancel(_ id: UInt64) {
        _ = post { $0.messages.append(.cancel(id)) }
    }

    /// Ends every transfer with `.cancelled`, and the thread. A second call does nothing.
    func close() {
        _ = post { inbox in
            inbox.messages.append(.stop)
            inbox.isOpen = false
        }
    }

    /// Returns when the thread has made its last call.
    func ended() async {
        await withCheckedContinuation { continuation in
            let hasEnded = inbox.withLock { inbox in
                if !inbox.hasEnded { inbox.awaitingEnd.append(continuation) }
                return inbox.hasEnded
            }
            if hasEnded { continuation.resume() }
        }
    }

    /// Wakes the thread under the lock: once `close` has had it, nobody can wake a multi handle that is cleaned up.
    private func post<Answer>(_ change: (inout Inbox) -> Answer) -> Answer? {
        inbox.withLock { inbox in
            guard inbox.isOpen else { return nil }
            let wasEmpty = inbox.messages.isEmpty
            let answer = change(&inbox)
            if wasEmpty { multi.wake() }
            return answer
        }
    }

    // MARK: The thread

    private func run() {
        var transfers: [UInt64: CurlTransfer] = [:]
        // Peers whose shared connection says nothing while more than one transfer waits on it.
        var silent: Set<Peer> = []
        while obey(&transfers, &silent) {
            multi.perform()
            while let (easy, code) = multi.nextEnded() {
                guard let transfer = CurlTransfer.of(easy) else { continue }
                transfers[transfer.id] = nil
                leave(transfer, isGivenUp: code == CURLE_OPERATION_TIMEDOUT, transfers, &silent)
                multi.remove(transfer.easy)
                transfer.ended(code)
            }
            settle(transfers)
        }
        for transfer in transfers.values {
            multi.remove(transfer.easy)
            transfer.cancel()
        }
        transfers = [:]
        multi.cleanUp()
        let awaitingEnd = inbox.withLock { inbox in
            inbox.hasEnded = true
            return inbox.awaitingEnd
        }
        for continuation in awaitingEnd { continuation.resume() }
    }

    /// Does what the messages say; false when one of them says stop.
    private func obey(
        _ transfers: inout [UInt64: CurlTransfer], _ silent: inout Set<Peer>
    ) -> Bool {
        let messages = inbox.withLock { inbox in
            let messages = inbox.messages
            inbox.messages = []
            return messages
        }
        for message in messages {
            switch message {
            case .begin(let id, var request, let receiver):
                let peer = Peer(origin: request.url.origin, way: request.way)
                if silent.contains(peer) { request.version = .http1 }
                if let words = request.way.refusal(ofHost: request.url.origin.host) {
                    receiver.finished(.failed(.destinationIPProhibited, words))
                    continue
                }
                guard let transfer = CurlTransfer(id: id, request: request, receiver: receiver) else {
                    receiver.finished(.failed(.proxyInternalError, "libcurl is out of memory"))
                    continue
                }
                transfers[id] = transfer
                multi.add(transfer.easy)
            case .resume(let id):
                transfers[id]?.resume()
            case .cancel(let id):
                guard let transfer = transfers.removeValue(forKey: id) else { continue }
                leave(transfer, isGivenUp: true, transfers, &silent)
                multi.remove(transfer.easy)
                transfer.cancel()
            case .stop:
                return false
            }
        }
        return true
    }

    /// A transfer is about to leave, having been taken from the table.
    ///
    /// A connection that is shared, as HTTP/2's are, is not closed because one that waits on it gives up; if it is dead
    /// everything that is asked of that peer would die with it. So it is closed with the last that leaves it, and until
    /// then whatever is asked goes over a connection of its own.
    private func leave(
        _ transfer: CurlTransfer, isGivenUp: Bool, _ others: [UInt64: CurlTransfer], _ silent: inout Set<Peer>
    ) {
        let isSilent = isGivenUp && transfer.isSilentOnShared
        if isSilent { transfer.forbidReuse() }
        guard isSilent || silent.contains(transfer.peer) else { return }
        let isLast = !others.values.contains { $0.isSilentOnShared && $0.peer == transfer.peer }
        if isLast { silent.remove(transfer.peer) } else { silent.insert(transfer.peer) }
    }

    /// Lets receivers write what they staged once their upstream pauses for breath, then waits for the network.
    ///
    /// A transfer that moves on at full speed is not settled: its stage fills and is written whole, and small
    /// writes are what costs. The look at the sockets without waiting tells the two apart.
    private func settle(_ transfers: [UInt64: CurlTransfer]) {
        for transfer in transfers.values { transfer.settleIfStill(isQuiet: false) }
        if transfers.values.contains(where: { $0.isUnsettled }) {
            // This look may eat a wakeup, so the inbox is looked at too before the long wait.
            if multi.wait(milliseconds: 0) || inbox.withLock({ !$0.messages.isEmpty }) { return }
            for transfer in transfers.values { transfer.settleIfStill(isQuiet: true) }
        }
        _ = multi.wait(milliseconds: 1000)
    }
}

/// A broken pipe is an error of a write, not the end of the process; OpenSSL writes without `MSG_NOSIGNAL`.
private func ignoreBrokenPipes() {
    var signals = sigset_t()
    sigemptyset(&signals)
    sigaddset(&signals, SIGPIPE)
    pthread_sigmask(SIG_BLOCK, &signals, nil)
}
