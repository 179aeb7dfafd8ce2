// What is said outside the file: each flag, and the environment variable that stands for it.

import OCI

/// `--max-size` is `WHARF_MAX_SIZE`; an empty variable says nothing.
struct ConfigurationOverrides {
    let listen: Override?
    let data: Override?
    let maxSize: Override?
    let upstreams: Override?
    let logLevel: Override?
    let logFormat: Override?
    let offline: Override?

    init(flags: Configuration.Flags, environment: [String: String]) {
        func override(_ flag: String, _ given: [String], isList: Bool = false) -> Override? {
            if !given.isEmpty { return Override(texts: given, origin: .flag("--\(flag)")) }
            let variable = "WHARF_" + flag.uppercased().replacing("-", with: "_")
            guard let text = environment[variable], !text.isEmpty else { return nil }
            let texts = isList ? text.split { $0 == "," || $0.isWhitespace }.map(String.init) : [text]
            return texts.isEmpty ? nil : Override(texts: texts, origin: .environment(variable))
        }
        listen = override("listen", flags.listen, isList: true)
        data = override("data", flags.data.map { [$0] } ?? [])
        maxSize = override("max-size", flags.maxSize.map { [$0] } ?? [])
        upstreams = override("upstream", flags.upstreams, isList: true)
        logLevel = override("log-level", flags.logLevel.map { [$0] } ?? [])
        logFormat = override("log-format", flags.logFormat.map { [$0] } ?? [])
        offline = override("offline", flags.offline ? ["true"] : [])
    }
}
