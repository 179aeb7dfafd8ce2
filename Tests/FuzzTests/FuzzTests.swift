// The laws of the parsers, held against what once broke them and against inputs made from a seed.

import Foundation
import Testing

@Suite("Fuzzed parsers") struct FuzzTests {
    private static let environment = ProcessInfo.processInfo.environment
    /// Inputs for each target and seed.
    private static let count = environment["WHARF_FUZZ_COUNT"].flatMap { Int($0) } ?? 500

    private static func feed(_ target: FuzzTarget, seed: UInt64, count: Int) {
        var mutator = Mutator(target, seed: seed)
        for number in 0..<count {
            let input = mutator.next()
            do {
                try target.law(input)
            } catch {
                Issue.record("\(target.name), seed \(seed), input \(number): \(error)\n\(input.literal)")
                return
            }
        }
    }

    @Test(arguments: FuzzTarget.all) func `a law holds for what it starts from`(target: FuzzTarget) throws {
        for seed in target.seeds { try target.law(seed) }
        for word in target.words { try target.law(word) }
        try target.law([])
    }

    @Test(arguments: FuzzCase.all) func `a law holds for what once broke it`(kept: FuzzCase) throws {
        let target = try #require(FuzzTarget.named(kept.target))
        try target.law(kept.input)
    }

    @Test(arguments: FuzzTarget.all) func `a law holds for the same inputs every time`(target: FuzzTarget) {
        Self.feed(target, seed: 7, count: Self.count)
    }

    /// Only where it is asked for (deploy/fuzz does): what it finds is seldom the fault of the change that is tested.
    @Test(.enabled(if: environment["WHARF_FUZZ_SEED"] != nil), arguments: FuzzTarget.all)
    func `a law holds for inputs that nobody has seen`(target: FuzzTarget) {
        let seed = Self.environment["WHARF_FUZZ_SEED"].flatMap { UInt64($0) } ?? UInt64.random(in: 0...UInt64.max)
        print("fuzzing \(target.name) from WHARF_FUZZ_SEED=\(seed)")
        Self.feed(target, seed: seed, count: Self.count)
    }

    @Test func `a law that does not hold is noticed`() {
        let target = FuzzTarget("none", seeds: ["aaaa"], words: ["b"]) { bytes in
            try hold(!bytes.contains(UInt8(ascii: "b")), "a b")
        }
        withKnownIssue { Self.feed(target, seed: 7, count: 1000) }
    }

    #if FUZZER
        @Test(.enabled(if: environment["WHARF_FUZZ_TARGET"] != nil)) func `LLVM's fuzzer`() throws {
            let target = try #require(Self.environment["WHARF_FUZZ_TARGET"].flatMap { FuzzTarget.named($0) })
            let folder = try #require(Self.environment["WHARF_FUZZ_FOLDER"])
            for (number, seed) in target.seeds.enumerated() {
                try Data(seed).write(to: URL(filePath: "\(folder)/seed-\(number)"))
            }
            let words = target.words.filter { !$0.isEmpty }.map { word in
                "\"" + word.map { "\\x" + String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined() + "\""
            }
            try words.joined(separator: "\n").write(toFile: "\(folder).words", atomically: true, encoding: .utf8)
            let arguments = Self.environment["WHARF_FUZZ_ARGUMENTS"]?.split(separator: " ").map(String.init) ?? []
            LibFuzzer.run(target, arguments: arguments + ["-dict=\(folder).words", folder])
        }
    #endif
}
