// The scene of the tests that kill and cut: an upstream with an image, and a mirror begun again and again.

import Foundation
import OCI
import Synchronization
import TestSupport

struct CrashScene: Sendable {
    let bench: Bench
    let upstream: StubRegistry
    let image: TestIndex
    let configuration: String

    static let repository = "library/crash"
    static let tag = "1"

    /// The seed of this run and how much of it there is, for CI or for `deploy/crash`.
    static let seed = number("WHARF_CRASH_SEED") ?? 1
    static let kills = number("WHARF_KILLS") ?? 25
    /// Every step and every cut instead of some.
    static let isThorough = number("WHARF_CRASH_ALL") == 1

    private static func number(_ name: String) -> Int? { ProcessInfo.processInfo.environment[name].flatMap { Int($0) } }

    /// What is pulled of the image, in a client's order: the blobs, and the manifests as they are asked for.
    private var manifests: [(reference: String, manifest: TestBlob)] {
        [(Self.tag, image.manifest)] + image.images.map { ("\($0.manifest.digest)", $0.manifest) }
    }

    // MARK: The mirror

    /// Starts a mirror on `data`; how long that took goes to the tally.
    func start(on data: String, _ surroundings: Surroundings = .plain) async throws -> Mirror {
        let start = ContinuousClock.now
        let mirror = try await Mirror.start(
            on: bench, configuration: configuration, data: data, surroundings: surroundings)
        let ready = try await mirror.get("/readyz")
        guard ready.status == 200 else { throw HarnessError("not ready: \(ready.summary)") }
        CrashTally.shared.started(in: ContinuousClock.now - start)
        return mirror
    }

    func kill(_ mirror: Mirror, by signal: Int32 = SIGKILL) async throws {
        mirror.child.signal(signal)
        _ = try await mirror.child.exit(within: .seconds(40))
    }

    // MARK: Pulling

    /// Pulls the image as far as the mirror lives.
    /// - Returns: what was wrong with what came: bytes that are others, or an end that looks whole and is not.
    func pull(from mirror: Mirror) async -> [String] {
        var wrong: [String] = []
        for (reference, manifest) in manifests {
            let accept = ["Accept": "\(MediaType.ociIndex), \(MediaType.ociManifest)"]
            guard
                let answer = try? await mirror.get("/v2/\(Self.repository)/manifests/\(reference)", accept),
                answer.ending == .complete
            else { continue }
            if answer.status == 200, answer.body != manifest.bytes { wrong.append("\(reference): \(answer.summary)") }
        }
        for blob in image.images.flatMap(\.blobs) { wrong += await pull(blob, from: mirror).wrong }
        return wrong
    }

    /// Pulls one blob. A connection that ends or is refused is nothing wrong: the mirror may be killed at any time.
    func pull(_ blob: TestBlob, from mirror: Mirror, _ manner: Pull = Pull()) async -> (
        pulled: Pulled?, wrong: [String]
    ) {
        let path = "/v2/\(Self.repository)/blobs/\(blob.digest)"
        let pulled = try? await blocking { try manner.run(path, of: blob, port: mirror.port) }
        guard let pulled else { return (nil, []) }
        let isLie = !pulled.isRight || (pulled.status == 200 && pulled.looksWhole && !pulled.isWhole)
        return (pulled, isLie ? ["\(blob.digest.hex.prefix(12)): \(pulled)"] : [])
    }

    /// What of the image does not come whole and right.
    func missing(from mirror: Mirror) async throws -> [String] {
        var missing: [String] = []
        for (reference, manifest) in manifests {
            let accept = ["Accept": "\(MediaType.ociIndex), \(MediaType.ociManifest)"]
            let answer = try await mirror.get("/v2/\(Self.repository)/manifests/\(reference)", accept)
            if answer.status != 200 || answer.body != manifest.bytes {
                missing.append("\(reference): \(answer.summary)")
            }
        }
        for blob in image.images.flatMap(\.blobs) {
            let (pulled, _) = await pull(blob, from: mirror)
            if pulled?.isWhole != true { missing.append("\(blob.digest): \(pulled.map { "\($0)" } ?? "no answer")") }
        }
        return missing
    }

    // MARK: The law

