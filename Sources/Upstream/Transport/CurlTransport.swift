// The transport of the program: libcurl, on a thread of its own.
import HTTPSemantics
import ServiceLifecycle

/// `Transport` over one multi handle of libcurl.
///
/// As a service it has nothing to do but to end: on graceful shutdown, or when cancelled, every transfer still
/// running ends with `.cancelled`. It stops within milliseconds.
package final class CurlTransport: Transport, Service {
    private let loop = CurlLoop()

    package init() {}

    deinit { loop.close() }

    package func begin(_ request: TransferRequest, _ receiver: any TransferReceiver) -> any Transfer {
        guard let id = loop.begin(request, receiver) else {
            receiver.finished(.cancelled)
            return CurlTransferHandle(loop: loop, id: 0)
        }
        return CurlTransferHandle(loop: loop, id: id)
    }

    package func run() async throws {
        try? await gracefulShutdown()  // throws only when cancelled, which is another way of saying stop
        await stop()
    }

    /// Ends all transfers and the thread; returns when the last receiver has been told.
    package func stop() async {
        loop.close()
        await loop.ended()
    }
}

private struct CurlTransferHandle: Transfer {
    let loop: CurlLoop
    let id: UInt64

    func resume() { loop.resume(id) }
    func cancel() { loop.cancel(id) }
}
