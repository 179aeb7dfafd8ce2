# Who asks: wrk for small answers, curl for one download, openssl for handshakes, and a crowd of clients in one thread
# for many and large ones. Each is the same for all servers.

import hashlib
import heapq
import json
import os
import select
import socket
import subprocess
import time

# Answers that are no 200 are counted by wrk as errors from 400 on, and looked at one by one before each round.
LUA = """done = function(summary, latency, requests)
    local errors = summary.errors
    io.write(string.format('\\n{"bytes": %d, "requests": %d, "seconds": %.6f, "p50": %.3f, "p99": %.3f, ',
        summary.bytes, summary.requests, summary.duration / 1e6,
        latency:percentile(50) / 1000, latency:percentile(99) / 1000))
    io.write(string.format('"status": %d, "broken": %d}\\n',
        errors.status, errors.connect + errors.read + errors.write + errors.timeout))
end
"""
# Registry 2.8 hides an image from a client that does not name its type.
ACCEPT = "Accept: " + ", ".join(
    f"application/vnd.{kind}" for kind in [
        "oci.image.index.v1+json", "oci.image.manifest.v1+json", "docker.distribution.manifest.list.v2+json",
        "docker.distribution.manifest.v2+json"])
FORMAT = '{"status": %{http_code}, "first": %{time_starttransfer}, "total": %{time_total}, "bytes": %{size_download}}'


class Failed(Exception):
    """Something could not be measured, or bytes were wrong."""


class Wrk:
    def __init__(self, folder):
        self.script = folder + "/report.lua"
        with open(self.script, "w") as file:
            file.write(LUA)

    def run(self, server, path, connections, seconds, close=False, strict=True):
        """One thread. What was received, with `cpu`: the seconds that the server spent on it. Not `strict`: it is work
        for the server and no figure, so that few answers do."""
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "60s", "-s", self.script]
        command += ["-H", ACCEPT]
        if close:
            command += ["-H", "Connection: close"]
        before = server.cpu()
        done = subprocess.run(command + [server.url(path)], capture_output=True, text=True)
        cpu = server.cpu() - before
        if done.returncode:
            raise Failed(f"wrk at {server.name}: {done.stderr or done.stdout}")
        figures = json.loads(done.stdout.splitlines()[-1])
        wrong = figures["status"] or not figures["bytes"] or figures["broken"] > 0.001 * figures["requests"]
        if strict and wrong:
            raise Failed(f"{server.name} did not answer wrk as it should: {path}: {figures}")
        figures["cpu"] = cpu
        return figures


def start_curl(url, *flags):
    command = ["curl", "-sS", "--noproxy", "*", "-o", "/dev/null", "-w", FORMAT, *flags, url]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def end_curl(curl, size, status=200):
    """`first` and `total` in seconds."""
    out, error = curl.communicate()
    figures = json.loads(out) if curl.returncode == 0 else {}
    if figures.get("status") != status or figures["bytes"] != size:
        raise Failed(f"curl: {curl.args[-1]}: {figures} {error.strip()}, not {size} bytes with {status}")
    return figures


def download(server, blob):
    return end_curl(start_curl(server.url(blob.path)), blob.size)


def check(server, path, digest):
    """The body's hash is what its name says."""
    command = ["curl", "-sSf", "--noproxy", "*", "--insecure", "-H", ACCEPT, server.url(path)]
    curl = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    hasher = hashlib.sha256()
    while part := curl.stdout.read(1 << 20):
        hasher.update(part)
    _, error = curl.communicate()
    if curl.returncode:
        raise Failed(f"{server.name}: {server.url(path)}: {error.decode().strip()}")
    got = "sha256:" + hasher.hexdigest()
    if got != digest:
        raise Failed(f"wrong bytes: {server.name} gave {got} for {digest}")


def handshakes(server, seconds, processes=2):
    """Connections a second, each with a full handshake and nothing after it; and a CPU second of the server."""
    command = ["openssl", "s_time", "-connect", f"127.0.0.1:{server.port}", "-new", "-time", str(seconds)]
    begin, before = time.perf_counter(), server.cpu()
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(processes)]
    outputs = [process.communicate() for process in running]
    took, cpu = time.perf_counter() - begin, server.cpu() - before
    count = 0
    for process, (out, error) in zip(running, outputs):
        counted = [int(line.split()[0]) for line in out.splitlines() if "connections in" in line and "real" in line]
        if process.returncode or not counted or not counted[0]:
            raise Failed(f"openssl s_time at {server.name}: {out} {error}")
        count += counted[0]
    return count / took, count / max(cpu, 0.01)


