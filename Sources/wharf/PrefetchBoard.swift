// How images that are being fetched are shown: bars on a terminal, plain lines elsewhere.

import Frontend

/// A value. Lines of the mirror go in; what is to be shown comes out.
struct PrefetchBoard {
    private var order: [String] = []
    private var lines: [String: PrefetchLine] = [:]
    /// Quarters that were told of, where there are no bars.
    private var told: [String: Int] = [:]

    private(set) var failed = 0
    private(set) var done = 0

    /// What is to be written for good.
    enum Note: Equatable {
        case said(String)
        case complained(String)
    }

    /// - Parameter isWatched: there are bars, so only ends are worth a line.
    mutating func take(_ line: PrefetchLine, isWatched: Bool) -> Note? {
        let image = FigureText.printable(line.image)
        switch line.state {
        case "done":
            remove(line.image)
            done += 1
            let note = line.message.map { " (\(FigureText.printable($0)))" } ?? ""
            return .said("\(image): done, \(FigureText.size(line.received)) in \(line.blobsDone) blobs\(note)")
        case "failed":
            remove(line.image)
            failed += 1
            return .complained("\(image): \(FigureText.printable(line.message ?? "it could not be fetched"))")
        default:
            if lines.updateValue(line, forKey: line.image) == nil { order.append(line.image) }
            return isWatched ? nil : progress(line).map { .said("\(image): \($0)") }
        }
    }

    private mutating func remove(_ image: String) {
        lines[image] = nil
        told[image] = nil
        order.removeAll { $0 == image }
    }

    /// At the beginning and with each quarter, for a log.
    private mutating func progress(_ line: PrefetchLine) -> String? {
        guard let size = line.size else { return nil }
        let quarter = size > 0 ? Int(4 * min(1, max(0, Double(line.received) / Double(size)))) : 4
        guard quarter > told[line.image] ?? -1, quarter < 4 else { return nil }
        told[line.image] = quarter
        return quarter == 0
            ? "fetching \(FigureText.size(size)) in \(line.blobs) blobs"
            : "\(25 * quarter) %, \(FigureText.size(line.received)) of \(FigureText.size(size))"
    }

    /// One an image that is under way.
    func bars(width: Int) -> [String] {
        let width = max(40, width)
        return order.compactMap { lines[$0] }.map { line in
            let names = min(48, max(16, width * 2 / 5))
            let name = FigureText.padded(
                FigureText.shortened(FigureText.printable(line.image), to: names), to: names)
            guard let size = line.size else {
                let words = line.state == "resolving" ? "resolving" : "\(line.blobsDone) of \(line.blobs) manifests"
                return String("\(name) \(words)".prefix(width))
            }
            let share = size > 0 ? Double(line.received) / Double(size) : 1
            let words = "\(FigureText.size(line.received)) of \(FigureText.size(size))"
            let percent = FigureText.paddedLeft("\(Int(min(1, max(0, share)) * 100)) %", to: 5)
            let room = width - names - words.count - 10
            let bar = room < 5 ? "" : FigureText.bar(share, width: min(30, room)) + " "
            return String("\(name) \(bar)\(percent) \(words)".prefix(width))
        }
    }
}
