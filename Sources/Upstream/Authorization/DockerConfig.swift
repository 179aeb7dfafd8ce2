// Docker's config.json: which credentials it has for a registry, or which helper knows them.
import FoundationEssentials
import Glibc
import Synchronization

/// One `config.json` as `docker login` writes it, read again whenever it has become another file.
///
/// | key | means |
/// |---|---|
/// | `credHelpers` | host → helper, asked first |
/// | `credsStore` | the helper for every other host |
/// | `auths` | host → `auth` (base64 of user:password), `username` and `password`, or a token of either kind |
///
/// The order is Docker's (docker/cli, `GetCredentialsStore`), but where a helper knows nothing `auths` is looked at.
package final class DockerConfig: Sendable {
    /// What may be tried for a registry.
    enum Step: Equatable, Sendable {
        case helper(CredentialHelper, server: String)
        case credentials(Credentials)
    }

    package let path: String
    /// Of the helpers that it names; `PATH` says where they are.
    let environment: [String: String]
    private let state = Mutex(State())

    private struct State {
        /// Nil: not read, or there was nothing to read.
        var file: FileState?
        var content: Result<DockerConfigContent, DockerConfigContent.Mistake>?
        var revision = 0
    }

    /// - Parameter environment: this process's own, whole: helpers find their configuration by it.
    package init(path: String, environment: [String: String]) {
        self.path = path
        self.environment = environment
    }

    /// Another number whenever the content is another.
    var revision: Int { current().revision }

    /// Another text once the file is another, also over a restart.
    var fingerprint: String { "\(path) \(FileState(path: path)?.description ?? "")" }

    /// What to try for an endpoint, in this order, and the revision of the file that says so: first by the endpoint's
    /// own host and port, then by the name of its upstream.
    ///
    /// - Throws: `.credentialsRefused`, naming the file, where it cannot be read or what it says makes no sense.
    func steps(
        for endpoint: UpstreamURL.Origin, of upstream: String
    ) throws(UpstreamError) -> (steps: [Step], revision: Int) {
        let (content, revision) = current()
        var steps: [Step] = []
        do throws(DockerConfigContent.Mistake) {
            let content = try content.get()
            for registry in RegistryKey.candidates(for: endpoint, of: upstream) {
                steps += try content.steps(for: registry)
            }
        } catch {
            throw .credentialsRefused(message: "\(path) \(error.words)")
        }
        return (steps, revision)
    }

    private func current() -> (content: Result<DockerConfigContent, DockerConfigContent.Mistake>, revision: Int) {
        state.withLock { state in
            let file = FileState(path: path)
            if let content = state.content, file != nil, file == state.file { return (content, state.revision) }
            let content: Result<DockerConfigContent, DockerConfigContent.Mistake>
            (state.file, content) = read()
            if content != state.content {
                state.content = content
                state.revision += 1
            }
            return (content, state.revision)
        }
    }

    /// A small file, opened without waiting should it be none.
    private func read() -> (FileState?, Result<DockerConfigContent, DockerConfigContent.Mistake>) {
        func failure(_ words: String) -> Result<DockerConfigContent, DockerConfigContent.Mistake> {
            .failure(DockerConfigContent.Mistake(words: words))
        }
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return (nil, failure("cannot be read: \(String(cString: strerror(errno)))")) }
        defer { close(descriptor) }
        guard let file = FileState(descriptor: descriptor), file.isRegular else {
            return (nil, failure("cannot be read: it is no file"))
        }
        guard file.size <= DockerConfigContent.sizeLimit else {
            return (file, failure("is too large for a config.json"))
        }
        var bytes = [UInt8](repeating: 0, count: Int(file.size))
        var count = 0
        while count < bytes.count {
            let more = bytes[count...].withUnsafeMutableBytes { Glibc.read(descriptor, $0.baseAddress, $0.count) }
            guard more > 0 else { break }
            count += more
        }
        guard let content = DockerConfigContent(parsing: bytes.prefix(count)) else {
            return (file, failure("is not JSON as Docker writes it"))
        }
        return (file, .success(content))
    }
}

/// What tells one state of a file from another without reading it.
private struct FileState: Equatable {
    private let device, inode: UInt
    private let modified, changed: [Int]
    let size: Int
    let isRegular: Bool

    init?(path: String) {
        var status = stat()
        guard stat(path, &status) == 0 else { return nil }
        self.init(status)
    }

    init?(descriptor: Int32) {
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { return nil }
        self.init(status)
    }

    var description: String { "\(inode) \(modified.first ?? 0) \(size)" }

    private init(_ status: stat) {
        device = status.st_dev
        inode = status.st_ino
        modified = [status.st_mtim.tv_sec, status.st_mtim.tv_nsec]
        changed = [status.st_ctim.tv_sec, status.st_ctim.tv_nsec]
        size = Int(status.st_size)
        isRegular = status.st_mode & S_IFMT == S_IFREG
    }
}
