// A request as it came in on a connection: what its head says, from whom, and since when.
import NIOCore

struct Arrival {
    var request: Request
    let began: NIODeadline
    /// Whether the connection may serve another request behind this one.
    var isPersistent: Bool

    init(_ request: Request, began: NIODeadline) {
        self.request = request
        self.began = began
        isPersistent = request.head.isPersistent
    }

    var head: JudgedHead { request.head }
}
