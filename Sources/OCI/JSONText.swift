// JSON as text: what a document must be before it is decoded, and how ours is written.

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

    private static func isBlank(_ byte: UInt8) -> Bool {
        byte == 0x20 || byte == 0x09 || byte == 0x0A || byte == 0x0D
    }
}
