// JSON as it came, and the shape it has to have.

import Foundation

enum JSONValue: Decodable, Sendable, Equatable {
    case null
    case bool(Bool)
    case number(Double)
    case text(String)
    case array([JSONValue])
    case object([String: JSONValue])

    init(from decoder: any Decoder) throws {
        let value = try decoder.singleValueContainer()
        if value.decodeNil() {
            self = .null
        } else if let bool = try? value.decode(Bool.self) {  // each of these fails where the value is of another type
            self = .bool(bool)
        } else if let number = try? value.decode(Double.self) {
            self = .number(number)
        } else if let text = try? value.decode(String.self) {
            self = .text(text)
        } else if let array = try? value.decode([JSONValue].self) {
            self = .array(array)
        } else {
            self = .object(try value.decode([String: JSONValue].self))
        }
    }

    /// The member, or the element of an array; `.null` if there is none.
    subscript(_ name: String) -> JSONValue {
        if case .object(let members) = self { members[name] ?? .null } else { .null }
    }

    subscript(_ index: Int) -> JSONValue {
        if case .array(let elements) = self, elements.indices.contains(index) { elements[index] } else { .null }
    }

    var number: Double? { if case .number(let number) = self { number } else { nil } }
    var text: String? { if case .text(let text) = self { text } else { nil } }
    var elements: [JSONValue] { if case .array(let elements) = self { elements } else { [] } }
}

indirect enum Shape: Sendable {
    case bool
    case integer
    case number
    case text
    case orNull(Shape)
    case array(Shape)
    /// Exactly these members.
    case object([String: Shape])

    /// What in `value` is of another shape, each with where it is.
    func differences(in value: JSONValue, at place: String = "") -> [String] {
        switch (self, value) {
        case (.bool, .bool), (.number, .number), (.text, .text), (.orNull, .null): return []
        case (.integer, .number(let number)):
            return number == number.rounded() ? [] : ["\(place) is \(number), not an integer"]
        case (.orNull(let shape), _): return shape.differences(in: value, at: place)
        case (.array(let shape), .array(let elements)):
            return elements.enumerated().flatMap { shape.differences(in: $1, at: "\(place)[\($0)]") }
        case (.object(let shapes), .object(let members)):
            let missing = shapes.keys.filter { members[$0] == nil }.sorted().map { "\(place).\($0) is missing" }
            let extra = members.keys.filter { shapes[$0] == nil }.sorted().map {
                "\(place).\($0) is not in the contract"
            }
            let within = shapes.keys.sorted().flatMap { name in
                members[name].map { shapes[name]?.differences(in: $0, at: "\(place).\(name)") ?? [] } ?? []
            }
            return missing + extra + within
        default: return ["\(place) is \(value), not \(self)"]
        }
    }
}
