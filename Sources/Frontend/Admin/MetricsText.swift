// Prometheus' text format: families of samples, each with its help and its type.

import HTTPServer

/// Lines of the text exposition format, version 0.0.4.
struct MetricsText {
    enum Kind: String { case counter, gauge }

    typealias Labels = [String: String]

    private(set) var lines = ""

    /// A family without samples is left out.
    mutating func family(_ name: String, _ kind: Kind, _ help: String, _ samples: [(Labels, Double)]) {
        guard !samples.isEmpty else { return }
        begin(name, kind.rawValue, help)
        for (labels, value) in samples { sample(name, labels, value) }
    }

    mutating func family(_ name: String, _ kind: Kind, _ help: String, _ value: Int64) {
        family(name, kind, help, [([:], Double(value))])
    }

    /// Seconds. The buckets of the format hold all that is no longer than their bound.
    mutating func histogram(_ name: String, _ help: String, _ samples: [(Labels, Histogram)]) {
        guard !samples.isEmpty else { return }
        begin(name, "histogram", help)
        for (labels, histogram) in samples {
            var count: Int64 = 0
            for (place, more) in histogram.counts.enumerated() {
                count += more
                let bound = place < Histogram.bounds.count ? Self.number(Histogram.bounds[place]) : "+Inf"
                sample(name + "_bucket", labels.merging(["le": bound]) { $1 }, Double(count))
            }
            sample(name + "_sum", labels, histogram.sum)
            sample(name + "_count", labels, Double(count))
        }
    }

    private mutating func begin(_ name: String, _ kind: String, _ help: String) {
        lines += "# HELP \(name) \(help)\n# TYPE \(name) \(kind)\n"
    }

    private mutating func sample(_ name: String, _ labels: Labels, _ value: Double) {
        let written = labels.sorted { $0.key < $1.key }.map { "\($0.key)=\"\(Self.escaped($0.value))\"" }
        lines += name + (written.isEmpty ? "" : "{\(written.joined(separator: ","))}") + " \(Self.number(value))\n"
    }

    /// Whole numbers without a fraction, as people expect them.
    private static func number(_ value: Double) -> String {
        Int64(exactly: value).map { "\($0)" } ?? "\(value)"
    }

    private static func escaped(_ text: String) -> String {
        text.replacing("\\", with: "\\\\").replacing("\"", with: "\\\"").replacing("\n", with: "\\n")
    }
}
