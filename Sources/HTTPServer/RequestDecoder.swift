// NIO's request decoder behind a meter: it sees one head at a time, and none that is too long.
import NIOCore
import NIOHTTP1

struct RequestDecoder: ByteToMessageDecoder {
    typealias InboundOut = HTTPServerRequestPart

    private let decoder: HTTPRequestDecoder
    private let connection: Connection
    private var meter: HeadMeter
    /// Bytes at the buffer's beginning that the inner decoder has seen and left, in the middle of a line.
    private var unconsumed = 0

    /// Fields one head may have: more than any client sends.
    private static let fieldLimit = 256

    init(connection: Connection, headLimit: Int) {
        // The meter counts whole heads. The inner limits are for the trailers of a chunked body, which it does not see.
        var limits = NIOHTTPDecoderLimitConfiguration()
        limits.maxHeaderFieldSize = headLimit
        limits.maxHeaderListSize = headLimit
        // Of heads and trailers alike. Each is a row in lists that are searched from the front.
        limits.maxHeaderFieldCount = Self.fieldLimit
        decoder = HTTPRequestDecoder(leftOverBytesStrategy: .dropBytes, limitConfiguration: limits)
        meter = HeadMeter(limit: headLimit)
        self.connection = connection
    }

    mutating func decode(context: ChannelHandlerContext, buffer: inout ByteBuffer) throws -> DecodingState {
        while !connection.isDeaf {
            let fresh = buffer.readableBytes - unconsumed
            guard fresh > 0 else {
                connection.headIsUnderWay(meter.isUnderWay)
                return .needMoreData
            }
            // Never beyond the message: what one read brings behind a body is a head, and no head goes unmeasured.
            let length = connection.awaitsHead ? try measure(buffer) : measureBody(buffer)
            guard length > 0 else { break }
            var piece = length == fresh ? buffer : slice(buffer, unconsumed + length)
            _ = try decoder.decode(context: context, buffer: &piece)
            buffer.moveReaderIndex(forwardBy: unconsumed + length - piece.readableBytes)
            unconsumed = piece.readableBytes
            connection.hasRead(length)
        }
        drop(&buffer)
        return .needMoreData
    }

    mutating func decodeLast(
        context: ChannelHandlerContext, buffer: inout ByteBuffer, seenEOF: Bool
    ) throws -> DecodingState {
        guard !connection.isDeaf else {
            drop(&buffer)
            return .needMoreData
        }
        return try decoder.decodeLast(context: context, buffer: &buffer, seenEOF: seenEOF)
    }

    mutating func decoderAdded(context: ChannelHandlerContext) {
        decoder.decoderAdded(context: context)
    }

    mutating func decoderRemoved(context: ChannelHandlerContext) {
        decoder.decoderRemoved(context: context)
    }

    private mutating func measure(_ buffer: ByteBuffer) throws -> Int {
        try buffer.withUnsafeReadableBytes { bytes in
            try meter.measure(UnsafeRawBufferPointer(rebasing: bytes[unconsumed...]))
        }
    }

    private func measureBody(_ buffer: ByteBuffer) -> Int {
        buffer.withUnsafeReadableBytes { bytes in
            connection.takeBody(UnsafeRawBufferPointer(rebasing: bytes[unconsumed...]))
        }
    }

    private func slice(_ buffer: ByteBuffer, _ length: Int) -> ByteBuffer {
        var whole = buffer
        return whole.readSlice(length: length) ?? whole
    }

    private mutating func drop(_ buffer: inout ByteBuffer) {
        buffer.moveReaderIndex(to: buffer.writerIndex)
        unconsumed = 0
    }
}
