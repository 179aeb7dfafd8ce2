// Reading one mapping of the file: each key asked for becomes a known one, and what is left in the end is a mistake.

import Yams

/// A value given outside the file, which counts before the file's.
struct Override {
    /// One for a value, any number for a list.
    let texts: [String]
    let origin: Origin
}

struct ConfigurationSection {
    private struct Entry {
        let key: String
        let node: Node
        let origin: Origin
    }

    private let notes: ConfigurationNotes
    /// Where it begins.
    let origin: Origin
    /// The keys above this one, each followed by a dot.
    private let path: String
    private var entries: [Entry] = []
    private var known: [String] = []
    /// The keys that the file has, right or wrong.
    private var given: [String: Origin] = [:]

    /// - Parameter node: `nil` for a section that is not there, whose keys may still come from elsewhere.
    init(_ node: Node?, path: String, origin: Origin, notes: ConfigurationNotes) {
        self.notes = notes
        self.origin = origin
        self.path = path
        guard let node, !node.isUnset else { return }
        guard case .mapping(let mapping) = node else {
            notes.mistake(
                origin, "\(path.isEmpty ? "the file" : String(path.dropLast())) must have keys, each with a value")
            return
        }
        for (key, value) in mapping {
            let origin = notes.origin(key, else: origin)
            guard case .scalar(let scalar) = key else {
                notes.mistake(origin, "a key must be a word")
                continue
            }
            entries.append(Entry(key: scalar.string, node: value, origin: origin))
        }
    }

    /// A value, or what stands for it if nobody gave one.
    mutating func value<Value>(
        _ key: String, or fallback: Value, overriddenBy override: Override? = nil,
        _ parse: (String) throws(ValueMistake) -> Value
    ) -> Value {
        optional(key, overriddenBy: override, parse) ?? fallback
    }

    mutating func optional<Value>(
        _ key: String, overriddenBy override: Override? = nil, _ parse: (String) throws(ValueMistake) -> Value
    ) -> Value? {
        var result: Value?
        if let entry = take(key) {
            if case .scalar(let scalar) = entry.node {
                result = read(scalar.string, entry.key, entry.origin, parse)
            } else {
                notes.mistake(entry.origin, "\(path)\(key): one value is wanted here")
            }
        }
        if let override, let text = override.texts.last { result = read(text, key, override.origin, parse) }
        return result
    }

    /// A list; a single value is a list of one. `nil` if nobody gave one, or a member was wrong.
    mutating func list<Value>(
        _ key: String, overriddenBy override: Override? = nil, _ parse: (String) throws(ValueMistake) -> Value
    ) -> [Value]? {
        var result: [Value]?
        if let entry = take(key) {
            switch entry.node {
            case .scalar(let scalar): result = read(scalar.string, key, entry.origin, parse).map { [$0] }
            case .sequence(let sequence):
                let values = sequence.compactMap { node -> Value? in
                    let origin = notes.origin(node, else: entry.origin)
                    guard case .scalar(let scalar) = node else {
                        notes.mistake(origin, "\(path)\(key): each member must be one value")
                        return nil
                    }
                    return read(scalar.string, key, origin, parse)
                }
                notes.given(path + key, entry.origin)
                if values.count == sequence.count { result = values }
            case .mapping, .alias: notes.mistake(entry.origin, "\(path)\(key): a list is wanted here")
            }
        }
        if let override { result = override.texts.compactMap { read($0, key, override.origin, parse) } }
        return result
    }

    /// The section under a key, to be finished by whoever asked for it.
    mutating func section(_ key: String) -> ConfigurationSection {
        let entry = take(key)
        return ConfigurationSection(
            entry?.node, path: "\(path)\(key).", origin: entry?.origin ?? .builtIn, notes: notes)
    }

    /// The sections under a key whose own keys are names that the user chose.
    mutating func namedSections(_ key: String) -> [(name: String, section: ConfigurationSection, origin: Origin)] {
        let names = section(key)
        return names.entries.map { entry in
            let path = "\(names.path)\(entry.key)."
            let section = ConfigurationSection(entry.node, path: path, origin: entry.origin, notes: notes)
            return (entry.key, section, entry.origin)
        }
    }

