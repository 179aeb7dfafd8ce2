// What the figures tell of the program itself: where it listens, how long it runs, what it takes of the machine.

package import HTTPServer

/// Asked each time, since it changes while the program runs.
package struct Vitals: Sendable {
    /// Of the process, as the kernel counts.
    package struct Process: Sendable {
        /// Bytes.
        package var residentBytes, virtualBytes: Int64
        package var openDescriptors, mostDescriptors: Int64
        /// Of all processors, in the program and in the kernel for it.
        package var cpuSeconds: Double

        package init(
            residentBytes: Int64, virtualBytes: Int64, openDescriptors: Int64, mostDescriptors: Int64,
            cpuSeconds: Double
        ) {
            self.residentBytes = residentBytes
            self.virtualBytes = virtualBytes
            self.openDescriptors = openDescriptors
            self.mostDescriptors = mostDescriptors
            self.cpuSeconds = cpuSeconds
        }
    }

    /// Log lines that wait for whoever reads them, in bytes, and those that were dropped since nobody did.
    package struct Log: Sendable {
        package var waitingBytes, droppedLines: Int64

        package init(waitingBytes: Int64 = 0, droppedLines: Int64 = 0) {
            self.waitingBytes = waitingBytes
            self.droppedLines = droppedLines
        }
    }

    /// Unix milliseconds.
    package var startedAt: Int64
    /// `HOST:PORT`, where there is an address for logging in.
    package var loginListen: @Sendable () -> String?
    /// Nil where the system does not tell.
    package var process: @Sendable () -> Process?
    package var log: @Sendable () -> Log
    package var server: @Sendable () -> ServerFigures

    package init(
        startedAt: Int64 = 0, loginListen: @escaping @Sendable () -> String? = { nil },
        process: @escaping @Sendable () -> Process? = { nil }, log: @escaping @Sendable () -> Log = { Log() },
        server: @escaping @Sendable () -> ServerFigures = { ServerFigures() }
    ) {
        self.startedAt = startedAt
        self.loginListen = loginListen
        self.process = process
        self.log = log
        self.server = server
    }
}
