// How the commands speak to a running mirror: one request over its admin socket, or over the network with the token.

import ArgumentParser
import FoundationEssentials
import Glibc
import HTTPServer

/// Where the mirror is that a command is meant for.
struct MirrorOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The mirror's configuration file.", valueName: "file"))
    var config: String?

    @Option(help: ArgumentHelp("The mirror's data directory, in which its admin socket lies.", valueName: "dir"))
    var data: String?

    @Option(help: ArgumentHelp("A mirror elsewhere, such as http://mirror:5000.", valueName: "url"))
    var server: String?

    @Option(help: ArgumentHelp("The file with that mirror's admin token.", valueName: "file"))
    var tokenFile: String?

    func validate() throws {
        guard (server == nil) == (tokenFile == nil) else {
            throw ValidationError("--server and --token-file go together")
        }
        guard server == nil || (data == nil && config == nil) else {
            throw ValidationError("--server names another mirror than --data or --config: keep one of them")
        }
    }

    var source: ConfigurationSource {
        var flags = Configuration.Flags()
        (flags.config, flags.data) = (config, data)
        return ConfigurationSource(flags: flags, environment: ProcessInfo.processInfo.environment)
    }

    /// - Throws: `AdminFailure`, or every mistake of the file where it hides the data directory.
    func client() throws -> AdminClient {
        guard let server, let tokenFile else {
            return AdminClient(place: .data(try Configuration.dataDirectory(source)))
        }
        guard let url = EndpointURL(server), !url.isSecure, url.path.isEmpty else {
            throw AdminFailure("--server \(server): write it as http://host:port")
        }
        do throws(ValueMistake) {
            let token = try ConfigurationValues.adminToken(file: tokenFile)
            return AdminClient(place: .server(url.authority, token: token))
        } catch {
            throw AdminFailure("--token-file: \(error.message)")
        }
    }
}

/// Why a mirror could not be asked, or what it answered instead, in one line.
struct AdminFailure: Error, CustomStringConvertible {
    let description: String
    /// Nobody is there; else somebody is and does not do what was asked.
    let isAbsence: Bool

    init(_ description: String, isAbsence: Bool = false) {
        self.description = description
        self.isAbsence = isAbsence
    }
}

struct AdminClient {
    enum Place {
        case data(String)
        /// `host` or `host:port`.
        case server(String, token: Secret)
    }

    static let socketName = "admin.sock"
    /// A mirror that says nothing for so long, in seconds, is stuck: long answers have a heartbeat.
    private static let patience = 60
    /// What is to be done, and answered when it is, may take as long as a large store needs.
    private static let longPatience = 3600

    let place: Place

    /// Posts and hands on the lines of the answer as they come, empty ones left out.
    ///
    /// - Parameter body: a JSON object; nil: none.
    /// - Returns: the status.
    func post(_ path: String, _ body: (some Encodable)? = String?.none, _ line: (String) throws -> Void) throws -> Int {
        try ask("POST", path, try body.map { try JSONEncoder().encode($0) }, patience: Self.patience, line)
    }

    /// The whole answer where it is 200.
    ///
    /// - Throws: `AdminFailure` with what is said instead.
    func get(_ path: String) throws -> String {
        var answer = ""
        let status = try ask("GET", path, nil, patience: Self.patience) { answer += $0 }
        guard status == 200 else { throw AdminFailure(answer: answer, status: status) }
        return answer
    }

    /// The same of something that is to be done.
    func order(_ path: String, _ body: some Encodable) throws -> String {
        var answer = ""
        let bytes = try JSONEncoder().encode(body)
        let status = try ask("POST", path, bytes, patience: Self.longPatience) { answer += $0 }
        guard status == 200 else { throw AdminFailure(answer: answer, status: status) }
        return answer
    }

    /// - Parameter patience: seconds without a byte.
    private func ask(
        _ method: String, _ path: String, _ body: Data?, patience: Int, _ line: (String) throws -> Void
    ) throws -> Int {
        let descriptor = try connect()
        defer { close(descriptor) }
        var time = timeval(tv_sec: patience, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &time, socklen_t(MemoryLayout<timeval>.size))
        var head = "\(method) \(path) HTTP/1.0\r\nHost: wharf\r\n"
        if case .server(_, let token) = place { head += "Authorization: Bearer \(token.revealed)\r\n" }
        if let body { head += "Content-Type: application/json\r\nContent-Length: \(body.count)\r\n" }
        try send(head + "\r\n" + String(decoding: body ?? Data(), as: UTF8.self), descriptor)

        var lines = LineReader(descriptor: descriptor, name: "\(self)")
        // HTTP/1.0, so that what follows the head is the body, up to the end of the connection.
        let status = try lines.next()?.split(separator: " ").dropFirst().first.flatMap { Int($0) }
        guard let status else { throw AdminFailure("\(self) did not answer as a mirror does") }
        while let field = try lines.next(), field != "\r", !field.isEmpty {}
        while let text = try lines.next() { if !text.isEmpty { try line(text) } }
        return status
    }

