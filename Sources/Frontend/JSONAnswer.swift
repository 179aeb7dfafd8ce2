// How this room writes what it says in JSON: one line, its keys in order and in the contract's spelling.

import FoundationEssentials
import HTTPServer
import HTTPTypes

enum JSONAnswer {
    /// `convertToSnakeCase` spells the keys. Every value is a number, a string or a flag: there is nothing in it that
    /// cannot be encoded.
    static func text(of document: some Encodable) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        encoder.keyEncodingStrategy = .convertToSnakeCase
        return (try? encoder.encode(document)).map(Array.init) ?? []
    }

    /// With its end: for answers that are read a line at a time, and for terminals.
    static func line(_ document: some Encodable) -> [UInt8] { text(of: document) + [UInt8(ascii: "\n")] }
}

extension Response {
    /// As it is now: nobody keeps it.
    static func json(_ document: some Encodable, status: HTTPResponse.Status = .ok) -> Response {
        json(line: JSONAnswer.line(document), status: status)
    }

    static func json(line: [UInt8], status: HTTPResponse.Status = .ok) -> Response {
        Response(
            status: status, fields: [.contentType: "application/json", .cacheControl: "no-store"], body: .bytes(line))
    }
}
