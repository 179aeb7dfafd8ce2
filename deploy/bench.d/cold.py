# What is not there yet: one client, many clients at once, an upstream that is slow on each connection, and ranges.

import threading
import time

from clients import Client, Crowd, Failed, check, download, end_curl, slowest, start_curl

BLOB = 256 << 20
BLOBS = 3  # in each round, where one takes so little time that chance has a share in it
CROWD = 64 << 20
CAPPED = 128 << 20
MIXED = 64 << 20
RANGE = 64 << 10


def cold(bench):
    for kind, rival, blobs in [("fast", "registry", 1 if bench.quick else BLOBS), ("paced", "straight", 1)]:
        with bench.servers.wharf(kind) as wharf, bench.servers.registry(kind) as registry:
            ways = {"straight": bench.servers.straight(kind), "wharf": wharf, "registry": registry}
            for turn in range(blobs):
                blob = bench.content.blob(BLOB)
                got = {}
                for name in bench.order(ways, turn):
                    bench.content.touch(BLOB)
                    got[name] = download(ways[name], blob)
                for name in ["wharf", "registry"]:
                    check(ways[name], blob.path, blob.digest)
                blob.drop()
                total = {name: figures["total"] for name, figures in got.items()}
                bench.report.add(f"cold_{kind}", **total)
                bench.report.add(f"cold_{kind}_must", wharf=total["wharf"] / total[rival])
                bench.report.add(f"cold_{kind}_first_byte", **{
                    name: (got[name]["first"] - got["straight"]["first"]) * 1000 for name in ["wharf", "registry"]})


def crowd(bench):
    for count in [16, 100]:
        figures = {what: {} for what in ["amplification", "requests", "cold", "warm", "slowest"]}
        for name in bench.order(["wharf", "registry"]):
            blob = bench.content.blob(CROWD, touched=True)
            with getattr(bench.servers, name)("fast") as server:
                figures["cold"][name] = slowest(server, blob, count)
                figures["requests"][name], figures["amplification"][name] = bench.servers.sent(blob)
                figures["warm"][name] = slowest(server, blob, count)
                check(server, blob.path, blob.digest)
            figures["slowest"][name] = figures["cold"][name] / figures["warm"][name]
            blob.drop()
        for what, values in figures.items():
            bench.report.add(f"crowd_{count}_{what}", **values)


def capped(bench):
    """All at once: the cap is of each connection, and none of them is work for a processor."""
    with bench.servers.wharf("capped") as wharf, bench.servers.registry("capped") as registry:
        ways = {"straight": bench.servers.straight("capped"), "wharf": wharf, "registry": registry}
        # A blob each, for the upstream's log.
        blobs = {name: bench.content.blob(bench.shorter(CAPPED)) for name in ways}
        curls = {name: start_curl(way.url(blobs[name].path)) for name, way in ways.items()}
        got = {name: end_curl(curl, blobs[name].size) for name, curl in curls.items()}
        sent = {name: bench.servers.sent(blobs[name])[1] for name in ["wharf", "registry"]}
        for name, way in ways.items():
            if name != "straight":
                check(way, blobs[name].path, blobs[name].digest)
        bench.report.add("capped", **{name: figures["total"] for name, figures in got.items()})
        bench.report.add("capped_first_byte", **{name: figures["first"] * 1000 for name, figures in got.items()})
        bench.report.add("capped_amplification", **sent)
        for blob in blobs.values():
            blob.drop()
        # 64 KiB at three quarters of a blob that is not here.
        blob = bench.content.blob(BLOB)
        first = blob.size * 3 // 4
        curl = start_curl(wharf.url(blob.path), "-r", f"{first}-{first + RANGE - 1}")
        bench.report.add("range_first_byte", wharf=end_curl(curl, RANGE, 206)["first"] * 1000)
    blob.drop()


def mixed(bench):
    """Of forty ten take 30 MB/s, and ten leave after a while; the upstream is paced."""
    clients = []
    for number in range(40):
        slow, leaves = number % 4 == 1, number % 4 == 2
        leave = 0.1 + number / 100 if leaves else None
        clients.append(Client(rate=30e6 if slow else None, leave=leave, hashed=not leaves))
    blob = bench.content.blob(MIXED)
    with bench.servers.wharf("paced") as wharf, Peak(wharf) as peak:
        Crowd(wharf, blob.path, clients).run()
        bench.report.add("mixed_amplification", wharf=bench.servers.sent(blob)[1])
    wrong = [client for client in clients if client.is_whole and client.hash and client.digest != blob.digest]
    if wrong:
        raise Failed(f"wrong bytes: {len(wrong)} of 40 mixed clients")
    bench.report.add("mixed_whole", wharf=sum(client.is_whole for client in clients if not client.leave))
    bench.report.add("mixed_peak", wharf=peak.megabytes)
    blob.drop()


class Peak:
    """The most anonymous memory that a server is seen to hold meanwhile."""

    def __init__(self, server):
        self.server, self.megabytes, self.over = server, 0, False
        self.thread = threading.Thread(target=self.watch)

    def watch(self):
        while not self.over:
            self.megabytes = max(self.megabytes, self.server.anonymous())
            time.sleep(0.03)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over = True
        self.thread.join()
