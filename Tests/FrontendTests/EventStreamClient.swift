// A client over a real socket: asks the responder behind a real server, and reads an event stream as it comes.

import Glibc
import HTTPTypes
import Logging
import OCI
import PullThrough
import Synchronization
import TestSupport

@testable import Frontend
@testable import HTTPServer

/// A responder with an admin token, served on loopback.
struct Served: Sendable {
    static let token = "s3cret-t0ken"

    let port: Int

    static func run(_ scene: Scene, body: (Served) async throws -> Void) async throws {
        let responder = WharfResponder(
            cache: scene.cache, hosted: scene.hosted, version: "0.1.0", pseudonym: "wharf-test",
            access: Access(adminToken: token),
            reload: { .changed([], restart: []) }
        ) { 12.5 }
        let server = HTTPServer(
            configuration: ServerConfiguration(addresses: [.init(host: "127.0.0.1", port: 0)]), responder: responder,
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let served = Served(port: try await server.bind().first?.port ?? 0)
        let running = Task { try await server.run() }
        let outcome: Result<Void, any Error>
        do { outcome = .success(try await body(served)) } catch { outcome = .failure(error) }
        running.cancel()
        _ = await running.result
        try outcome.get()
    }

    /// One request on a connection of its own; its head, and the beginning of its body.
    func ask(_ method: String, _ path: String, _ fields: [String: String] = [:]) async throws -> StreamClient {
        let client = try StreamClient(port: port)
        let lines = fields.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)\r\n" }.joined()
        try client.send("\(method) \(path) HTTP/1.1\r\nHost: test\r\n\(lines)\r\n")
        try await client.readHead()
        return client
    }
}

/// Reads on a thread of its own, so that a test may wait for what came.
final class StreamClient: Sendable {
    struct Gone: Error {}

    /// One event: its fields by name.
    typealias Fields = [String: String]

    /// Its number is somebody else's once the thread has closed it: then -1.
    private final class Socket: Sendable {
        let descriptor: Mutex<CInt>
        init(_ descriptor: CInt) { self.descriptor = Mutex(descriptor) }
    }

    private let socket: Socket
    private let received = Watched<(bytes: [UInt8], isOver: Bool)>(([], false))

    init(port: Int) throws {
        let descriptor = Glibc.socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
        let result = withLoopback(port) { connect(descriptor, $0, $1) }
        guard result == 0 else { throw Gone() }
        socket = Socket(descriptor)
        let job = Reading { [received, socket] in
            var buffer = [UInt8](repeating: 0, count: 64 << 10)
            while true {
                let count = recv(descriptor, &buffer, buffer.count, 0)
                received.change { received in
                    if count > 0 { received.bytes += buffer.prefix(count) } else { received.isOver = true }
                }
                guard count > 0 else { break }
            }
            socket.descriptor.withLock {
                close($0)
                $0 = -1
            }
        }
        job.start()
    }

    deinit { leave() }

    /// The client goes away; its thread closes the socket.
    func leave() { _ = socket.descriptor.withLock { shutdown($0, CInt(SHUT_RDWR)) } }

    func send(_ text: String) throws {
        let bytes = Array(text.utf8)
        let sent = socket.descriptor.withLock { Glibc.send($0, bytes, bytes.count, CInt(MSG_NOSIGNAL)) }
        guard sent == bytes.count else { throw Gone() }
    }

    func readHead() async throws {
        await received.wait { $0.isOver || Self.parts($0.bytes).count == 2 }
        guard head.hasPrefix("HTTP/1.1 ") else { throw Gone() }
    }

    /// The status line and the fields.
    var head: String { Self.parts(received.value.bytes).first ?? "" }
    var status: Int { head.split(separator: " ").dropFirst().first.flatMap { Int($0) } ?? 0 }

    subscript(_ name: String) -> String? {
        let lines = head.split(separator: "\r\n").dropFirst()
        let line = lines.first { $0.lowercased().hasPrefix("\(name.lowercased()): ") }
        return line.map { String($0.dropFirst(name.utf8.count + 2)) }
    }

    /// So many events at least, in their order; fewer if the connection has ended.
    func events(_ count: Int) async -> [Fields] {
        await received.wait { $0.isOver || Self.events($0.bytes).count >= count }
        return Self.events(received.value.bytes)
    }

    /// Whatever came behind the head, as it came, as soon as there is a line of it.
    func bodyBegins() async -> String {
        await received.wait { $0.isOver || Self.parts($0.bytes).last?.contains("\r\n") == true }
        return Self.parts(received.value.bytes).last ?? ""
    }

    /// The body as it came, chunks put together.
    var body: String { Self.body(received.value.bytes) }

    /// After WHATWG HTML, "Interpreting an event stream": blocks end with an empty line, comments begin with a colon.
    private static func events(_ bytes: [UInt8]) -> [Fields] {
        let blocks = body(bytes).split(separator: "\n\n", omittingEmptySubsequences: false).dropLast()
        return blocks.compactMap { block in
            let lines = block.split(separator: "\n").filter { !$0.hasPrefix(":") }
            let fields = lines.map { $0.split(separator: ": ", maxSplits: 1).map(String.init) }
            return fields.isEmpty ? nil : Fields(fields.map { ($0[0], $0.last ?? "") }) { _, last in last }
        }
    }

    private static func body(_ bytes: [UInt8]) -> String {
        guard var rest = parts(bytes).dropFirst().first.map({ Substring($0) }) else { return "" }
        guard parts(bytes)[0].contains("Transfer-Encoding: chunked") else { return String(rest) }
        var body = ""
        while let line = rest.firstRange(of: "\r\n"), let size = Int(rest[..<line.lowerBound], radix: 16) {
            let chunk = rest[line.upperBound...]
            guard chunk.utf8.count >= size + 2 else { break }
            body += String(decoding: chunk.utf8.prefix(size), as: UTF8.self)
            rest = Substring(chunk.utf8.dropFirst(size + 2))
        }
        return body
    }

    /// Head and body, as soon as the head is whole.
    private static func parts(_ bytes: [UInt8]) -> [String] {
        let text = String(decoding: bytes, as: UTF8.self)
        guard let end = text.firstRange(of: "\r\n\r\n") else { return [] }
        return [String(text[..<end.lowerBound]), String(text[end.upperBound...])]
    }
}

/// A thread.
private final class Reading: Sendable {
    private let work: @Sendable () -> Void

    init(_ work: @escaping @Sendable () -> Void) { self.work = work }

    func start() {
        var thread = pthread_t()
        let result = pthread_create(
            &thread, nil,
            { pointer in
                if let pointer { Unmanaged<Reading>.fromOpaque(pointer).takeRetainedValue().work() }
                return nil
            }, Unmanaged.passRetained(self).toOpaque())
        precondition(result == 0, "no thread")
        pthread_detach(thread)
    }
}