    /// The members of a list of sections.
    mutating func sections(_ key: String) -> [ConfigurationSection] {
        guard let entry = take(key) else { return [] }
        guard case .sequence(let sequence) = entry.node else {
            notes.mistake(entry.origin, "\(path)\(key): a list is wanted here")
            return []
        }
        return sequence.enumerated().map { index, node in
            let origin = notes.origin(node, else: entry.origin)
            return ConfigurationSection(node, path: "\(path)\(key)[\(index)].", origin: origin, notes: notes)
        }
    }

    /// The members of a list, each of which is one word or has keys.
    mutating func members(_ key: String) -> [Member] {
        guard let entry = take(key) else { return [] }
        notes.given(path + key, entry.origin)
        let nodes: [Node]
        if case .sequence(let sequence) = entry.node { nodes = Array(sequence) } else { nodes = [entry.node] }
        return nodes.enumerated().map { index, node in
            let origin = notes.origin(node, else: entry.origin)
            if case .scalar(let scalar) = node { return .word(scalar.string, origin) }
            return .keys(ConfigurationSection(node, path: "\(path)\(key)[\(index)].", origin: origin, notes: notes))
        }
    }

    enum Member {
        case word(String, Origin)
        case keys(ConfigurationSection)
    }

    /// Checks the form of a value that nothing acts on yet.
    @discardableResult
    mutating func idle<Value>(_ key: String, _ parse: (String) throws(ValueMistake) -> Value) -> Value? {
        let value = optional(key, parse)
        if value != nil { notes.idle(path + key) }
        return value
    }

    /// Checks the form of a list that nothing acts on yet.
    mutating func idleList(_ key: String, _ parse: (String) throws(ValueMistake) -> some Any) {
        if let list = list(key, parse), !list.isEmpty { notes.idle(path + key) }
    }

    /// Refuses what is set under a key that does not act yet and whose not acting would do harm.
    ///
    /// - Parameter harmless: a value that says what holds anyway.
    mutating func refuse(_ key: String, unless harmless: String? = nil) {
        guard let entry = take(key), !entry.node.isEmpty else { return }
        if let harmless, entry.node.scalar?.string == harmless { return }
        notes.mistake(entry.origin, "\(path)\(key) does not act yet: take it out of the file")
    }

    /// Reports the keys that nobody asked for.
    func finish() {
        for entry in entries {
            let nearest = NearestWord.to(entry.key, among: known).map { "; the nearest known key is \($0)" } ?? ""
            notes.mistake(entry.origin, "unknown key \(path)\(entry.key.prefix(80))\(nearest)")
        }
    }

    /// Whether the file has the key, right or wrong; to be asked after its value.
    func isGiven(_ key: String) -> Bool { given[key] != nil }

    /// - Parameter origin: `nil`: where the key's value was given.
    func mistake(_ key: String, _ message: String, at origin: Origin? = nil) {
        notes.mistake(origin ?? notes.origins[path + key] ?? given[key], "\(path)\(key): \(message)")
    }

    private mutating func take(_ key: String) -> Entry? {
        known.append(key)
        guard let index = entries.firstIndex(where: { $0.key == key }) else { return nil }
        let entry = entries.remove(at: index)
        guard !entry.node.isUnset else { return nil }
        given[key] = entry.origin
        return entry
    }

    private func read<Value>(
        _ text: String, _ key: String, _ origin: Origin, _ parse: (String) throws(ValueMistake) -> Value
    ) -> Value? {
        do throws(ValueMistake) {
            let value = try parse(text)
            notes.given(path + key, origin)
            return value
        } catch {
            notes.mistake(origin, "\(path)\(key): \(error.message)")
            return nil
        }
    }
}

extension ConfigurationNotes {
    fileprivate func origin(_ node: Node, else origin: Origin) -> Origin {
        node.mark.map { .file(file, line: $0.line) } ?? origin
    }
}

extension Node {
    /// Nothing stands after the key, or `~` or `null`.
    fileprivate var isUnset: Bool {
        guard case .scalar(let scalar) = self, scalar.style == .plain || scalar.style == .any else { return false }
        return ["", "~", "null", "Null", "NULL"].contains(scalar.string)
    }

    /// Unset, or a list or keys of nothing that is set.
    fileprivate var isEmpty: Bool {
        switch self {
        case .scalar: isUnset
        case .sequence(let sequence): sequence.isEmpty
        case .mapping(let mapping): mapping.values.allSatisfy(\.isEmpty)
        case .alias: false
        }
    }
}
