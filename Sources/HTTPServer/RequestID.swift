// What a request is called in logs: by whoever sent it, or by us.
import HTTPTypes

enum RequestID {
    static let fieldName = "X-Request-Id"

    /// Of this run of the program, six digits: so that numbers mean something when logs of several runs lie together.
    static let run: String = {
        let digits = String(UInt32.random(in: 0..<1 << 24), radix: 16)
        return String(repeating: "0", count: 6 - digits.utf8.count) + digits
    }()

    static func made(_ number: UInt64) -> String { "\(run)-\(number)" }

    private static let name = HTTPField.Name(fieldName)

    /// What the client calls it, if that can be taken over: 8 to 64 of `A-Z a-z 0-9 . _ -`, once.
    static func given(_ fields: RequestFields) -> String? {
        guard let name, fields.contains(name) else { return nil }
        let values = fields[values: name]
        guard values.count == 1, let value = values.first, (8...64).contains(value.utf8.count),
            value.utf8.allSatisfy(isPlain)
        else { return nil }
        return value
    }

    private static func isPlain(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "-"):
            true
        default: false
        }
    }
}
