// A request's head, parsed: RFC 9112 §3 and §5, where a second reader could understand something else refused.
import Glibc
package import HTTPTypes

/// What stands in a head, as it stands there.
struct RequestHead: Sendable {
    enum Fault: Error, Equatable {
        case malformed
        case versionNotSupported
        case tooManyFields
    }

    /// Fields a head may have: more than any client sends. They are searched from the front.
    static let fieldLimit = 256

    let method: HTTPRequest.Method
    let target: String
    let isHTTP10: Bool
    let fields: RequestFields

    /// Parses one whole head, its empty line included, as `HeadMeter` measured it: every line ends in CR LF.
    init(_ bytes: UnsafeRawBufferPointer) throws(Fault) {
        var start = 0
        // RFC 9112 §2.2: empty lines before the request line are passed over.
        while start + 1 < bytes.count, bytes[start] == .cr, bytes[start + 1] == .lf { start += 2 }
        guard let lineEnd = Self.lineEnd(bytes, from: start) else { throw .malformed }

        // request-line = method SP request-target SP HTTP-version
        let afterMethod = Self.end(of: bytes, from: start, to: lineEnd) { $0.isTokenByte }
        guard afterMethod > start, afterMethod < lineEnd, bytes[afterMethod] == .space else { throw .malformed }
        let targetStart = afterMethod + 1
        let targetEnd = Self.end(of: bytes, from: targetStart, to: lineEnd) { $0 > 0x20 && $0 < 0x7F }
        guard targetEnd > targetStart else { throw .malformed }
        // As HTTP/0.9 was.
        guard targetEnd < lineEnd else { throw .versionNotSupported }
        guard bytes[targetEnd] == .space else { throw .malformed }
        method = try Self.method(UnsafeRawBufferPointer(rebasing: bytes[start..<afterMethod]))
        isHTTP10 = try Self.version(bytes, from: targetEnd + 1, to: lineEnd)
        target = String(decoding: bytes[targetStart..<targetEnd], as: UTF8.self)
        fields = try RequestFields(parsing: bytes, from: lineEnd + 2)
    }

    /// - Returns: whether it is 1.0, not 1.1.
    private static func version(
        _ bytes: UnsafeRawBufferPointer, from start: Int, to end: Int
    ) throws(Fault) -> Bool {
        let text = UnsafeRawBufferPointer(rebasing: bytes[start..<end])
        if text.elementsEqual("HTTP/1.1".utf8) { return false }
        if text.elementsEqual("HTTP/1.0".utf8) { return true }
        throw text.starts(with: "HTTP/".utf8) ? .versionNotSupported : .malformed
    }

    /// Case counts (RFC 9110 §9.1). What is none of these is for another kind of server.
    private static func method(_ bytes: UnsafeRawBufferPointer) throws(Fault) -> HTTPRequest.Method {
        for method in methods where bytes.elementsEqual(method.rawValue.utf8) { return method }
        throw .malformed
    }

    private static let methods: [HTTPRequest.Method] = [
        .get, .head, .post, .put, .patch, .delete, .options, .connect, .trace,
    ]

    static func lineEnd(_ bytes: UnsafeRawBufferPointer, from start: Int) -> Int? {
        guard let end = bytes[start...].firstIndex(of: .lf), end > start, bytes[end - 1] == .cr else { return nil }
        return end - 1
    }

    static func end(
        of bytes: UnsafeRawBufferPointer, from start: Int, to end: Int, while belongs: (UInt8) -> Bool
    ) -> Int {
        var place = start
        while place < end, belongs(bytes[place]) { place += 1 }
        return place
    }
}

