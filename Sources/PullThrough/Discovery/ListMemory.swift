// The lists that were used last, as values: a hit on one neither reads nor parses. And how they are parsed: one at a
// time, however many are asked for, so that the long ones of one client hold nobody else up.

import OCI
import Store
import Synchronization

/// What can be read from a kept list.
protocol ReadList: Sendable {
    /// nil if it is no such list.
    init?(_ kept: KeptList)
    /// About how many bytes of memory it takes.
    var cost: Int { get }
}

/// A list, and when the upstream gave it, in Unix milliseconds.
struct KnownList<List: ReadList>: Sendable {
    let list: List
    let fetchedAt: Int64
}

/// A lock: a look and a change are steps of microseconds.
final class ListMemory: Sendable {
    static let mostLists = 8
    /// Of all lists together; the longest that can be parsed is less.
    static let mostBytes = 24 << 20

    fileprivate struct Entry {
        let question: Discovery.Question
        let known: any Sendable
        let cost: Int
    }

    fileprivate struct State {
        /// The one used last is the last.
        var entries: [Entry] = []
        var changes = 0
    }

    private let state = Mutex(State())

    /// Another number after each change of what is kept.
    var changes: Int { state.withLock { $0.changes } }

    func known<List: ReadList>(_ question: Discovery.Question) -> KnownList<List>? {
        state.withLock { state in
            guard let index = state.entries.firstIndex(where: { $0.question == question }) else { return nil }
            let entry = state.entries.remove(at: index)
            state.entries.append(entry)
            return entry.known as? KnownList<List>
        }
    }

    /// The upstream has given another list.
    func change<List: ReadList>(_ question: Discovery.Question, to known: KnownList<List>) {
        state.withLock { state in
            state.changes += 1
            state.remember(known, for: question)
        }
    }

    /// A list was read from the store. It may be what was kept before a change that has come meanwhile: then it is not
    /// remembered.
    ///
    /// - Parameter changes: what it was before the reading.
    func remember<List: ReadList>(_ known: KnownList<List>, for question: Discovery.Question, since changes: Int) {
        state.withLock { state in
            if state.changes == changes { state.remember(known, for: question) }
        }
    }

    /// All pages of a repository's list are void.
    func forget(_ kind: ListKey.Kind, of repository: Repository) {
        state.withLock { state in
            state.changes += 1
            state.entries.removeAll { $0.question.repository == repository && $0.question.key.kind == kind }
        }
    }
}

extension ListMemory.State {
    fileprivate mutating func remember<List: ReadList>(_ known: KnownList<List>, for question: Discovery.Question) {
        entries.removeAll { $0.question == question }
        entries.append(ListMemory.Entry(question: question, known: known, cost: known.list.cost))
        while entries.count > ListMemory.mostLists || entries.reduce(0, { $0 + $1.cost }) > ListMemory.mostBytes {
            entries.removeFirst()
        }
    }
}

/// One work after the other. Each is a task of its own, queued behind all that is runnable when the one before it ends.
final class Lane: Sendable {
    private let last = Mutex<Task<Void, Never>?>(nil)

    func run<Value: Sendable>(_ work: @escaping @Sendable () -> Value) async -> Value {
        let task = last.withLock { last in
            let task = Task { [before = last] in
                await before?.value
                return work()
            }
            last = Task { _ = await task.value }
            return task
        }
        return await task.value
    }
}
