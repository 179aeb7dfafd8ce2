// An answer as a client sees it: status, fields by name, and the body read as a connection sends it.

import Foundation
import Glibc
import HTTPTypes
import OCI
import Synchronization

@testable import Frontend
@testable import HTTPServer

/// Holding it is being its client: a fill counts it as a follower.
struct Reply: Sendable {
    struct Broken: Error {}

    let response: Response
    let isHead: Bool

    init(_ response: Response, isHead: Bool = false) {
        self.response = response
        self.isHead = isHead
    }

    var status: Int { response.status.code }

    /// The server's own framing for `Content-Length`, what the responder said for all others.
    subscript(_ name: String) -> String? {
        if name == "Content-Length" { return length.map { "\($0)" } }
        if name == "Age", let age = response.age { return "\(age)" }
        return HTTPField.Name(name).flatMap { response.fields[$0] } ?? prepared(name)
    }

    /// Of a head that was made before.
    private func prepared(_ name: String) -> String? {
        let lines = response.prepared.map { String(decoding: $0.bytes, as: UTF8.self).components(separatedBy: "\r\n") }
        return lines?.first { $0.hasPrefix("\(name): ") }.map { String($0.dropFirst(name.count + 2)) }
    }

    var cacheStatus: String? { self["Cache-Status"] }

    /// What `Content-Length` says; nil: chunked, or no body at all.
    private var length: Int64? {
        if isHead, let announced = response.fields[.contentLength] { return Int64(announced) }
        guard case .length(let length) = Framing(response, isHTTP10: false) else { return nil }
        return length
    }

    /// What the access line says under a key of the responder's own.
    func logged(_ key: String) -> String? { response.logged.first { $0.key == key }?.value }

    /// The body to its end, told to the observer as the server tells it.
    func bytes() async throws -> [UInt8] {
        let bytes: [UInt8]
        switch response.body {
        case _ where isHead || Framing(response, isHTTP10: false) == .none, .empty: bytes = []
        case .bytes(let all): bytes = all
        case .file(let body): bytes = try await body.bytes()
        case .live: throw Broken()  // it has no end to read to
        }
        if !bytes.isEmpty { response.observer?.sent(Int64(bytes.count)) }
        response.observer?.ended(.complete)
        return bytes
    }

    func text() async throws -> String { String(decoding: try await bytes(), as: UTF8.self) }

    func json() async throws -> [String: any Sendable] {
        let object = try JSONSerialization.jsonObject(with: Data(try await bytes()))
        guard let object = object as? [String: any Sendable] else { throw Broken() }
        return object
    }

    /// The body in the spec's form for errors; nil if it has not that form.
    func error() async throws -> ErrorBody? { ErrorBody(parsing: try await bytes()) }
}

extension FileBody {
    /// Reads what is there, waits for more, and stops where the server would.
    func bytes() async throws -> [UInt8] {
        var bytes: [UInt8] = []
        var offset = start
        while true {
            let view = await look(offset, atLeast: min(offset + 65_536, end ?? .max))
            let limit = min(view.available, end ?? .max)
            if limit > offset {
                var buffer = [UInt8](repeating: 0, count: Int(limit - offset))
                let count = pread(file.descriptor, &buffer, buffer.count, off_t(offset))
                guard count == buffer.count else { throw Reply.Broken() }
                bytes += buffer
                offset = limit
            }
            if let end, offset == end { return bytes }
            switch view.ending {
            case .complete(let size) where offset >= size: return bytes
            case .complete, nil: continue
            case .broken: throw Reply.Broken()
            }
        }
    }

    /// What may be sent at this moment.
    func available() -> Int64 { view(start, 0, Self.waker(self), {}).available }

    private func look(_ offset: Int64, atLeast: Int64) async -> FileView {
        await withCheckedContinuation { continuation in
            let isTold = Mutex(false)
            @Sendable func tell(_ view: FileView) {
                let isFirst = isTold.withLock { told in
                    defer { told = true }
                    return !told
                }
                if isFirst { continuation.resume(returning: view) }
            }
            let waker = Self.waker(self)
            let now = view(offset, atLeast, waker) { tell(view(offset, 0, waker, {})) }
            if now.available >= atLeast || now.ending != nil { tell(now) }
        }
    }

    private static func waker(_ body: FileBody) -> Waker { Waker(id: ObjectIdentifier(body.file)) { $0() } }
}

extension Request {
    /// - Parameter fields: names that are tokens.
    static func of(
        _ method: String, _ path: String, query: String? = nil, _ fields: [String: String] = [:],
        from peer: String = "127.0.0.1"
    ) -> Request {
        var all = HTTPFields()
        for (name, value) in fields { if let name = HTTPField.Name(name) { all[name] = value } }
        return Request(
            method: HTTPRequest.Method(rawValue: method) ?? .get, path: path, query: query,
            fields: RequestFields(all), peer: peer)
    }
}

/// `/stats` by key.
struct StatisticsView {
    let document: [String: any Sendable]

    init(_ document: [String: any Sendable]) { self.document = document }

    /// How many requests are in each class, those without any left out, and `total` unless it is zero.
    var requests: [String: Int] { counts("requests") }
    var bytes: [String: Int] { counts("bytes") }

    func list(_ key: String) -> [[String: any Sendable]] { document[key] as? [[String: any Sendable]] ?? [] }
    func object(_ key: String) -> [String: any Sendable] { document[key] as? [String: any Sendable] ?? [:] }
    func number(_ key: String) -> Double? { document[key] as? Double }

    private func counts(_ key: String) -> [String: Int] {
        object(key).compactMapValues { $0 as? Int }.filter { $0.value != 0 }
    }
}