/// The field lines of a request in their order. Nothing is made of one before somebody asks for it.
package struct RequestFields: Sendable, ExpressibleByDictionaryLiteral {
    private struct Line {
        let name: Range<Int32>
        let value: Range<Int32>
    }

    /// The whole head, as it arrived.
    private let bytes: [UInt8]
    private var lines: [Line]

    /// - Parameter start: where the first field line begins. The last is empty.
    init(parsing head: UnsafeRawBufferPointer, from start: Int) throws(RequestHead.Fault) {
        lines = try Self.lines(head, from: start)
        bytes = Array(head)
    }

    private static func lines(
        _ bytes: UnsafeRawBufferPointer, from first: Int
    ) throws(RequestHead.Fault) -> [Line] {
        var lines: [Line] = []
        lines.reserveCapacity(8)
        var start = first
        while let end = RequestHead.lineEnd(bytes, from: start) {
            guard end > start else {
                // The empty line, and nothing behind it.
                guard end + 2 == bytes.count else { break }
                return lines
            }
            guard lines.count < RequestHead.fieldLimit else { throw .tooManyFields }
            lines.append(try line(bytes, start, end))
            start = end + 2
        }
        throw .malformed
    }

    /// field-line = field-name ":" OWS field-value OWS. A line that goes on from the one before (obs-fold) has no name.
    private static func line(
        _ bytes: UnsafeRawBufferPointer, _ start: Int, _ end: Int
    ) throws(RequestHead.Fault) -> Line {
        let colon = RequestHead.end(of: bytes, from: start, to: end) { $0.isTokenByte }
        guard colon > start, colon < end, bytes[colon] == UInt8(ascii: ":") else { throw .malformed }
        var first = RequestHead.end(of: bytes, from: colon + 1, to: end) { $0.isFieldSpace }
        var last = end
        while last > first, bytes[last - 1].isFieldSpace { last -= 1 }
        let valueEnd = RequestHead.end(of: bytes, from: first, to: last) {
            $0 >= 0x20 && $0 != 0x7F || $0 == 0x09
        }
        guard valueEnd == last else { throw .malformed }
        if first == last { (first, last) = (end, end) }
        return Line(name: Int32(start)..<Int32(colon), value: Int32(first)..<Int32(last))
    }

    package init(_ fields: HTTPFields) {
        var bytes: [UInt8] = []
        lines = []
        for field in fields {
            let name = bytes.count
            bytes += field.name.rawName.utf8
            let value = bytes.count
            bytes += field.value.utf8
            lines.append(Line(name: Int32(name)..<Int32(value), value: Int32(value)..<Int32(bytes.count)))
        }
        self.bytes = bytes
    }

    package init(dictionaryLiteral elements: (HTTPField.Name, String)...) {
        var fields = HTTPFields()
        for (name, value) in elements { fields.append(HTTPField(name: name, value: value)) }
        self.init(fields)
    }

    var count: Int { lines.count }

    /// Whether this is what came with them.
    func isHead(_ other: UnsafeRawBufferPointer) -> Bool {
        bytes.withUnsafeBytes { bytes in
            guard let base = bytes.baseAddress, let otherBase = other.baseAddress else { return false }
            return bytes.count == other.count && memcmp(base, otherBase, bytes.count) == 0
        }
    }

    package func contains(_ name: HTTPField.Name) -> Bool { lines.contains { isNamed(name, $0) } }

    /// The values of all lines of this name, joined as one list (RFC 9110 §5.3); nil if there is none.
    package subscript(name: HTTPField.Name) -> String? {
        var joined: String?
        for line in lines where isNamed(name, line) { joined = joined.map { "\($0), \(text(line))" } ?? text(line) }
        return joined
    }

    package subscript(values name: HTTPField.Name) -> [String] {
        lines.filter { isNamed(name, $0) }.map(text)
    }

    private func text(_ line: Line) -> String {
        String(decoding: bytes[Int(line.value.lowerBound)..<Int(line.value.upperBound)], as: UTF8.self)
    }

    private func isNamed(_ name: HTTPField.Name, _ line: Line) -> Bool {
        let canonical = name.canonicalName.utf8
        guard line.name.count == canonical.count else { return false }
        var place = Int(line.name.lowerBound)
        for byte in canonical {
            guard bytes[place].lowercasedASCII == byte else { return false }
            place += 1
        }
        return true
    }
}

extension RequestFields: CustomStringConvertible {
    package var description: String {
        "["
            + lines.map { line in
                let name = bytes[Int(line.name.lowerBound)..<Int(line.name.upperBound)]
                return "\(String(decoding: name, as: UTF8.self)): \(text(line))"
            }.joined(separator: ", ") + "]"
    }
}

extension UInt8 {
    static let cr = UInt8(ascii: "\r")
    static let lf = UInt8(ascii: "\n")
    static let space = UInt8(ascii: " ")

    var isFieldSpace: Bool { self == 0x20 || self == 0x09 }

    var lowercasedASCII: UInt8 { self &- 0x41 < 26 ? self | 0x20 : self }

    /// RFC 9110 §5.6.2.
    var isTokenByte: Bool {
        let (low, high): (UInt64, UInt64) = (0x03FF_6CFA_0000_0000, 0x57FF_FFFF_C7FF_FFFE)
        guard self < 0x80 else { return false }
        return (self < 64 ? low : high) >> UInt64(self & 63) & 1 == 1
    }
}
