// A head that was made before is the same bytes.
import HTTPTypes
import NIOCore
import Testing

@testable import HTTPServer

@Suite("Prepared heads") struct PreparedHeadTests {
    private func bytes(_ response: Response, isHEAD: Bool, isHTTP10: Bool, isLast: Bool) -> [String] {
        var buffer = ByteBuffer()
        ResponseHead(
            response: response, framing: Framing(response, isHTTP10: isHTTP10), isHEAD: isHEAD, isHTTP10: isHTTP10,
            isLast: isLast
        ).write(into: &buffer, date: "now")
        return String(buffer: buffer).split(separator: "\r\n").map { String($0) }.sorted()
    }

    @Test(arguments: [(false, false, false), (true, false, true), (false, true, false)])
    func `the head has the same lines`(isHEAD: Bool, isHTTP10: Bool, isLast: Bool) {
        let fields: HTTPFields = [.contentType: "a/b", .eTag: "\"x\"", .age: "7"]
        let body = ResponseBody.bytes([1, 2, 3])
        let plain = Response(status: .ok, fields: fields, body: body)
        var withoutAge = plain
        withoutAge.fields[.age] = nil
        let prepared = Response(PreparedHead(withoutAge), age: 7, body: body)
        #expect(
            bytes(prepared, isHEAD: isHEAD, isHTTP10: isHTTP10, isLast: isLast)
                == bytes(plain, isHEAD: isHEAD, isHTTP10: isHTTP10, isLast: isLast))
    }
}
