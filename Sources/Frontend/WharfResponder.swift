// The one gate: method and path decide who answers, and what is not named here is refused.

import HTTPSemantics
package import HTTPServer
import HTTPTypes
package import Hosting
import OCI
package import PullThrough

package struct WharfResponder: Responder {
    private let registry: RegistryResponder
    private let health: HealthHandler
    private let statistics: StatisticsHandler
    private let history: HistoryHandler
    private let metrics: MetricsHandler
    private let search: SearchHandler
    private let events: EventsHandler
    private let reload: ReloadHandler
    private let scrub: ScrubHandler
    private let collect: CollectHandler
    private let page = PageHandler()
    private let glance: GlanceResponder
    private let actions: ActionsResponder
    private let access: Access
    /// Time since some fixed instant.
    private let now: @Sendable () -> Duration

    /// - Parameters:
    ///   - pseudonym: what this program calls itself in `Via`.
    ///   - access: who may do more than read.
    ///   - reload: reads the configuration again.
    ///   - vitals: what the figures tell of the program itself.
    ///   - uptime: seconds since the start.
    package init(
        cache: PullThroughCache, hosted: HostedRepositories, version: String, pseudonym: String, access: Access,
        vitals: Vitals = Vitals(), reload: @escaping @Sendable () async -> Reloaded,
        uptime: @escaping @Sendable () -> Double
    ) {
        self.access = access
        now = cache.uptime
        let discovery = Discovery(cache: cache)
        registry = RegistryResponder(
            cache: cache, discovery: discovery, repositories: hosted, access: access, pseudonym: pseudonym)
        search = SearchHandler(discovery: discovery, pseudonym: pseudonym)
        health = HealthHandler(cache: cache)
        statistics = StatisticsHandler(
            cache: cache, access: access, version: version, vitals: vitals, uptime: uptime)
        history = HistoryHandler(cache: cache)
        metrics = MetricsHandler(cache: cache, access: access, version: version, vitals: vitals, uptime: uptime)
        let feed = StatisticsFeed(clock: cache.clock) { [statistics] in
            StatisticsFeed.Edition(await statistics.document())
        }
        events = EventsHandler(events: cache.events, figures: feed)
        glance = GlanceResponder(cache: cache)
        self.reload = ReloadHandler(reload: reload)
        scrub = ScrubHandler(cache: cache)
        collect = CollectHandler(repositories: hosted)
        actions = ActionsResponder(cache: cache, hosted: hosted)
    }

    package func ready(_ request: Request) -> Response? {
        if request.asksForTiming { return nil }
        if let target = registry.known(request) { return registry.ready(request, target) }
        guard request.isRead else { return nil }
        switch request.path {
        case "/v2/" where !request.isAtLogin, "/v2" where !request.isAtLogin: return marked(registry.version())
        case "/livez": return marked(health.live())
        case let path where path.utf8.starts(with: "/v2/".utf8): return registry.ready(request).map(marked)
        default: return nil
        }
    }

    package func takesBody(_ request: Request) -> Bool {
        request.path.utf8.starts(with: "/v2/".utf8) ? registry.takesBody(request) : actions.takesBody(request)
    }

    package func respond(to request: Request) async -> Response {
        guard request.asksForTiming else { return await passed(request) }
        let (timing, start) = (ServerTiming(), now())
        var response = await ServerTiming.$current.withValue(timing) { await passed(request) }
        response.fields[.serverTiming] = timing.text(total: now() - start)
        return response
    }

    private func passed(_ request: Request) async -> Response {
        guard request.fields.contains(.via) else { return marked(await answer(to: request)) }
        let via = Via(request.fields[values: .via])
        return marked(await Via.$current.withValue(via) { await answer(to: request) })
    }

    private func answer(to request: Request) async -> Response {
        if request.path == "/v2" || request.path.hasPrefix("/v2/") { return await registry.respond(to: request) }
        if request.path == "/api/v1" || request.path.hasPrefix("/api/v1/") { return await administer(request) }
        switch request.path {
        case "/livez" where request.isRead: return health.live()
        case "/readyz" where request.isRead: return await health.ready()
        case "/stats" where request.isRead: return await statistics.respond()
        case "/metrics" where request.isRead: return await metrics.respond()
        case "/v1/_ping" where request.isRead: return search.ping()
        case "/v1/search" where request.isRead:
            // Clients send the password that they have saved for this address.
            if let refusal = await access.refusal(ofLogin: request, isAsked: false) { return refusal }
            return await search.respond(to: request)
        case let path where PageHandler.covers(path):
            guard request.isRead else { return Self.readOnly }
            // Browsers send the password that they have for this address with every request.
            if let refusal = await access.refusal(ofLogin: request, isAsked: false) { return refusal }
            return page.respond(to: request) ?? Self.nothing
        case "/livez", "/readyz", "/stats", "/metrics", "/v1/_ping", "/v1/search": return Self.readOnly
        default: return Self.nothing
        }
    }

    /// The admin API: who may pull may read, all else is for the owner and the holder of the token, and who is neither
    /// is not even told what there is.
    private func administer(_ request: Request) async -> Response {
        guard request.isRead || access.isAdmin(request) else {
            return ErrorMapping.response(
                .unauthorized, .unauthorized, "this takes the admin token",
                fields: [.wwwAuthenticate: "Bearer realm=\"wharf\""])
        }
        // As with the search: a password that is shown must be right.
        if let refusal = await access.refusal(ofLogin: request, isAsked: false) { return refusal }
        if let response = await glance.respond(to: request) { return response }
        switch request.path {
        case "/api/v1/events" where request.isRead: return events.respond(to: request)
        case "/api/v1/history" where request.isRead: return await history.respond(to: request)
        case "/api/v1/events", "/api/v1/history": return Self.readOnly
        case "/api/v1/reload" where request.method == .post: return await reload.respond()
        case "/api/v1/scrub" where request.method == .post: return scrub.respond(to: request)
        case "/api/v1/gc" where request.method == .post: return await collect.respond()
        case "/api/v1/reload", "/api/v1/scrub", "/api/v1/gc": return Self.postOnly
        default: return await actions.respond(to: request) ?? Self.nothing
        }
    }

    static let readOnly = ErrorMapping.response(
        .methodNotAllowed, .unsupported, "only GET and HEAD are served here", fields: [.allow: "GET, HEAD"])
    private static let postOnly = ErrorMapping.response(
        .methodNotAllowed, .unsupported, "only POST is served here", fields: [.allow: "POST"])
    private static let nothing = ErrorMapping.response(.notFound, .unsupported, "there is nothing at this path")

    /// Every answer says how the cache came to it.
    private func marked(_ response: Response) -> Response {
        guard !response.fields.contains(.cacheStatus) else { return response }
        var response = response
        response.fields[.cacheStatus] = "\(CacheStatus.local)"
        return response
    }
}

extension CacheStatus {
    /// Answered without looking for anything stored.
    fileprivate static let local = CacheStatus(detail: "local")
}

extension Request {
    var isRead: Bool { method == .get || method == .head }
}
