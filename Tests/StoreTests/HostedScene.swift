// Pushing to the store, as those who host do it.

import OCI
import Testing

@testable import Store

func name(_ text: String) throws -> RepositoryName {
    let name = RepositoryName(text)
    return try #require(name)
}

extension ContentStore {
    @discardableResult
    func push(
        _ bytes: [UInt8], to name: RepositoryName, _ algorithm: Digest.Algorithm = .sha256,
        within quotas: [HostedQuota] = []
    ) async throws -> Digest {
        let digest = Digest.of(bytes, algorithm)
        let upload = try await beginUpload(size: nil, algorithm: .sha256)
        try await append(bytes, to: upload)
        try await seal(upload, as: digest)
        try await hostedGate.turn(name) { () async throws(StoreError) in
            try await host(upload, as: digest, in: name, within: quotas)
        }
        return digest
    }

    /// Pushes a manifest of these layers.
    @discardableResult
    func pushManifest(
        naming layers: [Digest], to name: RepositoryName, tags: [String] = [], subject: Digest? = nil,
        foreign: Digest? = nil, note: String = ""
    ) async throws -> Digest {
        func descriptor(_ digest: Digest, _ type: MediaType) -> String {
            "{\"mediaType\":\"\(type)\",\"digest\":\"\(digest)\",\"size\":1}"
        }
        let elsewhere = foreign.map { [descriptor($0, .dockerForeignLayer)] } ?? []
        let all = layers.map { descriptor($0, .ociLayer) } + elsewhere
        let named = subject.map { ",\"subject\":\(descriptor($0, .ociManifest))" } ?? ""
        let text = """
            {"schemaVersion":2,"mediaType":"\(MediaType.ociManifest)","layers":[\(all.joined(separator: ","))]\(named)\
            ,"annotations":{"note":"\(note)"}}
            """
        let bytes = Array(text.utf8)
        let manifest = try Manifest(parsing: bytes, declaredType: nil)
        let pushed = HostedManifest(bytes, digest: Digest.of(bytes), mediaType: manifest.mediaType, manifest)
        let tags = try tags.map { text in try StoreTests.tag(text) }
        let upload = try await beginUpload(size: nil, algorithm: .sha256)
        try await append(bytes, to: upload)
        try await seal(upload, as: pushed.digest)
        try await hostedGate.turn(name) { () async throws(StoreError) in
            try await host(pushed, upload, in: name, tags: tags, within: [])
        }
        return pushed.digest
    }

    func hosted(_ tagged: String, in name: RepositoryName) async throws -> Digest? {
        try await hostedTag(StoreTests.tag(tagged), of: name)
    }

    func delete(_ digest: Digest, asManifest: Bool, in name: RepositoryName) async throws -> Bool {
        try await hostedGate.turn(name) { () async throws(StoreError) in
            try await unhost(digest, asManifest: asManifest, in: name)
        }
    }
}