class Client:
    """One of a crowd. `rate`: bytes a second it takes, `leave`: the second at which it goes, `hashed`: what it gets is.
    """

    def __init__(self, rate=None, leave=None, hashed=False):
        self.rate, self.leave = rate, leave
        self.hash = hashlib.sha256() if hashed else None
        self.first, self.total, self.sum = None, None, 0  # seconds, seconds, bytes of all answers
        self.expect()

    def expect(self):
        """A new answer."""
        self.head, self.bytes, self.length = b"", 0, None

    @property
    def is_whole(self):
        return self.length is not None and self.bytes == self.length

    @property
    def digest(self):
        return "sha256:" + self.hash.hexdigest()

    def connect(self, port):
        self.socket = socket.socket()
        if self.rate:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 << 10)
        self.socket.setblocking(False)
        self.socket.connect_ex(("127.0.0.1", port))

    def take(self, buffer):
        """Whether the answer goes on, and how many bytes came."""
        limit = len(buffer) if not self.rate else min(len(buffer), 64 << 10)
        count = self.socket.recv_into(buffer, limit)
        if self.length is None:
            self.head += bytes(buffer[:count])
            head, end, rest = self.head.partition(b"\r\n\r\n")
            if not end:
                return count > 0, count
            if not head.startswith(b"HTTP/1.1 200 "):
                raise Failed(f"a client of a crowd was answered {head[:40]!r}")
            fields = dict(line.lower().split(b":", 1) for line in head.split(b"\r\n")[1:])
            self.length, got = int(fields[b"content-length"]), rest
        else:
            got = buffer[:count]
        self.bytes += len(got)
        self.sum += len(got)
        if self.hash:
            self.hash.update(got)
        return count > 0 and self.bytes < self.length, count


class Crowd:
    """Clients of one blob that come at once, in one thread; `run` ends when the last has gone. `again`: none goes by
    itself, each asks again when it has the whole."""

    def __init__(self, server, path, clients, again=False):
        self.server, self.clients, self.again = server, clients, again
        self.leaving = [client for client in clients if client.leave]
        self.request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nUser-Agent: bench\r\n\r\n".encode()
        self.poll, self.open = select.epoll(), {}
        self.waiting = []  # (when it may go on, its descriptor)
        self.buffer = memoryview(bytearray(256 << 10))

    def run(self, seconds=None):
        """Those who are still there after `seconds` leave."""
        self.begin = time.perf_counter()
        for client in self.clients:
            client.connect(self.server.port)
            self.open[client.socket.fileno()] = client
            self.poll.register(client.socket, select.EPOLLOUT)
        while self.open:
            now = time.perf_counter() - self.begin
            if now > (seconds or 120):
                break
            self.wake(now)
            for descriptor, event in self.poll.poll(0.01):
                self.step(descriptor, event)
        self.took = time.perf_counter() - self.begin
        for client in list(self.open.values()):
            self.end(client)
        if seconds is None and any(client.total is None and not client.leave for client in self.clients):
            raise Failed(f"{self.server.name}: a client of a crowd has not ended after 120 s")
        return self.clients

    def wake(self, now):
        while self.waiting and self.waiting[0][0] <= now:
            _, descriptor = heapq.heappop(self.waiting)
            if descriptor in self.open:
                self.poll.modify(descriptor, select.EPOLLIN)
        for client in self.leaving:
            if now >= client.leave and client.socket.fileno() in self.open:
                self.end(client)

    def step(self, descriptor, event):
        client = self.open.get(descriptor)
        if client is None:
            return
        if event & select.EPOLLOUT:
            client.socket.send(self.request)
            self.poll.modify(descriptor, select.EPOLLIN)
            return
        try:
            goes_on, count = client.take(self.buffer)
        except BlockingIOError:
            return
        now = time.perf_counter() - self.begin
        client.first = client.first or now
        if not goes_on and self.again and client.is_whole:
            client.expect()
            client.socket.send(self.request)
        elif not goes_on:
            if self.again:
                raise Failed(f"{self.server.name} ended a connection in the middle of a blob")
            client.total = now
            self.end(client)
        elif client.rate:
            self.poll.modify(descriptor, 0)
            heapq.heappush(self.waiting, (now + count / client.rate, descriptor))

    def end(self, client):
        del self.open[client.socket.fileno()]
        client.socket.close()


def stream(server, path, connections, seconds):
    """Downloads again and again. Not by wrk: it reads 8 KiB at a time, and would be all that is measured."""
    before = server.cpu()
    crowd = Crowd(server, path, [Client() for _ in range(connections)], again=True)
    received = sum(client.sum for client in crowd.run(seconds))
    return {"bytes": received, "seconds": crowd.took, "cpu": server.cpu() - before}


def slowest(server, blob, count):
    """Seconds until the last of `count` clients that come at once has the whole blob. One is hashed."""
    clients = Crowd(server, blob.path, [Client(hashed=number == 0) for number in range(count)]).run()
    if clients[0].digest != blob.digest or not all(client.is_whole for client in clients):
        raise Failed(f"{server.name}: a client of a crowd of {count} did not get the blob")
    return max(client.total for client in clients)
