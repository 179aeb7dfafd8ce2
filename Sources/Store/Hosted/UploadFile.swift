// A blob being pushed: one file, written from its first byte on, hashed as it is written.

import Glibc
import OCI
import Synchronization

/// Who it belongs to sees to it that one request at a time writes. It ends by `ContentStore.host`, or with its last
/// reference: then nothing of it is left.
package final class UploadFile: Sendable {
    private struct State: ~Copyable {
        var ingest: Ingest?
        /// nil where the hash must begin again: bytes were taken back.
        var digester: Digester?
        var algorithm: Digest.Algorithm
        var size: Int64 = 0
    }

    private let state: Mutex<State>
    /// As in the state, for who must not wait for the disk.
    private let count = Atomic<Int64>(0)
    let reservation: Reservation
    private let path: String

    init(_ ingest: consuming Ingest, algorithm: Digest.Algorithm, reservation: Reservation) {
        path = ingest.path
        self.reservation = reservation
        state = Mutex(State(ingest: ingest, digester: Digester(algorithm), algorithm: algorithm))
    }

    /// Bytes that are here.
    package var size: Int64 { count.load(ordering: .acquiring) }

    /// Puts bytes behind those that are here; waits for the disk.
    func append(_ bytes: [UInt8]) throws(StoreError) {
        let result: Result<Void, StoreError> = bytes.withUnsafeBytes { bytes in
            Result { () throws(StoreError) in try append(bytes) }
        }
        try result.get()
    }

    private func append(_ bytes: UnsafeRawBufferPointer) throws(StoreError) {
        try state.withLock { (state: inout State) throws(StoreError) in
            guard state.ingest != nil else { throw .ended }
            try state.ingest?.write(bytes, at: state.size)
            state.digester?.update(bytes)
            state.size += Int64(bytes.count)
            count.store(state.size, ordering: .releasing)
        }
    }

    /// Takes back what is beyond `size` bytes.
    package func cut(to size: Int64) {
        state.withLock { state in
            guard size < state.size else { return }
            state.size = size
            state.digester = nil
            count.store(size, ordering: .releasing)
        }
    }

    /// Gives back the room beyond what is here; waits for the disk.
    func trim() {
        let size = state.withLock { state in
            // What cannot be given back now is when it ends.
            try? state.ingest?.trim(to: Extents(state.size > 0 ? [0..<state.size] : []))
            return state.size
        }
        reservation.shrink(to: size)
    }

    func readAll() throws(StoreError) -> [UInt8] {
        try state.withLock { (state: inout State) throws(StoreError) -> [UInt8] in
            guard let descriptor = try state.ingest?.duplicate() else { throw .ended }
            defer { close(descriptor) }
            var bytes = [UInt8](repeating: 0, count: Int(state.size))
            let result: Result<Int, StoreError> = bytes.withUnsafeMutableBytes { bytes in
                Result { () throws(StoreError) in try readFully(descriptor, bytes, at: 0, path: path) }
            }
            guard try result.get() == bytes.count else { throw .io(operation: "read back", path: path, errno: EIO) }
            return bytes
        }
    }

    /// Hashes what is here, if that is not done yet, and makes it durable; waits for the disk.
    func finish(_ algorithm: Digest.Algorithm) throws(StoreError) -> Digest {
        try state.withLock { (state: inout State) throws(StoreError) in
            guard state.ingest != nil else { throw .ended }
            try state.ingest?.sync(size: state.size)
            if state.algorithm == algorithm, let digester = state.digester.take() { return digester.finish() }
            guard let descriptor = try state.ingest?.duplicate() else { throw .ended }
            defer { close(descriptor) }
            return try Self.hash(descriptor, upTo: state.size, algorithm, path)
        }
    }

    private static func hash(
        _ descriptor: CInt, upTo size: Int64, _ algorithm: Digest.Algorithm, _ path: String
    ) throws(StoreError) -> Digest {
        var digester = Digester(algorithm)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
        defer { buffer.deallocate() }
        var offset: Int64 = 0
        while offset < size {
            let count = try readFully(descriptor, buffer, at: offset, path: path)
            let piece = min(Int64(count), size - offset)
            guard piece > 0 else { throw .io(operation: "read back", path: path, errno: EIO) }
            digester.update(UnsafeRawBufferPointer(rebasing: buffer[..<Int(piece)]))
            offset += piece
        }
        return digester.finish()
    }

    /// The file, taken out to be published or thrown away, once.
    func takeIngest() -> Ingest? { state.withLock { $0.ingest.take() } }

    /// Nothing of it is left, whoever still refers to it.
    package func discard() {
        _ = takeIngest()  // going out of scope removes the file
        reservation.giveBack()
    }
}
