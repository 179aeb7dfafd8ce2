// Who answers: from memory on the event loop, or by waiting in a task.

package protocol Responder: Sendable {
    /// What memory can answer, at once. Called on the connection's event loop: it must never block.
    func ready(_ request: Request) -> Response?

    /// Whether this PUT, POST or PATCH is answered by who reads its body; else the body is dropped. Called on the event
    /// loop when the head has come: it must never block.
    func takesBody(_ request: Request) -> Bool

    /// Everything else. Runs in a task of its own, which is cancelled when the client leaves.
    func respond(to request: Request) async -> Response
}

extension Responder {
    package func ready(_ request: Request) -> Response? { nil }
    package func takesBody(_ request: Request) -> Bool { false }
}
