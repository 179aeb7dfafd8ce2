# The mirror as a process: how it is started, ended and measured from outside.

import asyncio
import json
import os
import signal
import socket
import subprocess
import time

CONFIGURATION = """\
listen: 127.0.0.1:{port}
data: {folder}/data
drain: 5s
builtin-upstreams: false
log: {{level: warning}}
cache:
  max-size: {size}MiB
  min-free: 1%
  lease: 5s
upstreams:
  docker.io:
    endpoints: [http://127.0.0.1:{upstream}]
    allow-http: true
    fresh-for: {fresh}s
    negative-for: 2s
    first-byte-timeout: 5s
    stall-timeout: 4s
    give-up-after: 15s
    range-idle: 5s
"""


class Mirror:
    def __init__(self, binary, folder, upstream, size):
        """`size`: max-size in MiB."""
        self.binary, self.folder, self.upstream, self.size = binary, folder, upstream, size
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.data, self.log = f"{folder}/data", f"{folder}/wharf.log"
        self.process, self.life, self.began = None, 0, 0.0
        self.slowest_start = 0.0
        self.ending = False  # whether its end is planned
        self.configure()

    def configure(self, fresh=2, broken=False):
        text = CONFIGURATION.format(
            port=self.port, folder=self.folder, size=self.size, upstream=self.upstream, fresh=fresh)
        with open(f"{self.folder}/wharf.yaml", "w") as file:
            file.write(text + ("no-such-key: 1\n" if broken else ""))

    @property
    def pid(self):
        return self.process.pid

    async def start(self):
        begin = time.monotonic()
        with open(self.log, "a") as log:
            self.process = subprocess.Popen(
                [self.binary, "serve", "--config", f"{self.folder}/wharf.yaml"], stdout=log, stderr=log)
        self.life += 1
        while True:
            try:
                status, _ = await self.get("/readyz")
                if status == 200:
                    break
            except OSError:
                pass
            if self.process.poll() is not None:
                raise RuntimeError(f"the mirror ended with {self.process.returncode}; see {self.log}")
            if time.monotonic() - begin > 30:
                raise RuntimeError(f"the mirror is not ready after 30 s; see {self.log}")
            await asyncio.sleep(0.01)
        self.began = time.monotonic()
        self.slowest_start = max(self.slowest_start, self.began - begin)
        self.ending = False

    async def end(self, number):
        """Ends it by a signal and returns its exit status and how many seconds that took."""
        self.ending, begin = True, time.monotonic()
        self.process.send_signal(number)
        while self.process.poll() is None and time.monotonic() - begin < 30:
            await asyncio.sleep(0.02)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
            return "still there after 30 s", time.monotonic() - begin
        return self.process.returncode, time.monotonic() - begin

    def catches(self, number):
        """Whether the process handles the signal, so that it is no end for it."""
        with open(f"/proc/{self.pid}/status") as file:
            mask = next(int(line.split()[1], 16) for line in file if line.startswith("SigCgt"))
        return bool(mask >> (number - 1) & 1)

    def reload(self):
        self.process.send_signal(signal.SIGHUP)

    async def get(self, path):
        """One request on a connection of its own: status and body."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20)
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: soak\r\nConnection: close\r\n\r\n".encode())
            async with asyncio.timeout(10):
                head = await reader.readuntil(b"\r\n\r\n")
                return int(head.split()[1]), await reader.read(-1)
        except (asyncio.IncompleteReadError, TimeoutError) as error:
            raise OSError(f"{path}: {error!r}") from error
        finally:
            writer.close()

    async def stats(self):
        status, body = await self.get("/stats")
        if status != 200:
            raise OSError(f"/stats answered {status}")
        return json.loads(body)

    # What is measured from outside

    def anonymous_memory(self):
        """Bytes."""
        with open(f"/proc/{self.pid}/status") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith("RssAnon"))

    def threads(self):
        return len(os.listdir(f"/proc/{self.pid}/task"))

    def descriptors(self):
        """How many there are of each kind: clients, upstream, content (files of the data folder), other."""
        sockets = {}
        with open("/proc/net/tcp") as file:
            for line in list(file)[1:]:
                words = line.split()
                ends = [int(words[n].split(":")[1], 16) for n in (1, 2)]
                if ends[0] == self.port and words[3] != "0A":
                    sockets[words[9]] = "clients"
                elif ends[1] == self.upstream:
                    sockets[words[9]] = "upstream"
        kinds = {"clients": 0, "upstream": 0, "content": 0, "other": 0}
        for name in os.listdir(f"/proc/{self.pid}/fd"):
            try:
                target = os.readlink(f"/proc/{self.pid}/fd/{name}")
            except FileNotFoundError:
                continue
            kind = sockets.get(target[8:-1], "other") if target.startswith("socket:") else "other"
            if target.startswith(f"{self.data}/") and "metadata.sqlite" not in target:
                kind = "content"
            kinds[kind] += 1
        return kinds

    def database(self):
        """Bytes of the database and of its log."""
        return tuple(
            os.path.getsize(path) if os.path.exists(path) else 0
            for path in (f"{self.data}/metadata.sqlite", f"{self.data}/metadata.sqlite-wal"))

    def disk_use(self):
        """Bytes on the disk of all that lies in the data folder, as `du` counts."""
        seen, total, folders = set(), 0, [self.data]
        while folders:
            try:
                entries = list(os.scandir(folders.pop()))
            except FileNotFoundError:
                continue
            for entry in entries:
                try:
                    status = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue
                if status.st_ino in seen:
                    continue
                seen.add(status.st_ino)
                total += status.st_blocks * 512
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.path)
        return total
