// The three descriptors that every program is supposed to begin with.

import Glibc

enum StandardStreams {
    /// Whoever started this may have closed them. Then the next file that is opened would get such a number, and the
    /// log would be written into the database. To be called before anything is opened.
    static func ensure() {
        for descriptor in STDIN_FILENO...STDERR_FILENO where fcntl(descriptor, F_GETFD) == -1 {
            // The lowest that is free is this one.
            _ = open("/dev/null", descriptor == STDIN_FILENO ? O_RDONLY : O_WRONLY)
        }
        // A reader that goes away costs the line and nothing else; HUP means something once there is a mirror.
        signal(SIGPIPE, SIG_IGN)
    }

    /// One line on stderr.
    static func complain(_ text: String) { put("wharf: \(text)\n", STDERR_FILENO) }

    /// One line on stdout.
    static func say(_ text: String) { put(text + "\n", STDOUT_FILENO) }

    private static func put(_ text: String, _ descriptor: CInt) {
        var text = text
        text.withUTF8 { bytes in
            var done = 0
            while done < bytes.count {
                // Nobody may be reading: the line is not worth the program.
                var ready = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
                guard poll(&ready, 1, descriptor == STDERR_FILENO ? 2000 : -1) != 0 else { return }
                let count = write(descriptor, bytes.baseAddress?.advanced(by: done), bytes.count - done)
                if count > 0 { done += count } else if errno != EINTR { return }
            }
        }
    }
}
