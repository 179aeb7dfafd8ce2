// SeaweedFS as the S3 behind a docker-registry: blobs are answered 307 to presigned URLs, signatures are verified.

import Foundation

struct ObjectStore: Sendable {
    /// The host and port of presigned URLs.
    let authority: String
    /// For docker-registry: a line of YAML for `storage`.
    let driver: String
    let child: Child

    static let secret = "seaweed-secret-key"

    /// Takes about four seconds to be ready.
    static func start(on bench: Bench) async throws -> ObjectStore {
        let folder = try bench.makeFolder("objects")
        let users = try bench.write(
            """
            {"identities": [{"name": "tests", "actions": ["Admin", "Read", "Write", "List", "Tagging"],
                             "credentials": [{"accessKey": "tests", "secretKey": "\(secret)"}]}]}
            """, to: "objects.json")
        // Each of its servers would take a port for gRPC 10000 above its own, where outgoing connections have theirs.
        let services = ["master", "volume", "filer", "s3"]
        var ports: [String: Int] = [:]
        for service in services + services.map({ "\($0)-grpc" }) { ports[service] = try freePort() }
        let port = { (service: String) in "\(ports[service] ?? 0)" }
        let child = try bench.start(
            "weed", "weed",
            [
                "-logtostderr", "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-dir=\(folder)", "-volume.max=4",
                "-master.volumeSizeLimitMB=64", "-filer", "-s3", "-s3.config=\(users)", "-s3.port.iceberg=0",
                "-s3.port.lance=0", "-master.telemetry=false", "-filer.localSocket=\(folder)/filer.sock",
                "-s3.localSocket=\(folder)/s3.sock",
            ] + services.flatMap { ["-\($0).port=\(port($0))", "-\($0).port.grpc=\(port("\($0)-grpc"))"] })
        try await answers(on: ports["s3"] ?? 0, by: child, path: "/")
        // A bucket is a folder of the filer's.
        try await eventually(within: .seconds(20), "the bucket is there") {
            let answer = try? await ask(
                "POST", "/buckets/tests/", port: ports["filer"] ?? 0, ["Content-Length": "0"], within: .seconds(5))
            return answer?.status == 201
        }
        let authority = "127.0.0.1:\(port("s3"))"
        let driver = """
            s3: {accesskey: tests, secretkey: \(secret), region: us-east-1, regionendpoint: "http://\(authority)", \
            bucket: tests, secure: false, v4auth: true}
            """
        return ObjectStore(authority: authority, driver: driver, child: child)
    }

    /// It has nothing to keep, and would take half a minute to end by itself.
    func stop() async {
        child.signal(SIGKILL)
        await child.end()
    }
}
