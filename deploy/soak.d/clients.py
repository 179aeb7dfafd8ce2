# The clients: what they ask for, and what they may be told.
#
# Every body that was taken as complete is hashed, and every range compared with what the upstream has. What may go
# wrong with a request is decided by `Plan.trouble`: while nothing is wrong, nothing but the right answer will do.

import asyncio
import hashlib
import json
import random
import socket
import struct
import time
from collections import Counter

DEADLINE = 60  # seconds, for each request
GRACE = 35  # seconds a fault may be felt after its end: a mirror asks a failing upstream less and less, down to this
SETTLED = 12  # seconds within which a moved tag is told anew while nothing is wrong


class Broken(Exception):
    """The answer ended before its end."""


class Plan:
    """What is wrong at the moment by intention, and what came of it all."""

    def __init__(self):
        self.fault, self.fault_end, self.lie_end, self.restart_end = "none", -1e9, -1e9, -1e9
        self.is_restarting = False
        self.open = asyncio.Event()  # cleared while the clients pause
        self.violations, self.counts, self.bytes = [], Counter(), 0
        self.moves = {}  # name: when its tag moved, by version
        self.slowest = 0.0

    def trouble(self, begin):
        """Whether a request that began then may fail."""
        return self.fault != "none" or self.is_restarting or self.fault_end + GRACE > begin or self.restart_end > begin

    def violation(self, text):
        if len(self.violations) < 200:
            self.violations.append(f"{time.strftime('%H:%M:%S')} {text}")


class Answer:
    def __init__(self, status, fields, body, sha256, length):
        self.status, self.fields, self.body, self.sha256, self.length = status, fields, body, sha256, length


