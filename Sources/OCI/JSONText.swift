// JSON as text: what a document must be before it is read, and its parts as they were written, for what is passed on
// although nobody here knows what it means.

import FoundationEssentials

enum JSONText {
    /// Reads an object; nil if the bytes are none, or none of that form. The decoder would also take UTF-16 and a byte
    /// order mark; no client does.
    static func decode<Value: Decodable>(_ type: Value.Type, from bytes: some Collection<UInt8>) -> Value? {
        guard bytes.first(where: { !isBlank($0) }) == UInt8(ascii: "{"), !bytes.contains(0) else { return nil }
        // What exactly is wrong with it matters to nobody: it is not used.
        return try? JSONDecoder().decode(type, from: Data(bytes))
    }

    static func encode(_ value: some Encodable) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        // Strings, whole numbers, booleans and lists of them: there is nothing that it could refuse.
        guard let data = try? encoder.encode(value) else { preconditionFailure("\(type(of: value)) is no JSON") }
        return Array(data)
    }

    /// The elements of an array that is a member of the document, as they were written.
    ///
    /// - Parameters:
    ///   - name: the member's, as it stands between its quotes; the first of that name counts.
    ///   - bytes: an object that a decoder has taken, so that only brackets and quotes need to be looked at.
    static func elements(of name: String, in bytes: [UInt8]) -> [ArraySlice<UInt8>] {
        var depth = 0
        var isInside = false
        var start: Int?
        var elements: [ArraySlice<UInt8>] = []
        var position = 0
        var lastString = 0..<0
        while position < bytes.count {
            let byte = bytes[position]
            if isInside, depth == 2, start == nil, !isBlank(byte), byte != UInt8(ascii: ","), byte != UInt8(ascii: "]")
            {
                start = position
            }
            switch byte {
            case UInt8(ascii: "\""):
                let end = endOfString(from: position, in: bytes)
                lastString = position + 1..<end
                position = end
            case UInt8(ascii: "["), UInt8(ascii: "{"):
                depth += 1
                if depth == 2, byte == UInt8(ascii: "["), bytes[lastString].elementsEqual(name.utf8) { isInside = true }
            case UInt8(ascii: "]"), UInt8(ascii: "}"), UInt8(ascii: ","):
                if isInside, depth == 2, let first = start {
                    elements.append(bytes[first..<position])
                    start = nil
                }
                if byte == UInt8(ascii: ",") { break }
                depth -= 1
                if isInside, depth == 1 { return elements }
            default: break
            }
            position += 1
        }
        return elements
    }

    /// The closing quote of the string whose opening quote is at `start`.
    private static func endOfString(from start: Int, in bytes: [UInt8]) -> Int {
        var position = start + 1
        while position < bytes.count, bytes[position] != UInt8(ascii: "\"") {
            position += bytes[position] == UInt8(ascii: "\\") ? 2 : 1
        }
        return min(position, bytes.count - 1)
    }

    private static func isBlank(_ byte: UInt8) -> Bool {
        byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D
    }
}
