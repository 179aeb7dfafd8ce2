// A directory of a test's own, gone with the last who holds it.
import Foundation

package final class TemporaryDirectory: Sendable {
    /// Absolute, without a "/" at its end.
    package let path: String

    package init() throws {
        path = NSTemporaryDirectory() + "wharf-test-" + UUID().uuidString
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(atPath: path)  // a test's litter is no failure of the test
    }

    /// The path of something inside.
    package func path(_ name: String) -> String { "\(path)/\(name)" }

    /// Writes a file inside and returns its path.
    @discardableResult
    package func write(_ bytes: [UInt8], to name: String) throws -> String {
        try Data(bytes).write(to: URL(fileURLWithPath: path(name)))
        return path(name)
    }
}