class Client:
    def __init__(self, number, plan, world, mirror):
        self.luck = random.Random(number)
        self.plan, self.world, self.mirror = plan, world, mirror
        self.reader = self.writer = None
        self.invented = 0
        self.number = number

    # One request

    async def connect(self):
        if self.writer is None or self.writer.is_closing():
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.mirror.port, limit=256 << 10)

    def hang_up(self, hard=False):
        if self.writer is None:
            return
        if hard:
            connection = self.writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.writer.transport.abort()
        self.writer.close()
        self.reader = self.writer = None

    async def exchange(self, method, path, fields, leave_after, slowly):
        fresh = self.writer is None
        await self.connect()
        lines = [f"{method} {path} HTTP/1.1", "Host: soak", "User-Agent: soak"]
        lines += [f"{name}: {value}" for name, value in fields.items()]
        self.writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())
        try:
            head = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            self.hang_up()
            # A kept connection may have been closed for its age just when it was used again.
            if not fresh and not getattr(error, "partial", b""):
                return await self.exchange(method, path, fields, leave_after, slowly)
            raise Broken("before the status line") from error
        lines = head.decode("latin-1").split("\r\n")
        status = int(lines[0].split(" ")[1])
        got = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:] if line)}
        length = int(got.get("content-length", 0))
        hasher, taken, kept = hashlib.sha256(), 0, []
        if method == "HEAD" or status == 304:
            return Answer(status, got, b"", None, length)
        try:
            while taken < length:
                piece = await self.reader.read(min(256 << 10, length - taken))
                if not piece:
                    raise Broken(f"after {taken} of {length} bytes")
                taken += len(piece)
                hasher.update(piece)
                if length <= 8 << 20:
                    kept.append(piece)
                if leave_after is not None and taken >= leave_after:
                    self.hang_up(hard=self.luck.random() < 0.5)
                    return None
                if slowly:
                    await asyncio.sleep(len(piece) / (2 << 20))
        except ConnectionError as error:
            raise Broken(f"after {taken} of {length} bytes: {error!r}") from error
        finally:
            self.plan.bytes += taken
        if got.get("connection", "").lower() == "close":
            self.hang_up()
        return Answer(status, got, b"".join(kept), "sha256:" + hasher.hexdigest(), length)

    async def ask(self, what, path, may, method="GET", fields={}, leave_after=None, slowly=False):
        """The answer, or None where there is none that the caller may judge. `may`: the statuses that are right."""
        begin = time.monotonic()
        self.plan.counts[what] += 1
        told = f"{what} {method} {path} {fields or ''}"
        try:
            async with asyncio.timeout(DEADLINE):
                answer = await self.exchange(method, path, fields, leave_after, slowly)
        except TimeoutError:
            self.hang_up(hard=True)
            self.plan.violation(f"hung: {told} had no end after {DEADLINE} s, fault {self.plan.fault}")
            return None
        except (Broken, OSError) as error:
            self.hang_up()
            self.plan.counts["broken off"] += 1
            # The kernel may tell of a planned end before we do.
            await asyncio.sleep(0.2)
            if not self.plan.trouble(begin):
                self.plan.violation(f"broken off: {told}: {error}")
            return None
        self.plan.slowest = max(self.plan.slowest, time.monotonic() - begin)
        if answer is None:
            return None
        if answer.status not in may:
            self.plan.counts[f"refused {answer.status}"] += 1
            if not self.plan.trouble(begin):
                self.plan.violation(f"refused: {told}: {answer.status} {answer.body[:200]!r}")
            return None
        return answer

    # What a client does

    async def live(self, until):
        acts = [
            (self.pull, 5), (self.whole, 4), (self.range, 5), (self.leave, 3), (self.tag, 4), (self.head, 2),
            (self.unchanged, 2), (self.list, 1), (self.unknown, 2), (self.slow, 1),
        ]
        deeds, weights = zip(*acts)
        while time.monotonic() < until:
            if not self.plan.open.is_set():
                self.hang_up()
                await self.plan.open.wait()
            await self.luck.choices(deeds, weights)[0]()
            if self.luck.random() < 0.2:
                self.hang_up()
            await asyncio.sleep(self.luck.random() * 0.05 if not self.plan.is_restarting else 0.1)
        self.hang_up()

    def name(self):
        """Some repositories are asked for far more often than others."""
        return self.world.names[min(int(self.luck.expovariate(6 / len(self.world.names))), len(self.world.names) - 1)]

    def version(self, name):
        versions = self.world.versions[name]
        return versions[-1] if self.luck.random() < 0.8 else self.luck.choice(versions)

    async def tag(self, method="GET"):
        name, begin = self.name(), time.monotonic()
        answer = await self.ask("tag", f"/v2/{name}/manifests/latest", [200], method)
        if answer is None:
            return None, None
        digest = answer.fields.get("docker-content-digest")
        roots = [version.root for version in self.world.versions[name]]
        if method == "GET" and answer.sha256 != digest:
            self.plan.violation(f"wrong bytes: tag {name}: {answer.sha256} for {digest}")
        if digest not in roots:
            self.plan.violation(f"wrong bytes: tag {name} names {digest}, which it never did")
            return None, None
        number = roots.index(digest)
        moved = self.plan.moves.get((name, number + 1))
        if moved is not None and moved + SETTLED < begin and not self.plan.trouble(moved):
            self.plan.violation(f"old news: tag {name} names version {number}, which was left {begin - moved:.1f} s ago")
        return name, self.world.versions[name][number]

    async def pull(self):
        name, version = await self.tag(self.luck.choice(["GET", "HEAD"]))
        if version is None:
            return
        for digest in version.manifests:
            await self.manifest(name, digest)
        for blob in version.blobs:
            await self.blob("pull", name, blob)

    async def manifest(self, name, digest):
        answer = await self.ask("manifest", f"/v2/{name}/manifests/{digest}", [200])
        if answer is not None and answer.sha256 != digest:
            self.plan.violation(f"wrong bytes: manifest {name}@{digest}: {answer.sha256}")

    async def blob(self, what, name, blob, **how):
        answer = await self.ask(what, f"/v2/{name}/blobs/{blob.digest}", [200], **how)
        if answer is not None and (answer.sha256, answer.length) != (blob.digest, blob.size):
            self.plan.violation(f"wrong bytes: blob {name}@{blob.digest}: {answer.length} bytes, {answer.sha256}")

    async def whole(self):
        name = self.name()
        await self.blob("blob", name, self.luck.choice(self.version(name).blobs))

    async def slow(self):
        name = self.name()
        await self.blob("slow reader", name, self.luck.choice(self.version(name).blobs), slowly=True)

    async def leave(self):
        name = self.name()
        blob = self.luck.choice(self.version(name).blobs)
        await self.blob("left half-way", name, blob, leave_after=self.luck.randrange(blob.size))

    async def range(self):
        name = self.name()
        blob = self.luck.choice(self.version(name).blobs)
        first = self.luck.randrange(blob.size)
        end = min(blob.size, first + self.luck.randrange(1, 1 << self.luck.randrange(4, 22)))
        wanted = f"bytes={first}-{end - 1}"
        kind = self.luck.random()
        if kind < 0.15:
            first, end, wanted = max(0, blob.size - 4096), blob.size, "bytes=-4096"
        elif kind < 0.3:
            end, wanted = blob.size, f"bytes={first}-"
        elif kind < 0.35:
            wanted = f"bytes={blob.size}-"
            await self.ask("range beyond", f"/v2/{name}/blobs/{blob.digest}", [416], fields={"Range": wanted})
            return
        begin = time.monotonic()
        answer = await self.ask("range", f"/v2/{name}/blobs/{blob.digest}", [206], fields={"Range": wanted})
        if answer is None:
            return
        if answer.fields.get("content-range") != f"bytes {first}-{end - 1}/{blob.size}":
            self.plan.violation(f"wrong bytes: {blob.digest} {wanted}: told {answer.fields.get('content-range')}")
            return
        # A range of a blob in flight is unverified by contract (its client has the digests of its parts): what it
        # may be while the upstream lies is anything.
        right = "sha256:" + hashlib.sha256(blob.part(first, end)).hexdigest()
        if answer.sha256 != right and self.plan.fault != "wrong" and self.plan.lie_end + GRACE < begin:
            self.plan.violation(f"wrong bytes: {blob.digest} {wanted}")

    async def head(self):
        name = self.name()
        blob = self.luck.choice(self.version(name).blobs)
        answer = await self.ask("head", f"/v2/{name}/blobs/{blob.digest}", [200], "HEAD")
        if answer is not None and answer.length != blob.size:
            self.plan.violation(f"wrong bytes: HEAD of {blob.digest}: {answer.length} of {blob.size} bytes")

    async def unchanged(self):
        name = self.name()
        version = self.version(name)
        known = {"If-None-Match": f'"{version.root}"'}
        await self.ask("conditional", f"/v2/{name}/manifests/{version.root}", [304], fields=known)
        blob = version.blobs[0]
        known = {"If-None-Match": f'"{blob.digest}"'}
        await self.ask("conditional", f"/v2/{name}/blobs/{blob.digest}", [304], fields=known)

    async def list(self):
        name = self.name()
        answer = await self.ask("list", f"/v2/{name}/tags/list", [200])
        if answer is not None and "latest" not in json.loads(answer.body)["tags"] and not self.plan.trouble(-1e9):
            self.plan.violation(f"a list without its tag: {name}: {answer.body[:200]!r}")
        await self.ask("list", f"/v2/{name}/referrers/{self.version(name).root}", [200])
        await self.ask("list", f"/v1/search?q={self.luck.choice(['soak', 'r1', 'none'])}", [200])

    async def unknown(self):
        """Names that nobody has ever heard and will never hear again: they may leave nothing behind."""
        self.invented += 1
        mark = f"{self.number}-{self.invented}"
        digest = "sha256:" + hashlib.sha256(f"{mark}".encode()).hexdigest()
        name = self.name()
        for path in self.luck.sample(
                [f"{name}/manifests/t{mark}", f"{name}/manifests/{digest}", f"{name}/blobs/{digest}",
                 f"soak/n{mark}/manifests/latest", f"soak/n{mark}/tags/list"], 2):
            await self.ask("unknown", f"/v2/{path}", [404])
