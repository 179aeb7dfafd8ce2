# What it costs to be there: memory at rest and with many clients, and the metadata of a million blobs.

import json
import os
import subprocess
import time

from clients import Client, Crowd, Failed
from cold import Peak

BLOB = 128 << 20
CLIENTS, RATE, STREAMING = 200, 2e6, 5  # bytes a second each, seconds
BLOBS = 1_000_000


def memory(bench):
    """200 clients come for one blob that has first to be fetched, and stay when it is there; then hits and manifests.
    """
    figures = {what: {} for what in ["start", "200", "after"]}
    for name in bench.order(["wharf", "nginx", "registry"]):
        blob = bench.content.blob(BLOB)
        with bench.servers.rival() if name == "nginx" else getattr(bench.servers, name)("paced") as server:
            figures["start"][name] = at_rest(server)
            with Peak(server) as peak:
                clients = Crowd(server, blob.path, [Client(rate=RATE) for _ in range(CLIENTS)]).run(STREAMING)
            served = sum(client.bytes for client in clients)
            if served < CLIENTS * RATE * STREAMING / 10:
                raise Failed(f"{server.name}: {CLIENTS} slow clients got {served / 1e6:.0f} MB in {STREAMING} s")
            figures["200"][name] = peak.megabytes
            bench.wrk.run(server, blob.path, 64, 1, strict=False)
            bench.wrk.run(server, bench.content.by_digest, 64, 1, strict=False)
            bench.wrk.run(server, bench.content.by_tag, 64, 1, close=True, strict=False)
            figures["after"][name] = at_rest(server)
        blob.drop()
    for what, values in figures.items():
        bench.report.add(f"memory_{what}", **values)


def at_rest(server):
    """A figure once it has come to rest: what is freed is given back by and by."""
    last = None
    for _ in range(8):
        now = server.anonymous()
        if now == last:
            break
        last = now
        time.sleep(0.5)
    return now


def metadata(bench):
    """By the program's own measure; once."""
    if bench.round:
        return
    command = [bench.binary, "bench", "metadata", "--blobs", str(BLOBS), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "TMPDIR": bench.folder})
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines()
        bench.report.note("metadata_", f"{' '.join(command[1:])}: {lines[0] if lines else done.returncode}")
        return
    figures = json.loads(done.stdout)
    for name, key in [
        ("open", "open_seconds"), ("lookup_p50", "lookup_p50_us"), ("lookup_p99", "lookup_p99_us"),
        ("evictions", "evictions_per_second"), ("touches", "touches_per_second"), ("bytes_per_blob", "bytes_per_blob"),
        ("peak", "peak_mb"),
    ]:
        bench.report.add("metadata_" + name, wharf=figures[key])
