// How a process is begun: posix_spawn with nothing inherited that was not meant to be.

import Foundation

/// Begins a process in a session of its own and returns its pid.
///
/// Foundation's `Process` is not used, for two reasons that bite here. It hands down the signal mask of the calling
/// thread, and the threads of Dispatch block SIGTERM: no daemon so begun can be ended gracefully. And it notices an end
/// only when a socket inherited by the process is closed, which its grandchildren (a daemon's helpers) hold open.
///
/// - Parameters:
///   - command: the program's path and its arguments.
///   - input: the descriptor that becomes standard input.
///   - output: the file that gets standard output and standard error; it is written anew.
func spawn(
    _ command: [String], environment: [String: String], in folder: String, input: CInt? = nil,
    output: String = "/dev/null"
) throws -> pid_t {
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    if let input {
        posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO)
    } else {
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
    }
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output, O_WRONLY | O_CREAT | O_TRUNC, 0o644)
    posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO)
    for name in try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd") {
        if let descriptor = CInt(name), descriptor > STDERR_FILENO {
            posix_spawn_file_actions_addclose(&actions, descriptor)
        }
    }

    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var signals = sigset_t()
    sigemptyset(&signals)
    posix_spawnattr_setsigmask(&attributes, &signals)
    sigfillset(&signals)
    posix_spawnattr_setsigdefault(&attributes, &signals)
    let flags = Int32(POSIX_SPAWN_SETSIGMASK) | Int32(POSIX_SPAWN_SETSIGDEF) | 0x80  // POSIX_SPAWN_SETSID
    posix_spawnattr_setflags(&attributes, Int16(flags))

    // `env` changes the folder and execs, so the pid stays the same.
    let command = ["/usr/bin/env", "-C", folder] + command
    var arguments = command.map { strdup($0) } + [nil]
    var variables = environment.map { strdup("\($0)=\($1)") } + [nil]
    defer { for text in arguments + variables { free(text) } }
    var identifier: pid_t = 0
    let failure = posix_spawn(&identifier, command[0], &actions, &attributes, &arguments, &variables)
    guard failure == 0 else { throw HarnessError("cannot start \(command[0]): \(String(cString: strerror(failure)))") }
    return identifier
}

/// Waits, blocking, for the end of a process begun here.
/// - Returns: its exit status; 128 + N after signal N, as the shell tells it.
func awaitEnd(of identifier: pid_t) -> Int32 {
    var status: Int32 = 0
    while waitpid(identifier, &status, 0) == -1 && errno == EINTR {}
    let signal = status & 0x7F
    return signal == 0 ? status >> 8 & 0xFF : 128 + signal
}