    private func connect() throws -> CInt {
        switch place {
        case .data(let data):
            do throws(AdminSocket.Failure) {
                return try AdminSocket.connect(to: "\(data)/\(Self.socketName)")
            } catch {
                switch error.code {
                case ENOENT, ENOTDIR, ECONNREFUSED:
                    throw AdminFailure(
                        "no mirror runs on \(data) (\(error.reason)): start it with wharf serve, or name its --data",
                        isAbsence: true)
                default:
                    throw AdminFailure(
                        "the admin socket in \(data) cannot be opened (\(error.reason)): run this as the mirror's user")
                }
            }
        case .server(let authority, _): return try Self.connect(to: authority)
        }
    }

    private static func connect(to authority: String) throws -> CInt {
        let colon = authority.lastIndex(of: ":").flatMap { authority[$0...].contains("]") ? nil : $0 }
        let port = colon.map { String(authority[authority.index(after: $0)...]) } ?? "80"
        let host = authority[..<(colon ?? authority.endIndex)].filter { $0 != "[" && $0 != "]" }
        var wanted = addrinfo()
        wanted.ai_socktype = CInt(SOCK_STREAM.rawValue)
        var found: UnsafeMutablePointer<addrinfo>?
        let failure = getaddrinfo(host, port, &wanted, &found)
        guard failure == 0 else {
            throw AdminFailure("\(authority) is not known: \(String(cString: gai_strerror(failure)))", isAbsence: true)
        }
        defer { freeaddrinfo(found) }
        var reason = "no address"
        for address in sequence(first: found, next: { $0?.pointee.ai_next }).compactMap({ $0?.pointee }) {
            let kind = address.ai_socktype | CInt(SOCK_CLOEXEC.rawValue)
            let descriptor = socket(address.ai_family, kind, address.ai_protocol)
            if descriptor >= 0, Glibc.connect(descriptor, address.ai_addr, address.ai_addrlen) == 0 {
                return descriptor
            }
            reason = String(cString: strerror(errno))
            if descriptor >= 0 { close(descriptor) }
        }
        throw AdminFailure("no mirror answers at \(authority): \(reason)", isAbsence: true)
    }

    private func send(_ text: String, _ descriptor: CInt) throws {
        var text = text
        let isSent = text.withUTF8 { bytes in
            Glibc.send(descriptor, bytes.baseAddress, bytes.count, CInt(MSG_NOSIGNAL)) == bytes.count
        }
        guard isSent else { throw AdminFailure("\(self) cannot be asked: \(String(cString: strerror(errno)))") }
    }
}

extension AdminClient: CustomStringConvertible {
    var description: String {
        switch place {
        case .data(let data): "the mirror on \(data)"
        case .server(let authority, _): "the mirror at \(authority)"
        }
    }
}

/// Lines of what comes from a socket, without their ends.
private struct LineReader {
    let descriptor: CInt
    let name: String
    private var waiting: [UInt8] = []
    private var hasEnded = false

    init(descriptor: CInt, name: String) {
        self.descriptor = descriptor
        self.name = name
    }

    /// `nil` at the end; what stands behind the last line's end is a line too.
    mutating func next() throws -> String? {
        while true {
            if let end = waiting.firstIndex(of: UInt8(ascii: "\n")) {
                defer { waiting.removeSubrange(...end) }
                return String(decoding: waiting[..<end], as: UTF8.self)
            }
            guard !hasEnded else {
                defer { waiting = [] }
                return waiting.isEmpty ? nil : String(decoding: waiting, as: UTF8.self)
            }
            var buffer = [UInt8](repeating: 0, count: 16 << 10)
            let count = recv(descriptor, &buffer, buffer.count, 0)
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else {
                throw AdminFailure("\(name) ended in the middle: \(String(cString: strerror(errno)))")
            }
            hasEnded = count == 0
            waiting += buffer.prefix(count)
        }
    }
}
