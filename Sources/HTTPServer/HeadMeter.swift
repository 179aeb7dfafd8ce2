// Where a request's head ends in the bytes that arrive, and whether it has grown too long.
import Glibc

/// Counts the bytes of one head after another. The parser behind it judges the grammar; this only finds the
/// empty line, so that a limit on the whole head can be kept and a head under way be told from an idle connection.
struct HeadMeter {
    enum Fault: Error, Equatable {
        case requestLineTooLong
        case fieldsTooLarge
        /// RFC 9112 §2.2 lets a server take LF alone for a line's end; a second reader may not. Refused.
        case bareLineFeed
    }

    /// Bytes a head may have, its empty line included.
    let limit: Int
    private var count = 0
    private var lineLength = 0
    private var endsInCR = false
    private var hasRequestLine = false

    init(limit: Int) {
        self.limit = limit
    }

    /// Whether some of a head has been seen, but not its end.
    var isUnderWay: Bool { count > 0 }

    /// How many of these bytes belong to the head under way: up to its empty line, or all of them.
    mutating func measure(_ bytes: UnsafeRawBufferPointer) throws(Fault) -> Int {
        var index = 0
        while let lineFeed = Self.lineFeed(in: bytes, from: index) {
            let length = lineLength + lineFeed - index
            let lastIsCR = lineFeed > index ? bytes[lineFeed - 1] == .cr : endsInCR
            guard lastIsCR else { throw .bareLineFeed }
            index = lineFeed + 1
            lineLength = 0
            endsInCR = false
            guard length == 1 else {
                if !hasRequestLine, count + index > limit { throw .requestLineTooLong }
                hasRequestLine = true
                continue
            }
            // RFC 9112 §2.2: empty lines before the request line are passed over.
            guard hasRequestLine else { continue }
            try grow(by: index)
            self = HeadMeter(limit: limit)
            return index
        }
        if index < bytes.count {
            lineLength += bytes.count - index
            endsInCR = bytes[bytes.count - 1] == .cr
        }
        try grow(by: bytes.count)
        return bytes.count
    }

    private static func lineFeed(in bytes: UnsafeRawBufferPointer, from start: Int) -> Int? {
        guard start < bytes.count, let base = bytes.baseAddress,
            let found = memchr(base + start, CInt(UInt8.lf), bytes.count - start)
        else { return nil }
        return UnsafeRawPointer(found) - base
    }

    private mutating func grow(by length: Int) throws(Fault) {
        count += length
        guard count <= limit else { throw hasRequestLine ? .fieldsTooLarge : .requestLineTooLong }
    }
}
