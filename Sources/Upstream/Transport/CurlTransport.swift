// The transport of the program: libcurl, on a thread for each rule about addresses.
import HTTPSemantics
import ServiceLifecycle
import Synchronization

/// `Transport` over libcurl.
///
/// Addresses are judged when a connection is made, and a connection that is kept may serve another request. So
/// connections are never shared between rules: each rule has a multi handle and a thread, made when it is first
/// needed. There are few rules, since they are sets of a handful of address classes.
///
/// As a service it has nothing to do but to end: on graceful shutdown, or when cancelled, every transfer still
/// running ends with `.cancelled`. It stops within milliseconds.
package final class CurlTransport: Transport, Service {
    private struct Loops {
        var byRule: [AddressRule: CurlLoop] = [:]
        var isOpen = true

        /// Nil once stopped, and where none can be made just now: the next request tries again.
        mutating func loop(for rule: AddressRule) -> CurlLoop? {
            guard isOpen else { return nil }
            if let loop = byRule[rule] { return loop }
            guard let loop = CurlLoop() else { return nil }
            byRule[rule] = loop
            return loop
        }
    }

    private let loops = Mutex(Loops())

    package init() {}

    deinit { _ = close() }

    package func begin(_ request: TransferRequest, _ receiver: any TransferReceiver) -> any Transfer {
        let (loop, isOpen) = loops.withLock { ($0.loop(for: request.way.addresses), $0.isOpen) }
        guard let loop, let id = loop.begin(request, receiver) else {
            let isShort = loop == nil && isOpen
            receiver.finished(isShort ? .failed(.proxyInternalError, "no thread or descriptor is left") : .cancelled)
            return EndedTransfer()
        }
        return CurlTransferHandle(loop: loop, id: id)
    }

    package func run() async throws {
        try? await gracefulShutdown()  // throws only when cancelled, which is another way of saying stop
        await stop()
    }

    /// Ends all transfers and the threads; returns when the last receiver has been told.
    package func stop() async {
        for loop in close() { await loop.ended() }
    }

    private func close() -> [CurlLoop] {
        let all = loops.withLock { loops in
            loops.isOpen = false
            return Array(loops.byRule.values)
        }
        for loop in all { loop.close() }
        return all
    }
}

private struct CurlTransferHandle: Transfer {
    let loop: CurlLoop
    let id: UInt64

    func resume() { loop.resume(id) }
    func cancel() { loop.cancel(id) }
}

/// Of a transport that was stopped.
private struct EndedTransfer: Transfer {
    func resume() {}
    func cancel() {}
}
