// Where a request's head ends in the bytes that arrive, and whether it has grown too long.

/// Counts the bytes of one head after another. The parser behind it judges the grammar; this only finds the
/// empty line, so that a limit on the whole head can be kept and a head under way be told from an idle connection.
struct HeadMeter {
    enum Fault: Error, Equatable {
        case requestLineTooLong
        case fieldsTooLarge
        /// RFC 9112 §2.2 lets a server take LF alone for a line's end; a second reader may not. Refused.
        case bareLineFeed
        /// The parser also takes RTSP and ICE, whose request lines are like ours.
        case otherProtocol
    }

    /// Bytes a head may have, its empty line included.
    let limit: Int
    private var count = 0
    private var lineLength = 0
    private var endsInCR = false
    private var hasRequestLine = false
    /// The last eight bytes of the request line so far, the newest lowest.
    private var tail: UInt64 = 0

    init(limit: Int) {
        self.limit = limit
    }

    /// Whether some of a head has been seen, but not its end.
    var isUnderWay: Bool { count > 0 }

    /// How many of these bytes belong to the head under way: up to its empty line, or all of them.
    mutating func measure(_ bytes: UnsafeRawBufferPointer) throws(Fault) -> Int {
        var index = 0
        while let lineFeed = bytes[index...].firstIndex(of: UInt8(ascii: "\n")) {
            let length = lineLength + lineFeed - index
            let lastIsCR = lineFeed > index ? bytes[lineFeed - 1] == UInt8(ascii: "\r") : endsInCR
            guard lastIsCR else { throw .bareLineFeed }
            index = lineFeed + 1
            lineLength = 0
            endsInCR = false
            guard length == 1 else {
                guard !hasRequestLine else { continue }
                if count + index > limit { throw .requestLineTooLong }
                remember(bytes[..<lineFeed].suffix(length))
                if namesOtherProtocol { throw .otherProtocol }
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
            if !hasRequestLine { remember(bytes[index...]) }
            lineLength += bytes.count - index
            endsInCR = bytes[bytes.count - 1] == UInt8(ascii: "\r")
        }
        try grow(by: bytes.count)
        return bytes.count
    }

    private mutating func remember(_ bytes: Slice<UnsafeRawBufferPointer>) {
        for byte in bytes.suffix(8) { tail = tail << 8 | UInt64(byte) }
    }

    /// Whether a line ends as if with a version, but not one of HTTP: `…/1.0` and CR.
    private var namesOtherProtocol: Bool {
        let (version, http): (UInt64, UInt64) = (0x2f_00_2e_00_0d, 0x54_54_50 << 40)  // "/?.?\r", "TTP"
        return tail & 0xff_00_ff_00_ff == version && tail & 0xff_ff_ff << 40 != http
    }

    private mutating func grow(by length: Int) throws(Fault) {
        count += length
        guard count <= limit else { throw hasRequestLine ? .fieldsTooLarge : .requestLineTooLong }
    }
}
