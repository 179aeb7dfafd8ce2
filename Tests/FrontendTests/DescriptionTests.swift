// openapi.json against the program: the same paths and methods, and answers with the keys that it promises.

import Foundation
import HTTPServer
import OCI
import TestSupport
import Testing

@testable import Frontend

@Suite("GET /api/v1/openapi.json", .timeLimit(.minutes(1))) struct DescriptionTests {
    private typealias Object = [String: any Sendable]
    private static let admin = ["Authorization": "Bearer \(Scene.adminToken)"]
    private static let methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]

    private func description(_ scene: Scene) async throws -> Object {
        let reply = await scene.get("/api/v1/openapi.json")
        #expect(reply.status == 200 && reply["Content-Type"] == "application/json")
        return try await reply.json()
    }

    private func paths(_ document: Object) throws -> [String: Object] {
        try #require(document["paths"] as? [String: Object])
    }

    private func example(_ path: String) -> String { path.replacingOccurrences(of: "{reference}", with: "alpine:1.0") }

    @Test func `each path answers the methods that are described, and no other`() async throws {
        try await Scene.run { (scene: Scene) async throws in
            let paths = try paths(try await description(scene))
            #expect(paths.count > 15)
            for (path, operations) in paths {
                for method in Self.methods {
                    let reply = await scene.send(method, example(path), Self.admin)
                    let isDescribed = operations[method.lowercased()] != nil
                    #expect((reply.status == 405) != isDescribed, "\(method) \(path): \(reply.status)")
                    guard isDescribed else { continue }
                    let isNothing = try? await reply.error()?.message == "there is nothing at this path"
                    #expect(isNothing != true, "\(method) \(path)")
                }
            }
        }
    }

    /// In the sources, since a path that nobody describes is one that nobody asks for.
    @Test func `each path that the responders know is described`() async throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().appendingPathComponent("Sources/Frontend").path
        var known: Set<String> = []
        for file in try FileManager.default.subpathsOfDirectory(atPath: root) where file.hasSuffix(".swift") {
            let text = try String(contentsOfFile: "\(root)/\(file)", encoding: .utf8)
            for match in text.matches(of: #/"(/api/v1/[a-z.]+|/stats|/livez|/readyz)"/#) {
                known.insert(String(match.1))
            }
        }
        #expect(known.count >= 10)
        try await Scene.run { (scene: Scene) async throws in
            let described = try paths(try await description(scene)).keys
            #expect(known.subtracting(described).isEmpty)
        }
    }

    @Test func `what is answered has the keys that are promised, and no other`() async throws {
        try await Scene.run(StubOptions(rateLimit: (limit: 100, remaining: 76))) { (scene: Scene) async throws in
            var builder = ImageBuilder(seed: 3)
            let index = scene.stub.add(builder.index(layers: [1000]), to: "library/alpine", tag: "1.0")
            try await scene.pull("\(Scene.alpine)/manifests/1.0")
            let child = index.images[0]
            try await scene.pull("\(Scene.alpine)/manifests/\(child.manifest.digest)")
            for blob in child.blobs { try await scene.pull("\(Scene.alpine)/blobs/\(blob.digest)") }
            scene.wall.advance(by: .seconds(3600))
            let (blob, path) = scene.blob(300_000)
            scene.stub.inject(.stall(at: 100_000), into: "\(blob.digest)")
            let client = await scene.get(path)
            let document = try await description(scene)
            let schemas = Schemas(document: document)
            let answers = [
                ("/stats", "Stats"), ("/livez", "Health"), ("/readyz", "Health"), ("/api/v1/history", "History"),
                ("/api/v1/repositories", "Repositories"), ("/api/v1/images", "Images"),
                ("/api/v1/images/alpine:1.0", "ImageDetails"), ("/api/v1/transfers", "Transfers"),
                ("/api/v1/evictions", "Evictions"),
            ]
            for (path, name) in answers {
                let reply = await scene.get(path)
                #expect(reply.status == 200, "\(path)")
                #expect(schemas.faults(try await reply.json(), name) == [], "\(path)")
            }
            let refusal = await scene.get("/api/v1/images/none:1")
            #expect(schemas.faults(try await refusal.json(), "Errors") == [])
            withExtendedLifetime(client) {}
        }
    }

    /// As much of JSON Schema as the file uses of answers: references, types, members, items.
    private struct Schemas {
        let document: Object

        func faults(_ value: any Sendable, _ name: String) -> [String] {
            let components = document["components"] as? Object
            guard let schema = (components?["schemas"] as? [String: Object])?[name] else { return ["no \(name)"] }
            return faults(value, schema, at: name)
        }

        private func faults(_ value: any Sendable, _ schema: Object, at place: String) -> [String] {
            if let reference = schema["$ref"] as? String {
                return faults(value, String(reference.split(separator: "/").last ?? "")).map { "\(place): \($0)" }
            }
            if let choices = schema["anyOf"] as? [Object] {
                let isOne = choices.contains { self.faults(value, $0, at: place).isEmpty }
                return isOne ? [] : ["\(place): none of the choices"]
            }
            let types = schema["type"] as? [String] ?? (schema["type"] as? String).map { [$0] } ?? []
            guard types.isEmpty || types.contains(where: { isOf($0, value) }) else { return ["\(place): no \(types)"] }
            var found: [String] = []
            if let object = value as? Object, let members = schema["properties"] as? [String: Object] {
                for key in schema["required"] as? [String] ?? [] where object[key] == nil {
                    found.append("\(place).\(key) is missing")
                }
                for (key, member) in object {
                    guard let schema = members[key] else {
                        found.append("\(place).\(key) is not described")
                        continue
                    }
                    found += faults(member, schema, at: "\(place).\(key)")
                }
            }
            if let list = value as? [any Sendable], let items = schema["items"] as? Object {
                found += list.enumerated().flatMap { faults($1, items, at: "\(place)[\($0)]") }
            }
            return found
        }

        private func isOf(_ type: String, _ value: any Sendable) -> Bool {
            switch type {
            case "null": value is NSNull
            case "string": value is String
            case "boolean": isFlag(value)
            case "integer":
                !isFlag(value) && (value as? NSNumber).map { $0.doubleValue == $0.doubleValue.rounded() } == true
            case "number": !isFlag(value) && value is NSNumber
            case "array": value is [any Sendable]
            case "object": value is Object
            default: false
            }
        }

        private func isFlag(_ value: any Sendable) -> Bool {
            (value as? NSNumber).map { String(cString: $0.objCType) == "c" } ?? false
        }
    }
}
