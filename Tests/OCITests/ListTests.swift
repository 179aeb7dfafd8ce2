// The lists' documents: what is read of them, what is passed on, and what is no list.

import Testing

@testable import OCI

@Suite("end-8: the document") struct TagListDocumentTests {
    @Test(
        arguments: [
            (#"{"name":"a","tags":["b","a"]}"#, ["b", "a"]), (#" {"tags":[]}"#, []), (#"{"tags":null}"#, []),
            (#"{"tags":["a","b c","\u001b[2J","","x/y","é"],"child":[]}"#, ["a"]),
        ]) func `tags are read in their order, and what is none is left out`(row: (text: String, tags: [String]))
    {
        #expect(TagList(parsing: Array(row.text.utf8))?.tags == row.tags)
    }

    @Test(
        arguments: [
            "", "[]", "{}", "null", #"{"tags":{}}"#, #"{"tags":[1]}"#, #"{"tags":"a"}"#, #"["tags"]"#, "<html>",
            #"{"tags":["a"]"#, "\u{FEFF}{\"tags\":[]}",
        ]) func `what is no list is none`(text: String)
    {
        #expect(TagList(parsing: Array(text.utf8)) == nil)
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
        #expect(self.text(list) == "\(Self.start)\(Self.descriptor(Self.one)) ]}\n")
    }

    @Test func `what is no descriptor is left out, and nothing with it`() throws {
        let bad = [
            "1", "null", #""manifests""#, "[]", "{}", #"{"digest":"\#(Self.one)"}"#, Self.descriptor("sha256:12"),
            Self.descriptor("blake3:" + String(repeating: "1", count: 64)),
            Self.descriptor(Self.one).replacing(":7", with: ":-7"), Self.descriptor(Self.one, #","artifactType":3"#),
        ]
        for bad in bad {
            let list = try #require(ReferrerList(parsing: index(bad, Self.descriptor(Self.two), bad)))
            #expect(text(list) == "\(Self.start)\(Self.descriptor(Self.two))]}\n", "\(bad)")
        }
    }

    @Test(
        arguments: [
            "", "[]", "{}", "<html>", #"{"manifests":{}}"#, #"{"manifests":[}"#, #"{"manifests":"x"}"#,
            #"{"manifests":[{}]"#, "\u{FEFF}{\"manifests\":[]}",
        ]) func `what is no index is no list`(text: String)
    {
        #expect(ReferrerList(parsing: Array(text.utf8)) == nil)
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

    @Test(arguments: ["", "[]", "{}", #"{"results":{}}"#, #"{"results":[{}]}"#, #"{"results":[{"name":1}]}"#, "<html>"])
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
