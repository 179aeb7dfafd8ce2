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
    private let landing: Landing
    private let fill: Fill?
    private let duplicate: @Sendable () throws(StoreError) -> CInt

    init(stored file: BlobFile) {
        digest = file.digest
        size = file.size
        landing = Landing(complete: file.size)
        fill = nil
        duplicate = { () throws(StoreError) in try file.duplicate() }
    }

    init(following fill: Fill, through writer: IngestWriter) {
        digest = fill.digest
        size = writer.announced
        landing = writer.landing
        self.fill = fill
        duplicate = { () throws(StoreError) in try writer.duplicate() }
        fill.join()
    }

    deinit { fill?.leave() }

    /// Whether its bytes are still coming, or not yet known to be good.
    package var isInFlight: Bool { landing.ending == nil }

    /// A descriptor for this reader's connection alone, to close when it is done.
    package func openDescriptor() throws(PullThroughError) -> CInt {
        do throws(StoreError) { return try duplicate() } catch { throw PullThroughError(error) }
    }

    /// How many bytes from the start may be read now; if fewer than `atLeast`, and nothing has ended, `call` runs
    /// once when there are more, through `execute`, together with all others of the same `group`.
    ///
    /// - Parameter isPiece: a closed range, which its client checks itself; else the last bytes are held back until
    ///   they are verified.
    package func view(
        atLeast: Int64, isPiece: Bool, group: ObjectIdentifier,
        execute: @escaping @Sendable (@escaping @Sendable () -> Void) -> Void,
        orCall call: @escaping @Sendable () -> Void
    ) -> (available: Int64, ending: Ending?) {
        let view = landing.view(
            atLeast: atLeast, as: isPiece ? .piece : .whole, wake: WakeGroup(id: group, execute: execute), orCall: call)
        switch view.ending {
        case .complete(let size): return (view.available, .complete(size: size))
        case .broken: return (view.available, .broken)
        case nil: return (view.available, nil)
        }
    }
}
