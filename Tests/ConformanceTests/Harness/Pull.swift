// A client that knows what it should get: it compares while it reads, at its own pace, and keeps nothing.

import Foundation
import OCI
import TestSupport

/// How a client behaves.
struct Pull: Sendable {
    var fields: [String: String] = [:]
    /// Bytes a second; `nil`: as fast as it can.
    var rate: Int?
    /// Resets the connection after so many bytes of the body, as containerd does with a chunk.
    var leavesAfter: Int?
    /// How long it waits for the next bytes.
    var patience = Duration.seconds(40)
    /// Called once the head is there.
    var onHead: @Sendable () -> Void = {}

    /// Asks once, blocking.
    func run(_ path: String, of blob: TestBlob, port: Int) throws -> Pulled {
        let start = ContinuousClock.now
        // A slow reader is slow for its sender only where the kernel holds little for it.
        let connection = try Connection(port: port, within: patience, receiveBuffer: rate == nil ? nil : 64 << 10)
        try connection.send("GET", path, fields)
        let head = try connection.readHead()
        onHead()
        guard head.status == 200 || head.status == 206 else {
            let (body, ending) = try connection.readBody(after: head)
            return Pulled(
                head: head, size: blob.bytes.count, text: String(decoding: body, as: UTF8.self), ending: ending,
                start: start)
        }
        var pulled = Pulled(head: head, size: blob.bytes.count, start: start)
        let announced = try pulled.range()
        let end = min(announced.count, leavesAfter ?? announced.count)
        while pulled.received < end, pulled.ending == nil {
            let (bytes, ending) = try connection.read(min(64 << 10, end - pulled.received))
            let place = announced.lowerBound + pulled.received
            if pulled.firstWrong == nil {
                pulled.firstWrong = Self.firstDifference(of: bytes, from: blob.bytes, at: place)
            }
            pulled.received += bytes.count
            pulled.ending = ending
            if let rate { wait(untilDue: pulled.received, at: rate, since: start) }
        }
        if pulled.received < announced.count {
            if pulled.ending == nil { connection.resetWhenClosed() }
        } else {
            pulled.ending = .complete
        }
        pulled.duration = ContinuousClock.now - start
        return pulled
    }

    private func wait(untilDue bytes: Int, at rate: Int, since start: ContinuousClock.Instant) {
        let due = start + .nanoseconds(Int64(Double(bytes) / Double(rate) * 1e9))
        let rest = due - ContinuousClock.now
        if rest > .zero { usleep(UInt32(rest / .microseconds(1))) }
    }

    /// The place of the first byte that is not the blob's.
    private static func firstDifference(of piece: [UInt8], from bytes: [UInt8], at place: Int) -> Int? {
        let isSame = piece.withUnsafeBytes { piece in
            bytes.withUnsafeBytes { bytes in
                guard let left = piece.baseAddress, let right = bytes.baseAddress else { return true }
                return place + piece.count <= bytes.count && memcmp(left, right + place, piece.count) == 0
            }
        }
        if isSame { return nil }
        return piece.indices.first { place + $0 >= bytes.count || piece[$0] != bytes[place + $0] }.map { place + $0 }
    }
}

/// What a client got.
struct Pulled: Sendable, CustomStringConvertible {
    let status: Int
    let fields: Fields
    /// The body of an error.
    var text = ""
    /// Bytes of the body that came.
    var received = 0
    /// The place in the blob of the first of them that is another than the blob's.
    var firstWrong: Int?
    /// How the body ended; `nil`: the client left first.
    var ending: BodyEnding?
    var duration: Duration
    /// Bytes of the blob.
    private let size: Int

    init(
        head: Head, size: Int, text: String = "", ending: BodyEnding? = nil, start: ContinuousClock.Instant
    ) {
        status = head.status
        fields = head.fields
        self.size = size
        self.text = text
        self.ending = ending
        duration = ContinuousClock.now - start
    }

    var isRight: Bool { firstWrong == nil }

    /// One clean 200 with the right bytes.
    var isWhole: Bool { status == 200 && ending == .complete && received == size && isRight }

    /// One clean 206 with these bytes of the blob, told as such.
    func isPart(_ range: Range<Int>) -> Bool {
        status == 206 && ending == .complete && received == range.count && isRight
            && fields["Content-Range"] == "bytes \(range.lowerBound)-\(range.upperBound - 1)/\(size)"
    }

    /// Whether the client may take it for the whole blob.
    var looksWhole: Bool { (status == 200 || status == 206) && ending == .complete }

    var cacheStatus: String { fields["Cache-Status"] ?? "none" }

    var description: String {
        let told = fields["Content-Range"].map { " \($0)" } ?? ""
        let verdict = firstWrong.map { "WRONG from \($0)" } ?? "right"
        return "\(status)\(told), \(received) bytes that are \(verdict), \(duration), "
            + "\(ending.map { "\($0)" } ?? "left") \(text.prefix(300))"
    }

    /// Which bytes of the blob the head announces.
    /// - Throws: if it announces none, or two lengths that disagree.
    func range() throws -> Range<Int> {
        guard let length = fields["Content-Length"].flatMap({ Int($0) }) else {
            throw HarnessError("no Content-Length: \(fields)")
        }
        guard status == 206 else { return 0..<length }
        let text = fields["Content-Range"] ?? ""
        let numbers = text.split { !$0.isNumber }.compactMap { Int($0) }
        guard text.hasPrefix("bytes "), numbers.count >= 2, numbers[1] + 1 - numbers[0] == length else {
            throw HarnessError("Content-Range \"\(text)\" with Content-Length \(length)")
        }
        return numbers[0]..<numbers[1] + 1
    }
}
