// A response's head in bytes, and how its body is delimited.
package import HTTPTypes
import NIOCore

/// Status line, fields and `Content-Length` of an answer that is given again and again, in bytes. Date and connection
/// are each answer's own.
package final class PreparedHead: Sendable {
    package let status: HTTPResponse.Status
    let bytes: [UInt8]
    let cacheStatus: String?
    let logged: [(key: String, value: String)]

    /// - Parameter response: one with `bytes` for a body.
    package init(_ response: Response) {
        status = response.status
        cacheStatus = response.cacheStatus
        logged = response.logged
        let head = ResponseHead(
            response: response, framing: Framing(response, isHTTP10: false), isHEAD: false, isHTTP10: false,
            isLast: false)
        var buffer = ByteBuffer()
        head.writeStatus(into: &buffer)
        let length = head.writeFields(into: &buffer).length
        head.writeFraming(into: &buffer, announced: length)
        bytes = Array(buffer.readableBytesView)
    }
}

/// RFC 9112 §6: how the client finds the body's end.
enum Framing: Equatable {
    /// No body, whatever the fields say: 1xx, 204, 304.
    case none
    case length(Int64)
    case chunked
    /// HTTP/1.0 knows nothing better. A body that breaks is reset, so the end is only ever a whole body's.
    case untilClose

    init(_ response: Response, isHTTP10: Bool) {
        let code = response.status.code
        guard code >= 200, code != 204, code != 304 else {
            self = .none
            return
        }
        switch response.body {
        case .empty: self = .length(0)
        case .bytes(let bytes): self = .length(Int64(bytes.count))
        case .file(let file): self = file.length.map(Framing.length) ?? .unknown(isHTTP10)
        case .live: self = .unknown(isHTTP10)
        }
    }

    private static func unknown(_ isHTTP10: Bool) -> Framing { isHTTP10 ? .untilClose : .chunked }
}

struct ResponseHead {
    let response: Response
    let framing: Framing
    let isHEAD: Bool
    let isHTTP10: Bool
    let isLast: Bool
    /// Told to the client: what it called the request, or what the log calls one that went wrong.
    var requestID: String?

    /// Written here and not by NIO's encoder: the fields go into the buffer as they are, with no list of strings
    /// between, and a small body follows its head in the same buffer and the same `write(2)`.
    func write(into buffer: inout ByteBuffer, date: String) {
        if let prepared = response.prepared {
            buffer.writeBytes(prepared.bytes)
            if let age = response.age { Self.write("Age: ", String(age), into: &buffer) }
            Self.write("Date: ", date, into: &buffer)
        } else {
            writeStatus(into: &buffer)
            let (hasDate, length) = writeFields(into: &buffer)
            if !hasDate { Self.write("Date: ", date, into: &buffer) }
            writeFraming(into: &buffer, announced: length)
        }
        if let requestID { Self.write("X-Request-Id: ", requestID, into: &buffer) }
        if isLast {
            buffer.writeStaticString("Connection: close\r\n")
        } else if isHTTP10 {
            buffer.writeStaticString("Connection: keep-alive\r\n")
        }
        buffer.writeStaticString("\r\n")
    }

    fileprivate func writeStatus(into buffer: inout ByteBuffer) {
        buffer.writeStaticString("HTTP/1.1 ")
        buffer.writeString(String(response.status.code))
        buffer.writeStaticString(" ")
        buffer.writeString(response.status.reasonPhrase)
        buffer.writeStaticString("\r\n")
    }

    fileprivate func writeFields(into buffer: inout ByteBuffer) -> (hasDate: Bool, length: HTTPField?) {
        var hasDate = false
        var length: HTTPField?
        for field in response.fields {
            switch field.name {
            case .connection, .transferEncoding: continue
            case .contentLength: length = field
            case .date:
                hasDate = true
                fallthrough
            default:
                Self.write(field, into: &buffer)
            }
        }
        return (hasDate, length)
    }

    fileprivate func writeFraming(into buffer: inout ByteBuffer, announced length: HTTPField?) {
        switch framing {
        case .none, .untilClose:
            break
        case _ where isHEAD && length != nil:
            // RFC 9110 §9.3.2: what GET would have said, even if nobody made that body.
            if let length { Self.write(length, into: &buffer) }
        case .length(0) where isHEAD:
            break  // nobody knows what GET would have said
        case .length(let length):
            Self.write("Content-Length: ", String(length), into: &buffer)
        case .chunked:
            buffer.writeStaticString("Transfer-Encoding: chunked\r\n")
        }
    }

    private static func write(_ name: StaticString, _ value: String, into buffer: inout ByteBuffer) {
        buffer.writeStaticString(name)
        buffer.writeString(value)
        buffer.writeStaticString("\r\n")
    }

    private static func write(_ field: HTTPField, into buffer: inout ByteBuffer) {
        buffer.writeString(field.name.rawName)
        buffer.writeStaticString(": ")
        // HTTPTypes has made spaces of CR, LF and NUL: a value cannot end its line.
        field.withUnsafeBytesOfValue { _ = buffer.writeBytes($0) }
        buffer.writeStaticString("\r\n")
    }
}
