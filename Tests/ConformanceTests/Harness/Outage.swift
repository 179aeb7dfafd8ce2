// The ways in which an upstream that was there can fail, each as it is met in the world.

import Foundation

enum Outage: String, CaseIterable, Sendable {
    case unauthorized, forbidden, timeout, limited, broken, unavailable
    /// A captive portal's 200.
    case page
    /// A digest, and the bytes of another.
    case lie
    /// The connection is reset.
    case reset
    /// Accepts, and says nothing.
    case silent
    /// Nobody listens.
    case refused
    /// Does not even accept, and does not refuse: the queue is full, a firewall drops.
    case full
    /// Its name leads nowhere any more.
    case nameless
    /// Nobody says where its name leads: the name server is silent.
    case nameSilent

    /// Lets it befall the upstream of a mirror of docker.io.
    /// - Parameter keys: the mirror's, for where it is started again.
    /// - Returns: the mirror as it is then; another process on the same data and port where names fail, since a name
    ///   once resolved is known for a while.
    func befall(_ upstream: Recorder, of mirror: Mirror, keys: [String], on bench: Bench) async throws -> Mirror {
        switch self {
        case .unauthorized: try upstream.fail(with: 401)
        case .forbidden: try upstream.fail(with: 403)
        case .timeout: try upstream.fail(with: 408)
        case .limited: try upstream.fail(with: 429)
        case .broken: try upstream.fail(with: 500)
        case .unavailable: try upstream.fail(with: 503)
        case .page: try upstream.misbehave(.page)
        case .lie: try upstream.misbehave(.lie)
        case .reset: try upstream.misbehave(.reset)
        case .silent: upstream.freeze()
        case .refused: await upstream.stop()
        case .full:
            await upstream.stop()
            try await Scenery.fill(upstream.port, on: bench)
        case .nameless, .nameSilent:
            _ = try await mirror.stop()
            let resolver = try await Scenery.nameServer(on: bench, listens: self == .nameSilent)
            // Several, so that going from one to the next takes longer than anyone would wait.
            let endpoints = (1...4).map { "http://registry-\($0).wharf.test:\(upstream.port)" }
            return try await Mirror.start(
                on: bench, configuration: Mirror.dockerHub(at: endpoints, keys), port: mirror.port, data: mirror.data,
                surroundings: Surroundings(resolver: resolver))
        }
        return mirror
    }

    /// Ends what can be ended, and lets the upstream be as it was.
    static func end(at upstream: Recorder) throws {
        try upstream.misbehave(nil)
        upstream.thaw()
    }
}

/// Doors that are there and lead nowhere.
enum Scenery {
    /// Takes a port whose queue of connections is full: what is sent to it is neither accepted nor refused.
    static func fill(_ port: Int, on bench: Bench) async throws {
        try await run(
            """
            door = socket.socket()
            door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            door.bind(("127.0.0.1", \(port)))
            door.listen(0)
            waiting = []
            try:
                while True:
                    waiting.append(socket.socket())
                    waiting[-1].settimeout(0.3)
                    waiting[-1].connect(door.getsockname())
            except OSError:
                pass
            """, as: "full", on: bench)
    }

    /// A `resolv.conf` that names one name server, at which nobody listens or which answers nothing. Whoever waits
    /// for it does so for minutes.
    static func nameServer(on bench: Bench, listens: Bool) async throws -> String {
        let address = "127.\(Int.random(in: 10...250)).\(Int.random(in: 1...250)).\(Int.random(in: 1...250))"
        if listens {
            try await run(
                """
                door = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                door.bind(("\(address)", 53))
                """, as: "names", on: bench)
        }
        return try bench.write("nameserver \(address)\noptions timeout:30 attempts:5\n", to: "resolv-\(listens).conf")
    }

    private static func run(_ script: String, as name: String, on bench: Bench) async throws {
        let ready = bench.path("\(name)-ready")
        let program = try bench.write(
            "import socket, sys, time\n\(script)\nopen(sys.argv[1], \"w\").close()\ntime.sleep(3600)\n",
            to: "\(name).py")
        let child = try bench.start(name, "python3", [program, ready])
        try await eventually(within: .seconds(10), "\(name) is ready") {
            guard child.exitStatus == nil else { throw HarnessError("it ended: \(child.outputText())") }
            return FileManager.default.fileExists(atPath: ready)
        }
    }
}
