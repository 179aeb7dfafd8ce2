// The keeper of what the tests started: when the test process ends, however it ends, he ends the rest.

import Foundation
import Synchronization

/// A shell that is told, through a pipe whose writing end only this process holds, which processes and folders are the
/// tests'. The pipe's end is the test process's end, a crash or a kill included; what is still on the list is then
/// ended by its pid (TERM, after ten seconds KILL), and the folders are removed.
final class Undertaker: Sendable {
    static let shared = Result { try Undertaker() }

    /// Serialises the writers; the descriptor never changes.
    private let line: Mutex<FileHandle>

    private init() throws {
        var ends: [CInt] = [0, 0]
        guard pipe(&ends) == 0 else { throw HarnessError("no pipe: \(String(cString: strerror(errno)))") }
        defer { close(ends[0]) }
        let path = ["PATH": Programs.searchPath]
        _ = try spawn(["/bin/bash", "-c", Undertaker.script], environment: path, in: "/", input: ends[0])
        line = Mutex(FileHandle(fileDescriptor: ends[1]))
    }

    func watch(process: Int32) { say("+pid \(process)") }
    func forget(process: Int32) { say("-pid \(process)") }
    func watch(folder: String) { say("+dir \(folder)") }

    private func say(_ words: String) {
        // A shell that is gone means that the run is ending: there is nobody left to tell.
        line.withLock { try? $0.write(contentsOf: Data((words + "\n").utf8)) }
    }

    private static let script = """
        trap '' INT TERM HUP
        declare -A pids dirs
        while read -r verb what; do
            case $verb in
                +pid) pids[$what]=1 ;;
                -pid) unset "pids[$what]" ;;
                +dir) dirs[$what]=1 ;;
            esac
        done
        [ ${#pids[@]} -gt 0 ] && kill -TERM "${!pids[@]}" 2>/dev/null
        for _ in {1..100}; do
            for pid in "${!pids[@]}"; do kill -0 "$pid" 2>/dev/null || unset "pids[$pid]"; done
            [ ${#pids[@]} = 0 ] && break
            sleep 0.1
        done
        [ ${#pids[@]} -gt 0 ] && kill -KILL "${!pids[@]}" 2>/dev/null
        [ ${#dirs[@]} -gt 0 ] && rm -rf -- "${!dirs[@]}"
        """
}
