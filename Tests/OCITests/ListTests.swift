// The lists' documents: what is read of them, what is passed on, and what is no list.

import Testing

@testable import OCI

@Suite("end-8: the document") struct TagListDocumentTests {
    @Test(
        arguments: [
            (#"{"name":"a","tags":["b","a"]}"#, ["b", "a"]), (#" {"tags":[]}"#, []), (#"{"tags":null}"#, []),
            (#"{"tags":["a","b c","\u001b[2J","","x/y","é"],"child":[]}"#, ["a"]),
            (#"{"t\u0061gs":["\u0031\u002e0","\u00e9","\ud83d\ude00"]}"#, ["1.0"]),
            (#"{"tags":["a"],"tags":["b"]}"#, ["b"]),
        ]) func `tags are read in their order, and what is none is left out`(row: (text: String, tags: [String]))
    {
        #expect(TagList(parsing: Array(row.text.utf8))?.tags == row.tags)
    }

    @Test(
        arguments: [
            "", "[]", "{}", "null", #"{"tags":{}}"#, #"{"tags":[1]}"#, #"{"tags":"a"}"#, #"["tags"]"#, "<html>",
            #"{"tags":["a"]"#, "\u{FEFF}{\"tags\":[]}", #"{"tags":["a"]}{}"#, #"{"tags":["a"],"x":01}"#,
        ]) func `what is no list is none`(text: String)
    {
        #expect(TagList(parsing: Array(text.utf8)) == nil)
    }

    @Test func `of more than 200,000 none is listed`() {
        func document(_ count: Int) -> [UInt8] {
            Array(#"{"tags":[\#(repeatElement(#""""#, count: count).joined(separator: ","))]}"#.utf8)
        }
        #expect(TagList(parsing: document(200_000))?.tags == [])
        #expect(TagList(parsing: document(200_001)) == nil)
    }

    @Test func `the longest tag is one however it is written`() {
        let longest = String(repeating: "a", count: 128)
        let escaped = String(repeating: #"\u0061"#, count: 128)
        let text = #"{"tags":["\#(longest)","\#(escaped)","\#(longest)a","\#(escaped)a"]}"#
        #expect(TagList(parsing: Array(text.utf8))?.tags == [longest, longest])
    }

    @Test func `it is written with the name`() throws {
        let name = try #require(RepositoryName("acme/app"))
        #expect(
            String(decoding: TagList(tags: ["a", "b"]).json(of: name), as: UTF8.self) == """
                {"name":"acme/app","tags":["a","b"]}

                """)
    }
}

@Suite("end-12: the document") struct ReferrerListTests {
    private static let (one, two, three) = (digest("1"), digest("2"), digest("3"))
    private static let start =
        #"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":["#

    private static func digest(_ digit: String) -> String { "sha256:" + String(repeating: digit, count: 64) }

    private static func descriptor(_ digest: String, _ more: String = "") -> String {
        #"{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"\#(digest)","size":7\#(more)}"#
    }

    private func index(_ descriptors: String...) -> [UInt8] {
        Array(#"{"schemaVersion":2,"manifests":[\#(descriptors.joined(separator: ","))]}"#.utf8)
    }

    private func text(_ list: ReferrerList) -> String { String(decoding: list.json, as: UTF8.self) }

    @Test func `a descriptor comes out as it went in, whatever it holds`() throws {
        let strange = Self.descriptor(
            Self.one,
            #", "x" : [ 1.50, {"a":"]},{\"\\"}, [] ],"annotations":{"k":"é 😀 \u001b","manifests":"[{"},"size":7"#)
        let list = try #require(ReferrerList(parsing: index(strange, Self.descriptor(Self.two))))
        #expect(text(list) == "\(Self.start)\(strange),\(Self.descriptor(Self.two))]}\n")
        #expect(ReferrerList(parsing: list.json)?.count == 2)
    }

    @Test func `the list is the outermost one of that name`() throws {
        let text = """
            {"annotations":{"manifests":"[{}]","x":"manifests"},"y":{"manifests":[\(Self.descriptor(Self.two))]},
             "z":[["manifests"],[{"manifests":[]}]], "manifests" : [ \(Self.descriptor(Self.one)) ] , "w":[1]}
            """
        let list = try #require(ReferrerList(parsing: Array(text.utf8)))
        #expect(self.text(list) == "\(Self.start)\(Self.descriptor(Self.one))]}\n")
    }

    @Test func `what is no descriptor is left out, and nothing with it`() throws {
        let bad = [
            "1", "null", #""manifests""#, "[]", "{}", #"{"digest":"\#(Self.one)"}"#, Self.descriptor("sha256:12"),
            Self.descriptor("blake3:" + String(repeating: "1", count: 64)),
            Self.descriptor(Self.one).replacing(":7", with: ":-7"), Self.descriptor(Self.one, #","artifactType":3"#),
            Self.descriptor(Self.one).replacing(":7", with: ":7.5"), Self.descriptor(Self.one, #","size":"7""#),
            Self.descriptor(Self.one).replacing(":7", with: ":9223372036854775808"),
            Self.descriptor(Self.one, #","digest":null"#), Self.descriptor(Self.one, #","mediaType":{}"#),
        ]
        for bad in bad {
            let list = try #require(ReferrerList(parsing: index(bad, Self.descriptor(Self.two), bad)))
            #expect(text(list) == "\(Self.start)\(Self.descriptor(Self.two))]}\n", "\(bad)")
        }
    }

    @Test(
        arguments: [
            "", "[]", "{}", "<html>", #"{"manifests":{}}"#, #"{"manifests":[}"#, #"{"manifests":"x"}"#,
            #"{"manifests":[{}]"#, "\u{FEFF}{\"manifests\":[]}", #"{"manifests":[{"a":"\ud800"}]}"#,
            #"{"manifests":[{"a":1.}]}"#, #"{"manifests":[]}]"#, "{\"manifests\":[\"\u{1}\"]}",
        ]) func `what is no index is no list`(text: String)
    {
        #expect(ReferrerList(parsing: Array(text.utf8)) == nil)
    }

    @Test func `of more than 20,000 none is listed`() {
        func document(_ count: Int) -> [UInt8] {
            Array(#"{"manifests":[\#(repeatElement("{}", count: count).joined(separator: ","))]}"#.utf8)
        }
        #expect(ReferrerList(parsing: document(20_000))?.isEmpty == true)
        #expect(ReferrerList(parsing: document(20_001)) == nil)
    }

    @Test func `what is read is what clients read: escapes, and the later of two members`() throws {
        let text = Self.descriptor(Self.three, #","dig\u0065st":"\#(Self.one.replacing(":", with: #"\u003a"#))""#)
        let list = try #require(ReferrerList(parsing: index(text, Self.descriptor(Self.one))))
        #expect(self.text(list) == "\(Self.start)\(text)]}\n")
    }

    @Test func `text that is no UTF-8 is no list`() {
        #expect(ReferrerList(parsing: Array(#"{"manifests":[],"x":""#.utf8) + [0xFF] + Array(#""}"#.utf8)) == nil)
    }

    @Test(arguments: [#"{"manifests":[]}"#, #"{"manifests":null}"#, #"{"manifests" : [ ] }"#])
    func `an empty list is one`(text: String) throws {
        let list = try #require(ReferrerList(parsing: Array(text.utf8)))
        #expect(list.isEmpty)
        #expect(self.text(list) == "\(Self.start)]}\n")
    }

    @Test func `lists are united by digest, and what was first stays`() throws {
        let first = Self.descriptor(Self.one, #","annotations":{"a":"1"}"#)
        var list = try #require(ReferrerList(parsing: index(first)))
        list.add(try #require(ReferrerList(parsing: index(Self.descriptor(Self.one), Self.descriptor(Self.two)))))
        #expect(text(list) == "\(Self.start)\(first),\(Self.descriptor(Self.two))]}\n")
    }

    @Test func `it is filtered by artifact type`() throws {
        let wanted = Self.descriptor(Self.one, #","artifactType":"application/x+json""#)
        let list = try #require(
            ReferrerList(
                parsing: index(
                    wanted, Self.descriptor(Self.two), Self.descriptor(Self.three, #","artifactType":"text/x""#))))
        #expect(text(list.filtered(by: "Application/X+json")) == "\(Self.start)\(wanted)]}\n")
        #expect(list.filtered(by: "application/x").isEmpty)
    }

    @Test(
        arguments: [
            (#"{"artifactType":"a/b","config":{"mediaType":"c/d"}}"#, MediaType.ociManifest, #""artifactType":"a/b","#),
            (#"{"artifactType":"","config":{"mediaType":"c/d"}}"#, .ociManifest, #""artifactType":"c/d","#),
            (#"{"config":{"mediaType":"c/d"}}"#, .ociManifest, #""artifactType":"c/d","#),
            (#"{"config":{"mediaType":"c/d"}}"#, .ociIndex, ""),
            (#"{"artifactType":"a/b","manifests":[]}"#, .ociIndex, #""artifactType":"a/b","#),
            (#"{"artifactType":7,"config":[]}"#, .ociManifest, ""),
        ]) func `a stored manifest is described as a registry would`(
            row: (text: String, type: MediaType, member: String)
        )
    {
        var list = ReferrerList()
        let bytes = Array(row.text.utf8)
        let digest = Digest.of(bytes, .sha256)
        list.add(manifest: bytes, digest: digest, mediaType: row.type)
        #expect(
            text(list) == """
                \(Self.start){\(row.member)"digest":"\(digest)","mediaType":"\(row.type)","size":\(bytes.count)}]}

                """)
    }

    @Test func `its annotations are carried over`() {
        var list = ReferrerList()
        let bytes = Array(#"{"annotations":{"a/b":"\"x\"\n"}}"#.utf8)
        list.add(manifest: bytes, digest: Digest.of(bytes, .sha256), mediaType: .ociIndex)
        #expect(text(list).contains(#""annotations":{"a/b":"\"x\"\n"}"#))
    }

    @Test func `the tag that stands for the question`() throws {
        let short = try #require(Digest(Self.one))
        #expect("\(short.referrersTag)" == "sha256-" + String(repeating: "1", count: 64))
        let long = try #require(Digest("sha512:" + String(repeating: "a", count: 128)))
        #expect("\(long.referrersTag)" == "sha512-" + String(repeating: "a", count: 64))
    }
}

@Suite("/v1/search: the document") struct SearchPageTests {
    @Test func `only the name must be there`() throws {
        let text = #"{"results":[{"name":"a"},{"name":"b","description":null,"star_count":3,"is_official":true}]}"#
        let page = try #require(SearchPage(parsing: Array(text.utf8)))
        #expect(page.results.map(\.name) == ["a", "b"])
        #expect(page.results.map(\.starCount) == [0, 3])
        #expect(page.results.map(\.isOfficial) == [false, true])
        #expect(page.resultCount == 2)
    }

    @Test func `a description brings no control characters to a terminal`() throws {
        let text = #"{"results":[{"name":"a","description":"x\u001b[2J\u0007\ny \"é\""}]}"#
        let page = try #require(SearchPage(parsing: Array(text.utf8)))
        #expect(page.results.first?.description == "x [2J  y \"é\"")
    }

    @Test func `what is odd loses neither the page nor its result, unless it is the name`() throws {
        let text = """
            {"num_results":1.5,"num_pages":"x","page":null,"results":[{"name":"a","star_count":1.5,"is_official":"yes",\
            "description":7},{},{"name":1},7,null,{"name":"b","star_count":3}]}
            """
        let page = try #require(SearchPage(parsing: Array(text.utf8)))
        #expect(page.results.map(\.name) == ["a", "b"])
        #expect(page.results.map(\.starCount) == [0, 3])
        #expect(page.resultCount == 2)
    }

    @Test func `of a thousand results the rest is not looked at`() throws {
        let text = #"{"results":[\#(repeatElement(#"{"name":"a"}"#, count: 1001).joined(separator: ","))]}"#
        #expect(SearchPage(parsing: Array(text.utf8))?.results.count == 1000)
    }

    @Test(arguments: ["", "[]", "{}", #"{"results":{}}"#, #"{"results":7}"#, "<html>"])
    func `what is no result is none`(text: String) { #expect(SearchPage(parsing: Array(text.utf8)) == nil) }

    @Test func `it is read as it is written`() {
        var page = SearchPage(query: "a\"b", page: 2, pageSize: 5)
        page.pageCount = 3
        page.resultCount = 11
        page.results = [SearchPage.Result(name: "x/y", description: "\u{2028}<&>\\", isOfficial: true)]
        #expect(SearchPage(parsing: page.json) == page)
        #expect(String(decoding: page.json, as: UTF8.self).contains(#""is_official":true"#))
    }
}
