// Why something that concerns a hosted repository could not be done.

package import OCI
import Store

package enum HostingError: Error, Equatable, Sendable {
    /// The repository does not have the blob.
    case blobUnknown(Digest)
    /// The repository has no such manifest; the payload is the tag or digest.
    case manifestUnknown(String)
    /// Nothing was pushed under that name, or nothing of it is left.
    case nameUnknown(RepositoryName)
    /// It was never begun here, was cancelled, has ended or was abandoned for too long.
    case uploadUnknown
    /// Another request is writing to it.
    case uploadBusy
    /// A chunk that does not begin where the upload ends, or a range that is none; bytes that are here.
    case chunkOutOfOrder(received: Int64)
    /// Another number of bytes came than was said.
    case sizeInvalid(String)
    /// The body broke before its end; what came of an upload is kept.
    case bodyBroken(String)
    case digestMismatch(expected: Digest, actual: Digest)
    case manifestInvalid(String)
    /// Bytes that a manifest may have.
    case manifestTooLarge(limit: Int)
    /// What the manifest names and the repository does not have.
    case blobsMissing([Digest])
    /// By configuration: the repository is read-only, or the tag immutable.
    case denied(String)
    case overQuota(String)
    /// There is no room for it, and none can be made.
    case noRoom(String)
    /// It may be done in a while: the store is reading in what was pushed, or its database is away.
    case unavailable(String)
    case store(String)
}

extension HostingError {
    init(_ error: StoreError) {
        self =
            switch error {
            case .noSpace: .noRoom("\(error)")
            case .digestMismatch(let expected, let actual): .digestMismatch(expected: expected, actual: actual)
            case .overQuota(let text): .overQuota(text)
            case .hostedUnread, .database: .unavailable("\(error)")
            case .ended: .uploadUnknown
            case .sizeMismatch, .io, .inUse: .store("\(error)")
            }
    }

    /// In a sentence for people.
    package var message: String {
        switch self {
        case .blobUnknown(let digest): "the repository does not have \(digest)"
        case .manifestUnknown(let reference): "the repository has no manifest \(reference)"
        case .nameUnknown(let name): "nothing was pushed to \(name)"
        case .uploadUnknown: "there is no such upload: it has ended, or was abandoned; begin another"
        case .uploadBusy: "another request is writing to this upload: ask for its status and go on from there"
        case .chunkOutOfOrder(let received):
            "a chunk must begin behind the \(received) bytes that are here, and say so as FIRST-LAST"
        case .sizeInvalid(let text), .bodyBroken(let text), .manifestInvalid(let text), .denied(let text),
            .overQuota(let text), .noRoom(let text), .unavailable(let text), .store(let text):
            text
        case .digestMismatch(let expected, let actual): "what came is \(actual), not \(expected)"
        case .manifestTooLarge(let limit): "a manifest has at most \(limit) bytes"
        case .blobsMissing(let digests):
            "push first what the manifest names: \(digests.prefix(5).map { "\($0)" }.joined(separator: ", "))"
                + (digests.count > 5 ? " and \(digests.count - 5) more" : "")
        }
    }
}

/// What the store does, its failure said in this room's words.
func restated<Value: Sendable>(
    _ body: () async throws(StoreError) -> Value
) async throws(HostingError) -> Value {
    do throws(StoreError) { return try await body() } catch { throw HostingError(error) }
}
