// Where a request's body ends: after so many bytes, or after its last chunk and trailers (RFC 9112 §6.3, §7.1).

/// Reads over a body however it is cut. What two readers could understand differently is a fault: no sign but hex
/// digits in a chunk's size, no line that ends in LF alone, nothing but CR LF behind a chunk's data.
struct RequestBody {
    enum Fault: Error, Equatable {
        case malformed
        case trailersTooLarge
    }

    private enum Place {
        case data(left: Int64)
        case size(digits: Int, value: Int64)
        /// What stands behind the size up to the line's end: extensions, ignored (RFC 9112 §7.1.1).
        case sizeExtension
        case sizeLF(value: Int64)
        case chunk(left: Int64)
        case chunkCR
        case chunkLF
        case trailers
        case end
    }

    private var place: Place
    private var chunkSize: Int64 = 0
    private var trailers: [UInt8] = []
    private let trailerLimit: Int

    /// - Parameters:
    ///   - length: in bytes; nil if chunked.
    ///   - trailerLimit: bytes that trailers may have.
    init(length: Int64?, trailerLimit: Int) {
        place = length.map { $0 == 0 ? .end : .data(left: $0) } ?? .size(digits: 0, value: 0)
        self.trailerLimit = trailerLimit
    }

    var hasEnded: Bool { if case .end = place { true } else { false } }

    /// Takes what of these bytes belongs to the body.
    ///
    /// - Parameter data: gets what is content and not framing, by place among `bytes`.
    /// - Returns: how many belong to it; fewer than all of them only at the body's end.
    mutating func take(
        _ bytes: UnsafeRawBufferPointer, _ data: (Range<Int>) -> Void = { _ in }
    ) throws(Fault) -> Int {
        var taken = 0
        while taken < bytes.count, !hasEnded {
            switch place {
            case .data(let left):
                let length = min(left, Int64(bytes.count - taken))
                data(taken..<taken + Int(length))
                taken += Int(length)
                place = length == left ? .end : .data(left: left - length)
            case .chunk(let left):
                let length = min(left, Int64(bytes.count - taken))
                data(taken..<taken + Int(length))
                taken += Int(length)
                place = length == left ? .chunkCR : .chunk(left: left - length)
            default:
                place = try step(bytes[taken])
                taken += 1
            }
        }
        return taken
    }

    private mutating func step(_ byte: UInt8) throws(Fault) -> Place {
        switch (place, byte) {
        case (.size(let digits, let value), _) where byte.hexDigit != nil:
            guard digits < 15 else { throw .malformed }
            return .size(digits: digits + 1, value: value << 4 | Int64(byte.hexDigit ?? 0))
        case (.size(1..., let value), .cr): return .sizeLF(value: value)
        case (.size(1..., let value), UInt8(ascii: ";")):
            chunkSize = value
            return .sizeExtension
        case (.sizeExtension, .cr): return .sizeLF(value: chunkSize)
        case (.sizeExtension, _) where byte >= 0x20 && byte != 0x7F || byte == 0x09: return .sizeExtension
        case (.sizeLF(0), .lf): return .trailers
        case (.sizeLF(let value), .lf): return .chunk(left: value)
        case (.chunkCR, .cr): return .chunkLF
        case (.chunkLF, .lf): return .size(digits: 0, value: 0)
        case (.trailers, _): return try trailer(byte)
        default: throw .malformed
        }
    }

    /// They are read like the fields of a head, and dropped.
    private mutating func trailer(_ byte: UInt8) throws(Fault) -> Place {
        trailers.append(byte)
        guard trailers.count <= trailerLimit else { throw .trailersTooLarge }
        guard byte == .lf else { return .trailers }
        guard trailers.dropLast().last == .cr else { throw .malformed }
        let isEmptyLine = trailers.count == 2 || trailers.dropLast(2).last == .lf
        guard isEmptyLine else { return .trailers }
        let fault: RequestHead.Fault? = trailers.withUnsafeBytes { bytes in
            do throws(RequestHead.Fault) {
                _ = try RequestFields(parsing: bytes, from: 0)
                return nil
            } catch {
                return error
            }
        }
        switch fault {
        case nil: return .end
        case .tooManyFields: throw .trailersTooLarge
        case .malformed, .versionNotSupported: throw .malformed
        }
    }
}

extension UInt8 {
    fileprivate var hexDigit: UInt8? {
        switch self {
        case UInt8(ascii: "0")...UInt8(ascii: "9"): self &- 0x30
        case UInt8(ascii: "a")...UInt8(ascii: "f"): self &- 0x61 &+ 10
        case UInt8(ascii: "A")...UInt8(ascii: "F"): self &- 0x41 &+ 10
        default: nil
        }
    }
}
