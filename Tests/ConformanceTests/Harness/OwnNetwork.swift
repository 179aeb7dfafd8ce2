// A network of the test's own: addresses of every class on one machine, names that lead where the test says.

import Foundation

/// A network namespace with a loopback device that has the addresses asked for, and a hosts file. Programs stand in it
/// by their `surroundings`, the test's own connections by `entering`. Needs root, as the other end-to-end tests do;
/// where it cannot be had the test fails and says so.
final class OwnNetwork: Sendable {
    /// For a program: this network, and the names.
    let surroundings: Surroundings
    private let path: String

    /// - Parameters:
    ///   - addresses: IPv4 and IPv6, besides 127.0.0.1 and ::1.
    ///   - names: address by host name; several addresses of one name in its order.
    ///   - changing: IPv4 addresses by host name, of which every question about it gets the next one, the last for good.
    static func start(
        on bench: Bench, addresses: [String], names: [(name: String, address: String)] = [],
        changing: [String: [String]] = [:]
    ) async throws -> OwnNetwork {
        let commands = addresses.map {
            "ip address add \($0.contains(":") ? "\($0)/128 dev lo nodad" : "\($0)/32 dev lo")"
        }
        let ready = bench.path("network-ready")
        let script = (["ip link set lo up"] + commands + [": >'\(ready)'", "exec sleep infinity"])
            .joined(separator: " && ")
        _ = try Programs.path(of: "ip")
        let keeper = try bench.start("network", "unshare", ["--net", "/bin/bash", "-c", script])
        try await eventually(within: .seconds(10), "a network namespace is there") {
            guard keeper.exitStatus == nil else {
                throw HarnessError(
                    "no network of its own for this test, which needs root and `unshare --net`: \(keeper.outputText())")
            }
            return FileManager.default.fileExists(atPath: ready)
        }
        let hosts = try bench.write(
            "127.0.0.1 localhost\n" + names.map { "\($0.address) \($0.name)\n" }.joined(), to: "network-hosts")
        let resolver = try bench.write("nameserver 127.0.0.1\n", to: "network-resolver")
        let network = OwnNetwork(process: keeper.identifier, hosts: hosts, resolver: resolver)
        try await network.serveNames(changing, on: bench)
        return network
    }

    private init(process: Int32, hosts: String, resolver: String) {
        path = "/proc/\(process)/ns/net"
        surroundings = Surroundings(hosts: hosts, resolver: resolver, network: path)
    }

    private func serveNames(_ changing: [String: [String]], on bench: Bench) async throws {
        let program = try bench.write(Self.nameServer, to: "names.py")
        let ready = bench.path("names-ready")
        let names = String(decoding: try JSONEncoder().encode(changing), as: UTF8.self)
        let child = try bench.start("names", "python3", [program, names, ready], surroundings: surroundings)
        try await eventually(within: .seconds(10), "the name server listens") {
            guard child.exitStatus == nil else { throw HarnessError("it ended: \(child.outputText())") }
            return FileManager.default.fileExists(atPath: ready)
        }
    }

    /// As much DNS as a resolver needs to be answered: A of the names it has, nothing else of them, and no other names.
    private static let nameServer = #"""
        import json, socket, struct, sys

        names = json.loads(sys.argv[1])
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind(("127.0.0.1", 53))
        open(sys.argv[2], "w").close()
        while True:
            question, asker = server.recvfrom(4096)
            place, labels = 12, []
            while question[place]:
                labels.append(question[place + 1:place + 1 + question[place]].decode("latin-1"))
                place += 1 + question[place]
            kind = struct.unpack(">H", question[place + 1:place + 3])[0]
            name = ".".join(labels).lower()
            answer = b""
            if name in names and kind == 1:
                address = names[name].pop(0) if len(names[name]) > 1 else names[name][0]
                # The name as a pointer to the question, A, IN, to be kept for no time, four bytes.
                answer = struct.pack(">HHHIH", 0xC00C, 1, 1, 0, 4) + socket.inet_aton(address)
            flags = 0x8180 if name in names else 0x8183
            head = question[:2] + struct.pack(">HHHHH", flags, 1, 1 if answer else 0, 0, 0)
            server.sendto(head + question[12:place + 5] + answer, asker)
        """#

    /// Runs `body` with the calling thread in this network; a socket made there stays in it.
    func entering<Value>(_ body: () throws -> Value) throws -> Value {
        let own = try descriptor(of: "/proc/thread-self/ns/net")
        defer { close(own) }
        let theirs = try descriptor(of: path)
        defer { close(theirs) }
        try move(to: theirs)
        let result = Result { try body() }
        // A thread that cannot go back must not run anything else.
        do { try move(to: own) } catch { fatalError("\(error)") }
        return try result.get()
    }

    private func descriptor(of path: String) throws -> CInt {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw HarnessError("\(path): \(String(cString: strerror(errno)))") }
        return descriptor
    }

    /// `setns(2)`, which Glibc's module leaves out since it is a GNU extension.
    private func move(to descriptor: CInt) throws {
        typealias Call = @convention(c) (CInt, CInt) -> CInt
        guard let symbol = dlsym(nil, "setns") else { throw HarnessError("this libc has no setns") }
        let newNetwork: CInt = 0x4000_0000  // CLONE_NEWNET
        guard unsafeBitCast(symbol, to: Call.self)(descriptor, newNetwork) == 0 else {
            throw HarnessError("setns: \(String(cString: strerror(errno))); these tests run as root")
        }
    }
}
