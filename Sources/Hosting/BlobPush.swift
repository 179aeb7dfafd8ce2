// A blob's way in: at once, in pieces, or from another repository.

package import OCI
import Store
import Synchronization

extension HostedRepositories {
    /// Where the next bytes of an upload are to be put, first and last, as a client says it.
    package enum Chunk: Equatable, Sendable {
        /// Behind what is there.
        case next
        case range(ClosedRange<Int64>)
        /// What it says is no range.
        case malformed
    }

    // MARK: The steps of an upload

    /// - Parameter algorithm: by which the blob will probably be named.
    package func beginUpload(
        in name: RepositoryName, algorithm: Digest.Algorithm = .sha256
    ) throws(HostingError) -> UploadStatus {
        try checkWritable(name)
        guard store.isHostedKnown else { throw HostingError(.hostedUnread) }
        guard let session = uploads.begin(name, algorithm) else {
            throw .unavailable("\(UploadTable.most) uploads are open: end some, or wait")
        }
        return session.status
    }

    package func status(ofUpload id: String, in name: RepositoryName) throws(HostingError) -> UploadStatus {
        try uploads.find(id, in: name).status
    }

    /// Whoever is writing to it is told that there is none any more.
    package func cancelUpload(_ id: String, in name: RepositoryName) throws(HostingError) {
        uploads.end(try uploads.find(id, in: name))
    }

    /// Puts what comes behind what is there. What came before a body broke is kept, to be gone on with.
    package func append(
        _ body: UploadBody, at chunk: Chunk, toUpload id: String, in name: RepositoryName
    ) async throws(HostingError) -> UploadStatus {
        try checkWritable(name)
        let session = try uploads.enter(id, in: name)
        defer { uploads.leave(session) }
        try await append(body, at: chunk, to: session)
        return session.status
    }

    /// Puts what comes behind what is there and makes a blob of it all. Where it is not what it should be, nothing is
    /// left of it.
    package func finishUpload(
        _ id: String, as digest: Digest, with body: UploadBody, at chunk: Chunk, in name: RepositoryName
    ) async throws(HostingError) {
        try checkWritable(name)
        let session = try uploads.enter(id, in: name)
        defer { uploads.leave(session) }
        try await append(body, at: chunk, to: session, as: digest)
        defer { uploads.end(session) }
        try await finish(session, as: digest)
    }

    /// All in one request.
    package func push(
        _ body: UploadBody, as digest: Digest, to name: RepositoryName
    ) async throws(HostingError) {
        let status = try beginUpload(in: name, algorithm: digest.algorithm)
        let session = try uploads.enter(status.id, in: name)
        defer { uploads.end(session) }
        try await append(body, at: .next, to: session, as: digest)
        try await finish(session, as: digest)
    }

    /// Gives the repository a blob of another one, which the pusher may pull.
    ///
    /// - Parameter source: nil: any of the hosted ones.
    /// - Returns: false if it is not there: then it must be pushed.
    package func mount(
        _ digest: Digest, from source: Repository?, to name: RepositoryName
    ) async throws(HostingError) -> Bool {
        try checkWritable(name)
        let quotas = policy.storeQuotas
        return try await restated { () async throws(StoreError) -> Bool in
            var found = source
            if found == nil {
                found = try await store.hostedRepository(having: digest).map { Repository(hosted: $0) }
            }
            guard let origin = found else { return false }
            return try await store.hostedGate.turn(name) { () async throws(StoreError) in
                try await store.mount(digest, from: origin, to: name, within: quotas)
            }
        }
    }

    // MARK: Inside

    /// - Parameter digest: what it will be, where that is known: what is here already takes no more of a quota.
    private func append(
        _ body: UploadBody, at chunk: Chunk, to session: UploadTable.Session, as digest: Digest? = nil
    ) async throws(HostingError) {
        let start = session.status.received
        if body.length == 0 { return }
        let expected = try length(of: body, at: chunk, behind: start)
        let file = try await file(of: session, for: expected, as: digest)
        do throws(HostingError) {
            try await write(body, to: file, expected: expected)
        } catch {
            // What does not hold together is not kept, nor the room for what did not come.
            if case .sizeInvalid = error { file.cut(to: start) }
            await store.giveBackRest(of: file)
            throw error
        }
    }

    /// Bytes of a blob, at most: whatever a client says, sums of it stay numbers.
    private static let mostBytes: Int64 = 1 << 53

    /// How many bytes must come, if that is known.
    private func length(
        of body: UploadBody, at chunk: Chunk, behind received: Int64
    ) throws(HostingError) -> Int64? {
        let length = try said(of: body, at: chunk, behind: received)
        guard let length, length > Self.mostBytes - received else { return length }
        throw .sizeInvalid("a blob has at most \(Self.mostBytes) bytes")
    }

    private func said(
        of body: UploadBody, at chunk: Chunk, behind received: Int64
    ) throws(HostingError) -> Int64? {
        switch chunk {
        case .next: return body.length
        case .malformed: throw .chunkOutOfOrder(received: received)
        case .range(let range):
            guard range.lowerBound == received else { throw .chunkOutOfOrder(received: received) }
            let count = range.upperBound - range.lowerBound + 1
            if let length = body.length, length != count {
                throw .sizeInvalid("Content-Range says \(count) bytes and Content-Length \(length)")
            }
            return count
        }
    }

    /// The upload's file, with room for what is known to come: who does not fit is told so before he sends.
    private func file(
        of session: UploadTable.Session, for length: Int64?, as digest: Digest? = nil
    ) async throws(HostingError) -> UploadFile {
        let (earlier, quotas) = (session.file, policy.storeQuotas)
        return try await restated { () async throws(StoreError) -> UploadFile in
            if let length {
                let size = (earlier?.size ?? 0) + length
                try await store.checkQuotas(quotas, digest, size: size, in: session.name)
            }
            if let earlier {
                if let length { try await store.reserve(length, for: earlier) }
                return earlier
            }
            uploads.makeRoomForFile()
            let file = try await store.beginUpload(size: length, algorithm: session.algorithm)
            session.keep(file)
            return file
        }
    }

    private func write(
        _ body: UploadBody, to file: UploadFile, expected: Int64?
    ) async throws(HostingError) {
        var count: Int64 = 0
        while let piece = try await body.more() {
            count += Int64(piece.count)
            if let expected, count > expected { throw .sizeInvalid("more came than the \(expected) bytes announced") }
            try await restated { () async throws(StoreError) in try await store.append(piece, to: file) }
        }
        if let expected, count < expected { throw .sizeInvalid("\(count) bytes came of the \(expected) announced") }
    }

    /// What came is hashed and durable before the repository's turn.
    private func finish(_ session: UploadTable.Session, as digest: Digest) async throws(HostingError) {
        let (name, quotas) = (session.name, policy.storeQuotas)
        let file = try await file(of: session, for: nil)
        try await restated { () async throws(StoreError) in
            try await store.seal(file, as: digest)
            try await store.hostedGate.turn(name) { () async throws(StoreError) in
                try await store.host(file, as: digest, in: name, within: quotas)
            }
        }
    }
}
