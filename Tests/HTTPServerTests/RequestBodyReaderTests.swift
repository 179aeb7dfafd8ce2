// Where a body ends, however its bytes are cut, and what is no body.
import Testing

@testable import HTTPServer

@Suite("RequestBody") struct RequestBodyReaderTests {
    private func read(_ pieces: [ArraySlice<UInt8>], length: Int64? = nil) throws -> (taken: Int, hasEnded: Bool) {
        var body = RequestBody(length: length, trailerLimit: 64)
        var taken = 0
        for piece in pieces where !body.hasEnded { taken += try piece.withUnsafeBytes { try body.take($0) } }
        return (taken, body.hasEnded)
    }

    @Test(arguments: [
        "0\r\n\r\n", "3\r\nabc\r\n0\r\n\r\n", "A\r\n0123456789\r\n1;x=\"y\"\r\nz\r\n000\r\nT: u\r\nV: w\r\n\r\n",
    ])
    func `a chunked body ends with its last line, however it is cut`(text: String) throws {
        let bytes = Array(text.utf8)
        for cut in 0...bytes.count {
            let (taken, hasEnded) = try read([bytes[..<cut], bytes[cut...] + [0x47, 0x45, 0x54]])
            #expect(taken == bytes.count && hasEnded, "cut at \(cut)")
        }
    }

    @Test func `a length is that many bytes and no more`() throws {
        let bytes = Array("abcGET".utf8)
        #expect(try read([bytes[...]], length: 3) == (3, true))
        #expect(try read([bytes[..<2]], length: 3) == (2, false))
        #expect(try read([bytes[...]], length: 0) == (0, true))
    }

    @Test(arguments: [
        "\r\n", ";\r\n", "g\r\n", "1 \r\n", "1\n", "1\r\nab", "1\r\na\n", "0\r\n\n", "0\r\nA\r\n\r\n",
        "0\r\n A: b\r\n\r\n", "1;\u{7F}\r\n", "1\r\r", "ffffffffffffffff\r\n",
    ])
    func `what two could read differently is malformed`(text: String) {
        #expect(throws: RequestBody.Fault.malformed) { try read([Array(text.utf8)[...]]) }
    }

    @Test func `trailers are bounded`() {
        let text = "0\r\nA: \(String(repeating: "x", count: 64))\r\n\r\n"
        #expect(throws: RequestBody.Fault.trailersTooLarge) { try read([Array(text.utf8)[...]]) }
    }
}
