// JSON from strangers: one reading whoever reads, nothing beyond what a number holds, and what is written reads back.

import FoundationEssentials

@testable import OCI

extension FuzzTarget {
    private static let digest = "sha256:" + String(repeating: "0123456789abcdef", count: 4)
    private static let jsonWords = [
        "{", "}", "[", "]", ":", ",", "\"", "null", "true", "false", "0", "-0", "-1", "1e5", "1.5", "1E+2", "1e400",
        "01",
        "9223372036854775808", "\\u0000", "\\ud83d\\ude00", "\\ud800", "\\\"", "\\\\", "\\/", "\u{FEFF}", "/*",
        "\u{C3}",
        "\u{1}", "\u{7F}", " ", "\t", "\r\n",
    ]

    static let json = FuzzTarget(
        "json",
        seeds: [
            #"{"a":[1,-2.5e+3,"b\u00e9\n",true,false,null,{"c":{}}]}"#, #" { "tags" : [ "v1" , "a\u0062" ] } "#,
            #"{"a":"\ud83d\ude00","a":[[[[]]]]}"#,
        ],
        words: jsonWords + ["\"a\":", "\"tags\":["]
    ) { bytes in
        let scanned = passes(bytes)
        let decoded = JSONText.decode(Tree.self, from: bytes)
        // A decoder looks at strings and numbers only when asked for them: so all are asked for.
        if scanned { try hold(decoded != nil, "the scanner takes what the decoder does not") }
        let isJSON = PlainJSON.isObject(bytes)
        try hold(scanned == isJSON, isJSON ? "JSON that the scanner refuses" : "no JSON, and the scanner takes it")
    }

    static let manifest = FuzzTarget(
        "manifest",
        seeds: [
            """
            {"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{"mediaType":"a/b",\
            "digest":"\(digest)","size":2},"layers":[{"mediaType":"c","digest":"\(digest)","size":3,"urls":["u"],\
            "annotations":{"k":"v"}}],"annotations":{"x":"y"}}
            """,
            """
            {"schemaVersion":2,"manifests":[{"mediaType":"a","digest":"\(digest)","size":1,"platform":\
            {"architecture":"amd64","os":"linux","variant":"v8"}}],"subject":{"mediaType":"a","digest":"\(digest)",\
            "size":9},"artifactType":"z"}
            """,
            #"{"schemaVersion":1,"fsLayers":[]}"#, #"{"blobs":[],"mediaType":"t"}"#,
        ],
        words: jsonWords + [
            "\"layers\":", "\"manifests\":", "\"config\":", "\"size\":", "\"digest\":\"\(digest)\"", "\"mediaType\":",
            "\"annotations\":{\"k\":", "\"urls\":[", "\"subject\":", "\"blobs\":", "\"schemaVersion\":",
        ]
    ) { bytes in
        for type in [nil, MediaType.ociIndex, .json, .octetStream] {
            do {
                let manifest = try Manifest(parsing: bytes, declaredType: type)
                let named =
                    manifest.layers + manifest.manifests + [manifest.config, manifest.subject].compactMap { $0 }
                try hold(named.allSatisfy { $0.size >= 0 }, "a size below zero")
                try hold(manifest.layers.isEmpty || manifest.manifests.isEmpty, "both a manifest and an index")
                try hold(manifest.linked.allSatisfy { $0.isDistributable }, "links what may not be distributed")
            } catch let error as ManifestError {
                if case .malformed(let words) = error { try lawOfWords(words) }
            }
        }
    }

    static let lists = FuzzTarget(
        "lists",
        seeds: [
            #"{"name":"a/b","tags":["v1","latest","_x.y-z"]}"#, #"{"tags":null}"#,
            #"{"manifests":[{"mediaType":"a","digest":"\#(digest)","size":1,"artifactType":"B","x":[1]}]}"#,
            #"{"query":"q","page":1,"page_size":25,"num_pages":1,"num_results":1,"results":[{"name":"n","description":"#
                + #""d","star_count":5,"is_official":true,"is_automated":false,"is_trusted":false}]}"#,
            #"{"errors":[{"code":"NAME_UNKNOWN","message":"m","detail":{}}]}"#,
        ],
        words: jsonWords + [
            "\"tags\":[", "\"manifests\":[", "\"results\":[{\"name\":\"", "\"errors\":[", "\"size\":", "\"page\":",
            "\"artifactType\":", "\"num_pages\":",
        ]
    ) { bytes in
        if let list = TagList(parsing: bytes) {
            try hold(list.tags.allSatisfy { Tag($0) != nil }, "a tag that is none")
            guard let name = RepositoryName("a/b") else { return }
            try hold(TagList(parsing: list.json(of: name)) == list, "tags that do not read back")
            // Of what is there twice, the scanner's readers take the last.
            let other = JSONText.decode(Tags.self, from: bytes)
            if let other { try hold(other.tags.filter { Tag($0) != nil } == list.tags, "other tags: \(other.tags)") }
        }
        if let list = ReferrerList(parsing: bytes) {
            try hold(ReferrerList(parsing: list.json) == list, "referrers that do not read back")
            try hold(list.filtered(by: "b").count <= list.count, "more than there are")
        }
        if let page = SearchPage(parsing: bytes) {
            try hold(SearchPage(parsing: page.json) == page, "a search that does not read back")
            try hold(page.pageCount >= 0 && page.resultCount >= 0, "fewer than none")
        }
        if let body = ErrorBody(parsing: bytes) {
            let again = ErrorBody(parsing: ErrorBody.json(.unknown, body.message))
            try hold(again?.message == body.message, "an error that does not read back")
        }
    }

    /// What is told of a document goes into logs and answers: one short line that no terminal obeys.
    static func lawOfWords(_ words: String, _ limit: Int = 300) throws {
        let isClean = words.unicodeScalars.allSatisfy { $0.properties.generalCategory != .control }
        try hold(isClean && words.count <= limit, "words that are long or have controls: \(words.debugDescription)")
    }

    // MARK: JSON by the decoder

    private static func passes(_ bytes: [UInt8]) -> Bool {
        do throws(JSONScanner.Malformed) {
            try JSONScanner.read(bytes) { (scanner, name) throws(JSONScanner.Malformed) in
                _ = scanner.text(name)
                try scanner.skip()
            }
            return true
        } catch {
            return false
        }
    }

    private struct Tags: Decodable { let tags: [String] }

    private enum Tree: Decodable {
        case null, leaf
        case list([Tree])
        case object([String: Tree])

        init(from decoder: any Decoder) throws {
            if let container = try? decoder.container(keyedBy: AnyKey.self) {
                var members: [String: Tree] = [:]
                for key in container.allKeys { members[key.stringValue] = try container.decode(Tree.self, forKey: key) }
                self = .object(members)
            } else if var container = try? decoder.unkeyedContainer() {
                var elements: [Tree] = []
                while !container.isAtEnd { elements.append(try container.decode(Tree.self)) }
                self = .list(elements)
            } else {
                let value = try decoder.singleValueContainer()
                if value.decodeNil() {
                    self = .null
                } else if (try? value.decode(Bool.self)) != nil || (try? value.decode(String.self)) != nil {
                    self = .leaf
                } else {
                    do {
                        _ = try value.decode(Double.self)
                    } catch let error where !(error is DecodingError) {
                        // A number, but beyond what a Double holds.
                    }
                    self = .leaf
                }
            }
        }
    }

    private struct AnyKey: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }
        init?(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }
}
