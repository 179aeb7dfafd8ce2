// RFC 9110 §8.8.3 (entity tags) and §13.1.2 (If-None-Match).

import HTTPSemantics
import Testing

@Suite("ETag: RFC 9110 §8.8.3") struct EntityTagTests {
    @Test(arguments: ["\"xyzzy\"", "W/\"xyzzy\"", "\"\"", "\"sha256:abc\"", "\"a\\b\"", "\"é\"", "\"!#~\""])
    func `what is well formed comes back as it was`(field: String) throws {
        #expect("\(try #require(EntityTag(field)))" == field)
    }

    @Test(arguments: [
        "", "xyzzy", "\"", "\"a", "a\"", "w/\"a\"", "W/a", "W/", "\"a\"b\"", "\"a b\"", "\"a\u{7F}\"", "*",
        "\"a\",\"b\"",
    ])
    func `everything else is refused`(field: String) {
        #expect(EntityTag(field) == nil)
    }

    /// The table of §8.8.3.2.
    @Test(arguments: [
        ("W/\"1\"", "W/\"1\"", false, true), ("W/\"1\"", "W/\"2\"", false, false), ("W/\"1\"", "\"1\"", false, true),
        ("\"1\"", "\"1\"", true, true),
    ])
    func `the RFC's table of comparisons`(one: String, two: String, strong: Bool, weak: Bool) throws {
        let (one, two) = (try #require(EntityTag(one)), try #require(EntityTag(two)))
        #expect(one.matchesStrongly(two) == strong)
        #expect(one.matchesWeakly(two) == weak)
    }
}

@Suite("If-None-Match: RFC 9110 §13.1.2") struct IfNoneMatchTests {
    @Test(arguments: [
        "\"xyzzy\"", "W/\"xyzzy\"", "\"xyzzy\", \"r2d2xxxx\", \"c3piozzzz\"", "\"r2d2xxxx\",\"xyzzy\"", "*", " * ",
        "W/\"r2d2xxxx\", W/\"xyzzy\"", ", ,\"a\" ,, \"xyzzy\",", "\"a,b\", \"xyzzy\"",
    ])
    func `names it`(field: String) {
        #expect(Validators.ifNoneMatch(field, entityTag: "\"xyzzy\""))
    }

    @Test(arguments: [
        nil, "", ",", "\"other\"", "xyzzy", "\"xyzzy", "\"a, \"xyzzy\"", "\"a\" \"xyzzy\"", "*, \"a\"", "x, \"xyzzy\"",
        "\"XYZZY\"", String(repeating: "\"a\",", count: 4000),
    ])
    func `does not name it`(field: String?) {
        #expect(!Validators.ifNoneMatch(field, entityTag: "\"xyzzy\""))
    }
}
