// The house as it stands, held against its laws.

import Testing

@Suite("The house") struct ArchitectureTests {
    let tree: SourceTree

    init() throws { tree = try SourceTree.read() }

    @Test func `every room on the napkin is there and holds Swift`() {
        #expect(Set(tree.files.map(\.room)) == Set(Napkin.rooms.keys))
    }

    @Test func `nobody imports whom the table does not give him`() {
        #expect(tree.files.flatMap(Napkin.strayImports) == [])
    }

    @Test func `the table has no cycle, and neither has what is imported in fact`() {
        #expect(Napkin.cycle(in: Napkin.rooms.mapValues(\.ours)) == nil)
        let facts = Dictionary(grouping: tree.files, by: \.room).mapValues {
            Set($0.flatMap { $0.imports.map(\.module) })
        }
        #expect(Napkin.cycle(in: facts) == nil)
    }

    /// `FoundationEssentials` comes with the toolchain and is declared nowhere; `UnixSignals` is a product of its own.
    @Test func `Package.swift declares what the table says, room by room`() {
        let manifest = PackageManifest(tree.manifest)
        #expect(manifest.doors == Napkin.doors)
        #expect(Set(manifest.targets.keys) == Set(Napkin.rooms.keys))
        for (name, room) in Napkin.rooms {
            let declared = room.ours.union(room.others).subtracting(["FoundationEssentials"])
            #expect(manifest.targets[name] == declared, "\(name)")
        }
    }

    @Test func `no file is longer than 450 lines, in the tests neither`() throws {
        #expect(try SourceTree.read(["Sources", "Tests"]).files.flatMap(TextLaws.length) == [])
    }

    @Test func `the first line of every file says what lives there, in the tests too`() throws {
        #expect(try SourceTree.read(["Sources", "Tests"]).files.flatMap(TextLaws.firstLine) == [])
    }

    @Test func `no line is wider than 120 columns`() { #expect(tree.files.flatMap(TextLaws.width) == []) }

    @Test func `nothing is public, re-exported or left to do`() {
        #expect(tree.files.flatMap(TextLaws.forbidden) == [])
    }

    @Test func `ways round the compiler are proved where they stand, and stand at the door to libcurl`() {
        #expect(tree.files.flatMap(TextLaws.excused) == [])
    }

    @Test func `time comes in from outside`() { #expect(tree.files.flatMap(TextLaws.clocks) == []) }

    @Test func `the doors to C hold a header and a map, and no Swift`() {
        #expect(tree.files.filter { Napkin.doors.contains($0.room) }.isEmpty)
    }
}
