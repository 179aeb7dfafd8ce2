// The upstreams: those that the file names, those of the command line, and those that are built in.

import FoundationEssentials
import OCI

extension Configuration {
    mutating func readUpstreams(
        _ root: inout ConfigurationSection, _ overrides: ConfigurationOverrides, _ notes: ConfigurationNotes
    ) {
        let keepsBuiltIn = root.value("builtin-upstreams", or: true, ConfigurationValues.bool)
        upstreams = []
        for (name, section, origin) in root.namedSections("upstreams") {
            var section = section
            do throws(ValueMistake) {
                upstreams.append(Upstream(reading: &section, name: try ConfigurationValues.registryHost(name)))
            } catch {
                notes.mistake(origin, "upstreams: \(error.message)")
                _ = Upstream(reading: &section, name: name)  // for the mistakes in it
            }
            section.finish()
        }
        if let override = overrides.upstreams { apply(override, notes) }
        if keepsBuiltIn {
            let named = Set(upstreams.map(\.name))
            upstreams += Self.builtInNames.filter { !named.contains($0) }.map { Upstream(name: $0) }
        }
        for index in upstreams.indices { upstreams[index].settle(notes) }

        defaultUpstream = root.value("default-upstream", or: defaultUpstream, ConfigurationValues.registryHost)
        if !upstreams.contains(where: { $0.name == defaultUpstream }) {
            let names = upstreams.isEmpty ? "there is none" : upstreams.map(\.name).joined(separator: ", ")
            notes.mistake(
                notes.origins["default-upstream"] ?? notes.origins["builtin-upstreams"],
                "default-upstream: \(defaultUpstream) is no upstream here; choose among: \(names)")
        }
    }

    /// `[NAME=]URL`, once for each endpoint; together they take the place of the endpoints that the file gives.
    private mutating func apply(_ override: Override, _ notes: ConfigurationNotes) {
        var replaced: Set<String> = []
        for text in override.texts {
            let scheme = text.firstRange(of: "://")?.lowerBound ?? text.endIndex
            let equals = text[..<scheme].firstIndex(of: "=")
            do throws(ValueMistake) {
                let name = try equals.map { equals throws(ValueMistake) in
                    try ConfigurationValues.registryHost(String(text[..<equals]))
                }
                let url = try ConfigurationValues.endpoint(
                    String(equals.map { text[text.index(after: $0)...] } ?? text[...]))
                add(url, to: name ?? "docker.io", &replaced)
                notes.given("upstreams.\(name ?? "docker.io").endpoints", override.origin)
                if !url.isSecure { notes.given("upstreams.\(name ?? "docker.io").allow-http", override.origin) }
            } catch {
                notes.mistake(override.origin, error.message)
            }
        }
    }

    private mutating func add(_ url: EndpointURL, to name: String, _ replaced: inout Set<String>) {
        let index: Int
        if let found = upstreams.firstIndex(where: { $0.name == name }) {
            index = found
        } else {
            upstreams.append(Upstream(name: name))
            index = upstreams.endIndex - 1
        }
        if replaced.insert(name).inserted { upstreams[index].endpoints = [] }
        upstreams[index].endpoints.append(url)
        if !url.isSecure { upstreams[index].allowsHTTP = true }
    }
}

extension Configuration.Upstream {
    fileprivate init(reading section: inout ConfigurationSection, name: String) {
        typealias Values = ConfigurationValues
        self.init(name: name)
        endpoints = section.list("endpoints", Values.endpoint) ?? endpoints
        authHosts = section.list("auth-hosts", Values.authHost) ?? []
        allowsHTTP = section.value("allow-http", or: allowsHTTP, Values.bool)
        freshness.read(&section)
        tags = Self.tagRules(&section, of: name, else: freshness)
        firstByteTimeout = section.value("first-byte-timeout", or: firstByteTimeout, Values.timeout)
        stallTimeout = section.value("stall-timeout", or: stallTimeout, Values.timeout)
        minSpeed = section.value("min-speed", or: minSpeed, Values.rate)
        giveUpAfter = section.value("give-up-after", or: giveUpAfter, Values.timeout)
        let backgroundFill = section.value("background-fill", or: "finish", Values.words("finish", "stop"))
        finishesInBackground = backgroundFill == "finish"
        rangeIdle = section.value("range-idle", or: rangeIdle, Values.duration)
        ranges = section.value("ranges", or: ranges, Values.count)
        maxTransfers = section.value("max-transfers", or: maxTransfers, Values.count)
        maxBandwidth = section.optional("max-bandwidth", Values.positiveRate)
        login = Self.login(&section)
        dockerConfig = section.optional("docker-config", Values.readableFile)
        if login != nil, dockerConfig != nil {
            section.mistake("docker-config", "stands beside a username: keep one of the two")
        }
        proxy = section.value("proxy", or: proxy, Values.proxy)
        caFile = section.optional("ca-file", Values.readableFile)
        clientCertificate = Self.clientCertificate(&section)
        privateAddresses = section.value("allow-private-addresses", or: privateAddresses, Values.choice)
        allow = section.list("allow", Values.namePattern)
        deny = section.list("deny", Values.namePattern) ?? []
    }