    /// Starts a mirror without the lab on what was left and holds it to the law.
    /// - Returns: what breaks it, and the mirror, which goes on.
    func law(on data: String, agreeingWithin limit: Duration = .seconds(10)) async throws -> (
        broken: [String], mirror: Mirror
    ) {
        // A lie is one even before anybody has been able to find it out.
        let before = try await blocking { try CrashLaw.lies(in: data) }
        let mirror = try await start(on: data)
        var broken = before.lies.map { "at rest: \($0)" }
        CrashTally.shared.kept(Int(try await mirror.statistics()["storage"]["partial_bytes"].number ?? 0))
        broken += try await CrashLaw.disagreements(of: data, on: bench, within: limit)
        if let miscount = try await CrashLaw.miscount(of: mirror) { broken.append(miscount) }
        broken += try await missing(from: mirror)
        try await settle(mirror)
        let after = try await blocking { try CrashLaw.lies(in: data) }
        broken += after.lies
        CrashTally.shared.checked(after.blobs, lies: before.lies.count + after.lies.count)
        broken += try await CrashLaw.disagreements(of: data, on: bench, within: limit)
        return (broken, mirror)
    }

    func settle(_ mirror: Mirror) async throws {
        try await eventually(within: .seconds(20), "nothing is in flight") {
            try await mirror.statistics()["in_flight"].elements.isEmpty
        }
    }
}

/// Sets a scene for `body` and clears it away.
/// - Parameter cache: keys of `cache` in the configuration, one a line.
func withCrashScene(cache: [String] = [], _ body: (CrashScene) async throws -> Void) async throws {
    let upstream = try await StubRegistry.start()
    var builder = ImageBuilder(seed: 7)
    let index = builder.index(architectures: ["amd64"], layers: [20_000, 2_600_000])
    let image = upstream.add(index, to: CrashScene.repository, tag: CrashScene.tag)
    let others = ["drain: 1s", "cache:"] + (cache.isEmpty ? ["  lease: 0s"] : cache.map { "  \($0)" })
    let outcome: Result<Void, any Error>
    do {
        try await withBench { bench in
            let hub = Mirror.dockerHub(on: upstream.port(), ["ranges: 1", "fresh-for: 0s"])
            let configuration = others.map { "\($0)\n" }.joined() + hub
            try await body(
                CrashScene(bench: bench, upstream: upstream, image: image, configuration: configuration))
        }
        outcome = .success(())
    } catch {
        outcome = .failure(error)
    }
    await upstream.stop()
    try outcome.get()
}

/// The figures of a run, all tests together.
final class CrashTally: Sendable {
    static let shared = CrashTally()

    private struct Figures {
        var kills = 0, stops = 0, cuts = 0, blobs = 0, lies = 0, kept = 0
        var steps: Set<String> = []
        var slowest = Duration.zero
    }

    private let figures = Mutex(Figures())

    func started(in time: Duration) { figures.withLock { $0.slowest = max($0.slowest, time) } }
    func killed(at step: String? = nil) {
        figures.withLock { figures in
            figures.kills += 1
            if let step { figures.steps.insert(step) }
        }
    }
    func cut() { figures.withLock { $0.cuts += 1 } }
    /// Bytes of unfinished blobs that a start found fit to be gone on with.
    func kept(_ bytes: Int) { figures.withLock { $0.kept += bytes } }
    func stopped() { figures.withLock { $0.stops += 1 } }
    func checked(_ blobs: Int, lies: Int) {
        figures.withLock { figures in
            figures.blobs += blobs
            figures.lies += lies
        }
    }

    /// One line, the same for every test: so far.
    func tell() {
        let line = figures.withLock { figures in
            let slowest =
                Double(figures.slowest.components.seconds) + Double(figures.slowest.components.attoseconds) / 1e18
            return "crash: kills=\(figures.kills) stops=\(figures.stops) cuts=\(figures.cuts) "
                + "steps=\(figures.steps.count) blobs-checked=\(figures.blobs) bytes-kept=\(figures.kept) "
                + "slowest-start=\(String(format: "%.3f", slowest))s wrong-blobs=\(figures.lies) "
                + "seed=\(CrashScene.seed)"
        }
        print(line)
    }
}
