// A blob as a client reads it: an open file and how much of it there is. A hit is a fill that has already finished.

package import OCI
import Store

package final class BlobReader: Sendable {
    package enum Ending: Equatable, Sendable {
        /// Bytes.
        case complete(size: Int64)
        case broken
    }

    package let digest: Digest
    /// Bytes; nil while nobody knows.
    package let size: Int64?
    /// It passes through without being kept: what does not begin with its first byte is never verified.
    package let isPassing: Bool
    private let landing: Landing
    private let following: (fill: Fill, id: Int)?
    private let doubt: @Sendable () -> Void
    private let duplicate: @Sendable () throws(StoreError) -> CInt

    init(stored file: BlobFile, in store: ContentStore) {
        doubt = { [digest = file.digest, size = file.size] in store.doubt(digest, size: size) }
        digest = file.digest
        size = file.size
        isPassing = false
        landing = Landing(complete: file.size)
        following = nil
        duplicate = { () throws(StoreError) in try file.duplicate() }
    }

    /// - Parameter id: the follower's number, given up with this reader.
    init(following fill: Fill, as id: Int, through writer: IngestWriter) {
        doubt = {}
        digest = fill.digest
        size = writer.announced
        isPassing = writer.window != nil
        landing = writer.landing
        following = (fill, id)
        duplicate = { () throws(StoreError) in try writer.duplicate() }
    }

    deinit { following?.fill.leave(following?.id ?? 0) }

    /// Whether its bytes are still coming, or not yet known to be good.
    package var isInFlight: Bool { landing.ending == nil }

    /// Whether all of it has come and is what it is called.
    package var isWhole: Bool { if case .complete? = landing.ending { true } else { false } }

    /// What has come of a transfer, in bytes, all parts together.
    package var received: Int64 { landing.landed }

    /// Whether there turned out to be no room for it on the way: then it waits for who reads it, and is not kept.
    package var hasNoRoom: Bool { isPassing || following?.fill.isPassing == true }

    /// Calls once when nothing more comes, at once if that is so already. Reads nothing: who only wants it to be here
    /// follows as a client that has not read yet.
    func whenEnded(_ call: @escaping @Sendable () -> Void) {
        let view = landing.view(
            offset: 0, atLeast: .max, as: .whole, wake: WakeGroup(id: ObjectIdentifier(self), execute: { $0() }),
            orCall: call)
        if view.ending != nil { call() }
    }

    /// Reading it went wrong on the way out: what is stored is looked at.
    package func broke() { doubt() }

    /// A descriptor for this reader's connection alone, to close when it is done.
    package func openDescriptor() throws(PullThroughError) -> CInt {
        do throws(StoreError) { return try duplicate() } catch { throw PullThroughError(error) }
    }

    /// Up to which offset bytes may be read now from `offset` on; if that is before `atLeast`, and nothing has ended,
    /// `call` runs once when there are more, through `execute`, together with all others of the same `group`. All that
    /// is before `offset` has been read.
    ///
    /// - Parameter isPiece: a closed range, which its client checks itself; else the last bytes are held back until
    ///   they are verified.
    package func view(
        from offset: Int64, atLeast: Int64, isPiece: Bool, group: ObjectIdentifier,
        execute: @escaping @Sendable (@escaping @Sendable () -> Void) -> Void,
        orCall call: @escaping @Sendable () -> Void
    ) -> (available: Int64, ending: Ending?) {
        if let following, landing.ending == nil { following.fill.moved(following.id, to: offset) }
        let view = landing.view(
            offset: offset, atLeast: atLeast, as: isPiece ? .piece : .whole,
            wake: WakeGroup(id: group, execute: execute), orCall: call)
        switch view.ending {
        case .complete(let size): return (view.available, .complete(size: size))
        case .broken: return (view.available, .broken)
        case nil: return (view.available, nil)
        }
    }
}
