// What a response carries: nothing, bytes, a file with the extent of it that has become available, or what happens.
import Glibc

package enum ResponseBody: Sendable {
    case empty
    case bytes([UInt8])
    case file(FileBody)
    case live(LiveBody)
}

/// An open descriptor, closed with its last owner. One a response: NIO marks a handle in use during `sendfile`,
/// and a second connection sharing it would fail with EBUSY at that instant.
package final class OpenFile: Sendable {
    package let descriptor: CInt

    package init(taking descriptor: CInt) {
        self.descriptor = descriptor
    }

    deinit {
        close(descriptor)
    }

    /// The file's size in bytes at this moment; `nil` if it cannot be told.
    var size: Int64? {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { return nil }
        return Int64(status.st_size)
    }
}

/// A body that lies in a file, whole or still growing. It never passes through user space.
package struct FileBody: Sendable {
    package typealias View =
        @Sendable (
            _ offset: Int64, _ atLeast: Int64, _ wake: Waker, _ orCall: @escaping @Sendable () -> Void
        ) -> FileView

    package let file: OpenFile
    /// The first byte to send, in bytes from the file's beginning.
    package let start: Int64
    /// One past the last byte; `nil` if the size is not known yet: then it is sent until the view ends.
    package let end: Int64?
    /// How much can be read from `offset` on. `atLeast` is the file position the caller would like readable: if less is
    /// there and nothing has ended, `orCall` is kept and called once through `wake` when it is, or at the end.
    package let view: View

    package init(file: OpenFile, start: Int64, end: Int64?, view: @escaping View) {
        self.file = file
        self.start = start
        self.end = end
        self.view = view
    }

    /// A file that is all there: its bytes from `start` to `end`, of a file of `size` bytes.
    package init(complete file: OpenFile, start: Int64 = 0, end: Int64, size: Int64) {
        self.init(file: file, start: start, end: end) { _, _, _, _ in
            FileView(available: size, ending: .complete(size: size))
        }
    }

    /// The length to announce, in bytes.
    var length: Int64? { end.map { $0 - start } }
}

package struct FileView: Sendable, Equatable {
    package enum Ending: Sendable, Equatable {
        case complete(size: Int64)
        case broken
    }

    /// The file is readable up to here, in bytes from its beginning.
    package let available: Int64
    package let ending: Ending?

    package init(available: Int64, ending: Ending?) {
        self.available = available
        self.ending = ending
    }
}

/// An event loop for those who know no NIO: all callbacks of one `id` may be run in one `execute`.
package struct Waker: Sendable {
    package let id: ObjectIdentifier
    package let execute: @Sendable (@escaping @Sendable () -> Void) -> Void

    package init(id: ObjectIdentifier, execute: @escaping @Sendable (@escaping @Sendable () -> Void) -> Void) {
        self.id = id
        self.execute = execute
    }
}
