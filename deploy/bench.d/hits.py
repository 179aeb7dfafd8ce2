# What is there already: blobs and manifests by keep-alive and by a new connection each, and the same over TLS.

from clients import Failed, check, handshakes, stream

BLOB = 256 << 20


class Warm:
    """The three servers with one blob and one image in each."""

    def __init__(self, bench):
        self.servers = {
            "wharf": bench.servers.wharf("fast"), "nginx": bench.servers.rival(),
            "registry": bench.servers.registry("fast")}
        self.blob = bench.content.blob(BLOB, kept=True)
        self.check(bench)
        self.plain = bench.servers.plain_registry(self.servers["registry"])
        check(self.plain, bench.content.by_tag, bench.content.digest)

    def check(self, bench):
        """Every byte that is about to be counted is right."""
        for server in self.servers.values():
            check(server, self.blob.path, self.blob.digest)
            for path in [bench.content.by_tag, bench.content.by_digest]:
                check(server, path, bench.content.digest)


def hits(bench):
    warm = bench.warm()
    warm.check(bench)
    for connections in [1, 4, 64]:
        rates, cpus = {}, {}
        for name in bench.order(warm.servers):
            got = stream(warm.servers[name], warm.blob.path, connections, bench.seconds)
            rates[name], cpus[name] = per_second(got), got["cpu"] / (got["bytes"] / 1e9)
        bench.report.add(f"hit_{connections}", **rates)
        bench.report.add(f"hit_{connections}_cpu", **cpus)
    bench.report.add("hit_wrk", **{
        name: per_second(bench.wrk.run(warm.servers[name], warm.blob.path, 4, bench.seconds))
        for name in bench.order(warm.servers)})


def per_second(got):
    """GB."""
    return got["bytes"] / got["seconds"] / 1e9


def manifests(bench):
    warm, content = bench.warm(), bench.content
    warm.check(bench)
    rates = {}
    for name, path, close in [
        ("manifest_digest", content.by_digest, False), ("manifest_tag", content.by_tag, False),
        ("manifest_digest_new", content.by_digest, True), ("manifest_tag_new", content.by_tag, True),
    ]:
        figures = {}
        for server in bench.order(warm.servers):
            figures[server] = bench.wrk.run(warm.servers[server], path, 32, bench.seconds, close)
        rates[name] = {server: got["requests"] / got["seconds"] for server, got in figures.items()}
        bench.report.add(name, **rates[name])
        bench.report.add(name + "_cpu", **{s: got["requests"] / max(got["cpu"], 0.01) for s, got in figures.items()})
        for figure in ["p50", "p99"]:
            bench.report.add(f"{name}_{figure}", **{server: got[figure] for server, got in figures.items()})
    for name in ["manifest_digest", "manifest_tag"]:
        bench.report.add(name + "_times", wharf=rates[name]["wharf"] / rates["manifest_tag"]["registry"])
    plain = bench.wrk.run(warm.plain, content.by_tag, 32, bench.seconds)
    bench.report.add("manifest_tag_plain", registry=plain["requests"] / plain["seconds"])


class OverTLS:
    """nginx at its port that speaks TLS."""

    scheme, name = "https", "nginx with TLS"

    def __init__(self, server):
        self.port, self.cpu = server.tls, server.cpu

    def url(self, path):
        return f"https://127.0.0.1:{self.port}{path}"


def tls(bench):
    warm = bench.warm()
    pair = {"nginx": OverTLS(warm.servers["nginx"])}
    try:
        pair["wharf"] = bench.servers.wharf("fast", tls=True)
    except Failed as error:
        bench.report.note("tls_", str(error).splitlines()[0].replace(bench.folder + "/", ""))
    for server in pair.values():
        check(server, warm.blob.path, warm.blob.digest)
    rates, cpus, connections, each = {}, {}, {}, {}
    for name in bench.order(pair):
        got = bench.wrk.run(pair[name], warm.blob.path, 4, bench.seconds)
        rates[name], cpus[name] = per_second(got), got["cpu"] / (got["bytes"] / 1e9)
    for name in bench.order(pair):
        connections[name], each[name] = handshakes(pair[name], bench.seconds)
    for name, figures in [
        ("tls_hit_4", rates), ("tls_hit_4_cpu", cpus), ("tls_handshakes", connections), ("tls_handshakes_cpu", each),
    ]:
        bench.report.add(name, **figures)
    if "wharf" in pair:
        pair["wharf"].end()
