// The props: a server on a port of the kernel's choice, a responder made of closures, and who watches a response.
import Glibc
import HTTPServer
import HTTPTypes
import Logging
import ServiceLifecycle
import Synchronization
import Testing

/// Answers with closures. Without `ready` everything goes to the task.
struct StubResponder: Responder {
    var onReady: @Sendable (Request) -> Response? = { _ in nil }
    var onRespond: @Sendable (Request) async -> Response = { _ in Response(status: .notFound) }

    init(ready: @escaping @Sendable (Request) -> Response?) {
        onReady = ready
    }

    init(respond: @escaping @Sendable (Request) async -> Response) {
        onRespond = respond
    }

    func ready(_ request: Request) -> Response? { onReady(request) }
    func respond(to request: Request) async -> Response { await onRespond(request) }

    /// The path comes back as the body.
    static let echo = StubResponder(ready: { .text("\($0.method) \($0.path)") })
}

extension Response {
    static func text(_ text: String, status: HTTPResponse.Status = .ok) -> Response {
        Response(status: status, body: .bytes(Array(text.utf8)))
    }
}

struct TestServer: Sendable {
    let server: HTTPServer
    let address: BoundAddress
    let group: ServiceGroup
    let running: Task<Void, any Error>

    /// Runs a server as the program does, in a service group, and shuts it down gracefully afterwards.
    static func run<Result: Sendable>(
        _ responder: some Responder, _ configuration: ServerConfiguration = .test { _ in }, log: (any AccessLog)? = nil,
        _ body: (TestServer) async throws -> Result
    ) async throws -> Result {
        let server = HTTPServer(configuration: configuration, responder: responder, log: log, logger: .quiet)
        let address = try #require(try await server.bind().first)
        let group = ServiceGroup(
            configuration: .init(services: [.init(service: server)], gracefulShutdownSignals: [], logger: .quiet))
        let test = TestServer(
            server: server, address: address, group: group, running: Task { try await group.run() })
        let result: Swift.Result<Result, any Error>
        do { result = .success(try await body(test)) } catch { result = .failure(error) }
        await test.stop()
        return try result.get()
    }

    /// Stops gracefully and waits for the end.
    func stop() async {
        await group.triggerGracefulShutdown()
        _ = await running.result
    }

    func connect() async throws -> Client {
        try await onThread { try Client(port: address.port) }
    }

    /// Sends all of `text` at once, and returns everything up to the end of the connection.
    func exchange(_ text: String) async throws -> (text: String, end: Client.End) {
        let client = try await connect()
        return try await onThread {
            try client.send(text)
            let (bytes, end) = client.receiveAll()
            return (String(decoding: bytes, as: UTF8.self), end)
        }
    }
}

extension ServerConfiguration {
    /// On loopback, with a short drain, and what a test changes.
    static func test(_ change: (inout ServerConfiguration) -> Void) -> ServerConfiguration {
        var configuration = ServerConfiguration(addresses: [.init(host: "127.0.0.1", port: 0)])
        configuration.drain = .seconds(5)
        change(&configuration)
        return configuration
    }
}

extension Logger {
    static var quiet: Logger { Logger(label: "quiet") { _ in SwiftLogNoOpLogHandler() } }
}

/// Remembers what it was told, and lets a test wait for the end.
final class RecordingObserver: ResponseObserver {
    private let state = Mutex((sent: Int64(0), endings: [ResponseEnding]()))
    private let (stream, continuation) = AsyncStream.makeStream(of: ResponseEnding.self)

    var sent: Int64 { state.withLock { $0.sent } }
    var endings: [ResponseEnding] { state.withLock { $0.endings } }

    func sent(_ bytes: Int64) {
        state.withLock { $0.sent += bytes }
    }

    func ended(_ ending: ResponseEnding) {
        state.withLock { $0.endings.append(ending) }
        continuation.yield(ending)
    }

    /// The next ending, however long it takes.
    func ending() async -> ResponseEnding? {
        await stream.first { _ in true }
    }
}

/// Opened once, waited for by any number.
final class Gate: Sendable {
    private let (stream, continuation) = AsyncStream.makeStream(of: Void.self)

    func open() { continuation.finish() }
    /// Returns early if the task is cancelled.
    func wait() async { for await _ in stream {} }
}

/// Polls for what has no event to wait for, for 10 s at most.
func eventually(_ condition: @Sendable () async -> Bool) async -> Bool {
    for _ in 0..<2_000 {
        if await condition() { return true }
        try? await Task.sleep(for: .milliseconds(5))
    }
    return false
}

/// Runs what blocks on a thread of its own, not on the pool where the server's tasks run.
func onThread<Result: Sendable>(_ work: @escaping @Sendable () throws -> Result) async throws -> Result {
    try await withCheckedThrowingContinuation { continuation in
        let job = Job { continuation.resume(with: Swift.Result { try work() }) }
        var thread = pthread_t()
        let result = pthread_create(&thread, nil, { Job.run($0) }, Unmanaged.passRetained(job).toOpaque())
        precondition(result == 0, "no thread")
        pthread_detach(thread)
    }
}

private final class Job: Sendable {
    private let work: @Sendable () -> Void

    init(_ work: @escaping @Sendable () -> Void) { self.work = work }

    static func run(_ pointer: UnsafeMutableRawPointer?) -> UnsafeMutableRawPointer? {
        if let pointer { Unmanaged<Job>.fromOpaque(pointer).takeRetainedValue().work() }
        return nil
    }
}

extension TestServer {
    /// Bytes waiting unread in the sockets accepted on a port, from `/proc/net/tcp`.
    func receiveQueue(of port: Int) -> Int {
        guard let file = fopen("/proc/net/tcp", "r") else { return 0 }
        defer { fclose(file) }
        var line = [CChar](repeating: 0, count: 512)
        var sum = 0
        let wanted = String(port, radix: 16, uppercase: true)
        while fgets(&line, CInt(line.count), file) != nil {
            let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
            let columns = text.split(separator: " ")
            guard columns.count > 4, columns[1].hasSuffix(":" + wanted), columns[3] == "01" else { continue }
            sum += columns[4].split(separator: ":").last.flatMap { Int($0, radix: 16) } ?? 0
        }
        return sum
    }
}
