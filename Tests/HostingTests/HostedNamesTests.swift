// Whose names are the registry's own.

import Hosting
import OCI
import Testing

@Suite("HostedNames") struct HostedNamesTests {
    @Test(
        "a name is hosted by pattern, as it stands in the path",
        arguments: [
            (["mine"], "mine", true), (["mine"], "library/mine", false), (["my.team/*"], "my.team/app", true),
            (["team/**"], "team/app", true), (["team/**"], "team/deep/er/app", true), (["team/**"], "teams/app", false),
            (["team/*"], "team/app", true), (["team/*"], "team/deep/app", false), (["**"], "any/thing", true),
            ([], "any/thing", false), (["a/b", "c/*"], "a/b", true), (["a/b", "c/*"], "c/d", true),
            (["a/b", "c/*"], "a/bc", false), (["**/internal"], "x/y/internal", true),
            (["**/internal"], "x/y/external", false),
        ] as [([String], String, Bool)])
    func hosted(patterns: [String], name: String, isHosted: Bool) throws {
        let names = HostedNames(try patterns.map { try #require(NamePattern($0)) })
        #expect(names.contains(try #require(RepositoryName(name))) == isHosted)
    }
}