    /// What can be said only once file and command line have both spoken.
    fileprivate mutating func settle(_ notes: ConfigurationNotes) {
        let key = "upstreams.\(name)."
        fileContents = [caFile, clientCertificate?.certificateFile, clientCertificate?.keyFile].compactMap { $0 }
            .map { Digest.of(FileManager.default.contents(atPath: $0).map(Array.init) ?? [], .sha256) }
        if notes.origins["\(key)auth-hosts"] == nil { authHosts = Self.usualAuthHosts(of: endpoints) }
        if endpoints.isEmpty { notes.mistake(notes.origins["\(key)endpoints"], "\(key)endpoints: name at least one") }
        if !allowsHTTP, let clear = endpoints.first(where: { !$0.isSecure }) {
            notes.mistake(
                notes.origins["\(key)endpoints"],
                "\(key)endpoints: \(clear) is without TLS; write https://, or allow-http: true beside it")
        }
    }

    private static func login(_ section: inout ConfigurationSection) -> Configuration.Login? {
        let username = section.optional("username", ConfigurationValues.text)
        let password = section.optional("password-file", ConfigurationValues.password)
        switch (username, password) {
        case (let username?, let password?): return Configuration.Login(username: username, password: password)
        case (nil, nil): return nil
        case (_?, nil):
            if !section.isGiven("password-file") { section.mistake("username", "needs a password-file beside it") }
            return nil
        case (nil, _?):
            section.mistake("password-file", "needs a username beside it")
            return nil
        }
    }

    private static func clientCertificate(
        _ section: inout ConfigurationSection
    ) -> Configuration.ClientCertificate? {
        let certificate = section.optional("client-certificate", ConfigurationValues.readableFile)
        let key = section.optional("client-key", ConfigurationValues.readableFile)
        if let certificate, let key {
            return Configuration.ClientCertificate(certificateFile: certificate, keyFile: key)
        }
        if certificate != nil, !section.isGiven("client-key") {
            section.mistake("client-certificate", "needs a client-key beside it")
        }
        if key != nil, !section.isGiven("client-certificate") {
            section.mistake("client-key", "needs a client-certificate beside it")
        }
        return nil
    }

    private static func tagRules(
        _ section: inout ConfigurationSection, of upstream: String, else freshness: Configuration.Freshness
    ) -> [Configuration.TagRule] {
        section.namedSections("tags").compactMap { key, rule, origin in
            var (rule, freshness) = (rule, freshness)
            freshness.read(&rule)
            freshness.isImmutable = rule.value("immutable", or: false, ConfigurationValues.bool)
            if freshness.isImmutable {
                for idle in ["fresh-for", "stale-while-revalidate"] where rule.isGiven(idle) {
                    rule.mistake(idle, "means nothing beside immutable: true")
                }
            }
            rule.finish()
            do throws(ValueMistake) {
                let pattern = try ConfigurationValues.tagPattern(key, of: upstream)
                return Configuration.TagRule(pattern: pattern, freshness: freshness)
            } catch {
                section.mistake("tags", error.message, at: origin)
                return nil
            }
        }
    }
}

extension Configuration.Freshness {
    /// Changes what the section names.
    fileprivate mutating func read(_ section: inout ConfigurationSection) {
        typealias Values = ConfigurationValues
        freshFor = section.value("fresh-for", or: freshFor, Values.duration)
        staleWhileRevalidate = section.value("stale-while-revalidate", or: staleWhileRevalidate, Values.duration)
        staleIfError = section.value("stale-if-error", or: staleIfError, Values.duration)
        negativeFor = section.value("negative-for", or: negativeFor, Values.duration)
        let absent = section.optional("on-upstream-404", Values.words("serve", "forget"))
        forgetsAbsent = absent.map { $0 == "forget" } ?? forgetsAbsent
    }
}
