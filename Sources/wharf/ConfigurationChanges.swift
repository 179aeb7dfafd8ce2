// What is another in another configuration, by the names of its keys: never by a value, which may be secret.

extension Configuration {
    /// The keys that only a restart changes.
    static let fixedKeys = ["data", "listen", "access.login-listen"]

    /// The keys whose values differ, in the order of the contract's file.
    func changes(to other: Configuration) -> [String] {
        var keys: [String] = []
        func compare<Value: Equatable>(_ key: String, _ value: (Configuration) -> Value) {
            if value(self) != value(other) { keys.append(key) }
        }
        compare("listen") { $0.listen }
        compare("data") { $0.data }
        compare("cache.max-size") { $0.cache.maxSize }
        compare("cache.min-free") { $0.cache.minFree }
        compare("cache.low-watermark") { $0.cache.lowWatermark }
        compare("cache.lease") { $0.cache.lease }
        compare("cache.verify-rate") { $0.cache.verifyRate }
        compare("cache.pin") { $0.cache.pins }
        keys += upstreamChanges(to: other)
        compare("default-upstream") { $0.defaultUpstream }
        compare("hosted") { $0.hosting.names }
        compare("hosting.read-only") { $0.hosting.readOnly }
        compare("hosting.immutable-tags") { $0.hosting.immutableTags }
        compare("hosting.quotas") { $0.hosting.quotas }
        compare("hosting.untagged-after") { $0.hosting.untaggedAfter }
        compare("hosting.abandoned-after") { $0.hosting.abandonedAfter }
        compare("access.htpasswd") { $0.users }
        compare("access.catalog") { $0.showsCatalog }
        compare("access.admin-token-file") { $0.adminToken }
        compare("access.push") { $0.push }
        compare("access.login-listen") { $0.loginListen }
        compare("tls.certificate") { $0.tls?.certificate }
        compare("tls.key") { $0.tls?.key }
        compare("tls.client-ca") { $0.tls?.clientCA }
        compare("limits.connections") { $0.limits.connections }
        compare("limits.connections-per-address") { $0.limits.connectionsPerAddress }
        compare("limits.header-timeout") { $0.limits.headerTimeout }
        compare("limits.idle-timeout") { $0.limits.idleTimeout }
        compare("limits.client-stall-timeout") { $0.limits.clientStallTimeout }
        compare("drain") { $0.drain }
        compare("log.level") { $0.log.level }
        compare("log.levels") { $0.log.levels }
        compare("log.format") { $0.log.format }
        compare("offline") { $0.offline }
        return keys
    }

    private func upstreamChanges(to other: Configuration) -> [String] {
        let known = upstreams.map(\.name)
        let names = known + other.upstreams.map(\.name).filter { !known.contains($0) }
        var keys = names.flatMap { name -> [String] in
            let key = "upstreams.\(name)"
            guard let before = upstreams.first(where: { $0.name == name }),
                let after = other.upstreams.first(where: { $0.name == name })
            else { return [key] }
            return before.changes(to: after).map { "\(key).\($0)" }
        }
        // In another order they are listed otherwise, and that is all.
        if keys.isEmpty, upstreams.map(\.name) != other.upstreams.map(\.name) { keys = ["upstreams"] }
        return keys
    }
}

extension Configuration.Upstream {
    fileprivate func changes(to other: Self) -> [String] {
        var keys: [String] = []
        func compare<Value: Equatable>(_ key: String, _ value: (Self) -> Value) {
            if value(self) != value(other) { keys.append(key) }
        }
        compare("endpoints") { $0.endpoints }
        compare("auth-hosts") { $0.authHosts }
        compare("username") { $0.login?.username }
        compare("password-file") { $0.login?.password }
        compare("docker-config") { $0.dockerConfig }
        compare("fresh-for") { $0.freshness.freshFor }
        compare("stale-while-revalidate") { $0.freshness.staleWhileRevalidate }
        compare("stale-if-error") { $0.freshness.staleIfError }
        compare("on-upstream-404") { $0.freshness.forgetsAbsent }
        compare("negative-for") { $0.freshness.negativeFor }
        compare("tags") { $0.tags }
        compare("first-byte-timeout") { $0.firstByteTimeout }
        compare("stall-timeout") { $0.stallTimeout }
        compare("min-speed") { $0.minSpeed }
        compare("give-up-after") { $0.giveUpAfter }
        compare("background-fill") { $0.finishesInBackground }
        compare("range-idle") { $0.rangeIdle }
        compare("ranges") { $0.ranges }
        compare("max-transfers") { $0.maxTransfers }
        compare("max-bandwidth") { $0.maxBandwidth }
        compare("proxy") { $0.proxy }
        compare("ca-file") { $0.caFile }
        compare("client-certificate") { $0.clientCertificate?.certificateFile }
        compare("client-key") { $0.clientCertificate?.keyFile }
        compare("allow-http") { $0.allowsHTTP }
        compare("allow-private-addresses") { $0.privateAddresses }
        compare("allow") { $0.allow }
        compare("deny") { $0.deny }
        // The same names, and something else in the files.
        if keys.isEmpty, fileContents != other.fileContents {
            keys = [("ca-file", caFile), ("client-certificate", clientCertificate?.certificateFile)]
                .filter { $0.1 != nil }.map(\.0)
        }
        // Whatever is not compared above is not lost.
        if keys.isEmpty, self != other { keys = ["others"] }
        return keys
    }
}
