// Who answers: from memory on the event loop, or by waiting in a task.

package protocol Responder: Sendable {
    /// What memory can answer, at once. Called on the connection's event loop: it must never block.
    func ready(_ request: Request) -> Response?

    /// Everything else. Runs in a task of its own, which is cancelled when the client leaves.
    func respond(to request: Request) async -> Response
}

extension Responder {
    package func ready(_ request: Request) -> Response? { nil }
}
