// What is fuzzed: a law that holds for any bytes, where to start from, and of which words the inputs are made.

import Testing

/// One parser, or a few that belong together, and what must hold for whatever it is given.
struct FuzzTarget: Sendable, CustomTestStringConvertible {
    let name: String
    /// Proper inputs: what is fed is made from them.
    let seeds: [[UInt8]]
    /// Pieces of the grammar that no bit that is flipped would ever make.
    let words: [[UInt8]]
    /// Throws where the law is broken, and traps where the parser does.
    let law: @Sendable ([UInt8]) throws -> Void

    init(
        _ name: String, seeds: [String], words: [String], law: @escaping @Sendable ([UInt8]) throws -> Void
    ) {
        self.name = name
        self.seeds = seeds.map { Array($0.utf8) }
        self.words = words.map { Array($0.utf8) }
        self.law = law
    }

    var testDescription: String { name }

    static let all = [
        head, json, manifest, lists, challenge, fields, range, names, patterns, addresses, urls, secrets, configuration,
        values,
    ]

    static func named(_ name: String) -> FuzzTarget? { all.first { $0.name == name } }
}

/// A law that did not hold, in words.
struct Broken: Error, CustomStringConvertible {
    let description: String
}

/// The words are only made where it does not hold.
func hold(_ holds: Bool, _ words: @autoclosure () -> String) throws {
    if !holds { throw Broken(description: words()) }
}

extension [UInt8] {
    /// As it can be written into a test.
    var literal: String {
        var text = ""
        for byte in self {
            switch byte {
            case 0x22, 0x5C: text += "\\\(Character(Unicode.Scalar(byte)))"
            case 0x20...0x7E: text.unicodeScalars.append(Unicode.Scalar(byte))
            case 0x0A: text += "\\n"
            case 0x0D: text += "\\r"
            default: text += "\\u{\(String(byte, radix: 16))}"
            }
        }
        return "\"\(text)\""
    }
}
