# The upstream: a registry of one process on a port of the kernel's choosing, that misbehaves when it is told to.
#
# `POST /_fault/<kind>/<share>` switches a fault on for that share of the requests, `POST /_fault/none/0` off;
# `POST /_move/<name>` moves the tag `latest` of a repository.

import asyncio
import json
import random
import signal
import socket
import struct
from urllib.parse import unquote

from world import INDEX, World

# What can be wrong. Each is on for some seconds at a time.
FAULTS = [
    "429", "503", "500", "lost", "html", "refuse", "silent",  # instead of an answer
    "reset", "truncated", "stall", "slow", "wrong",  # in the middle of a blob
]
PIECE = 128 << 10


class Registry:
    def __init__(self, seed):
        self.world = World(seed)
        self.fault, self.share = "none", 0.0

    async def connection(self, reader, writer):
        try:
            while await self.exchange(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        finally:
            writer.close()

    async def exchange(self, reader, writer):
        """One request; whether the connection may carry another one."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, target, _ = head[0].split(" ", 2)
        fields = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in head[1:] if line)}
        path, _, query = target.partition("?")
        if path.startswith("/_"):
            self.command(path[2:].split("/"))
            return await self.answer(writer, method, 200, b"")
        fault = self.fault if random.random() < self.share else "none"
        if fault == "refuse":
            return self.reset(writer)
        if fault == "silent":
            await asyncio.sleep(45)
            return False
        if fault in ("429", "503", "500"):
            extra = {"Retry-After": "1"} if fault == "429" else {}
            return await self.answer(writer, method, int(fault), b"", extra)
        if fault == "html":
            page = b"<!DOCTYPE html><html><body>Please log in to the network</body></html>"
            return await self.answer(writer, method, 200, page, {"Content-Type": "text/html"})
        if path == "/v1/search":
            found = [{"name": n, "description": "", "star_count": 0} for n in self.world.names if query[2:8] in n]
            body = json.dumps({"num_results": len(found), "results": found, "query": query}).encode()
            return await self.answer(writer, method, 200, body, {"Content-Type": "application/json"})
        if path.rstrip("/") == "/v2":
            return await self.answer(writer, method, 200, b"{}")
        name, kind, last = ([""] + unquote(path).removeprefix("/v2/").rsplit("/", 2))[-3:]
        if name not in self.world.versions or fault == "lost":
            return await self.unknown(writer, method)
        if kind == "manifests":
            return await self.manifest(writer, method, name, last, fields)
        if kind == "blobs" and last in self.world.blobs:
            return await self.blob(writer, method, self.world.blobs[last], fields, fault)
        if (kind, last) == ("tags", "list"):
            body = json.dumps({"name": name, "tags": ["latest", "v0"]}).encode()
            return await self.answer(writer, method, 200, body, {"Content-Type": "application/json"})
        if kind == "referrers":
            body = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}).encode()
            return await self.answer(writer, method, 200, body, {"Content-Type": INDEX})
        return await self.unknown(writer, method)

    def command(self, words):
        if words[0] == "fault":
            self.fault, self.share = words[1], float(words[2])
        else:
            self.world.move("/".join(words[1:]))

    async def manifest(self, writer, method, name, reference, fields):
        versions = self.world.versions[name]
        if reference in ("latest", "v0"):
            reference = versions[-1 if reference == "latest" else 0].root
        if reference not in self.world.manifests:
            return await self.unknown(writer, method)
        kind, content = self.world.manifests[reference]
        extra = {"Content-Type": kind, "Docker-Content-Digest": reference, "ETag": f'"{reference}"'}
        if fields.get("if-none-match") == f'"{reference}"':
            return await self.answer(writer, method, 304, b"", extra)
        return await self.answer(writer, method, 200, content, extra)

    async def blob(self, writer, method, blob, fields, fault):
        first, end, status = 0, blob.size, 200
        extra = {"Content-Type": "application/octet-stream", "ETag": f'"{blob.digest}"', "Accept-Ranges": "bytes"}
        wanted = fields.get("range", "")
        if wanted.startswith("bytes=") and fields.get("if-range", f'"{blob.digest}"') == f'"{blob.digest}"':
            low, _, high = wanted[6:].partition("-")
            first = int(low) if low else max(0, blob.size - int(high))
            end = min(blob.size, int(high) + 1) if low and high else blob.size
            if first >= end:
                return await self.answer(writer, method, 416, b"", {"Content-Range": f"bytes */{blob.size}"})
            status, extra["Content-Range"] = 206, f"bytes {first}-{end - 1}/{blob.size}"
        self.head(writer, status, end - first, extra)
        if method == "HEAD":
            await writer.drain()
            return True
        # Where the fault strikes.
        trouble = random.randrange(first, end) if fault != "none" else end
        while first < end:
            piece = blob.part(first, min(end, first + PIECE))
            if first + len(piece) > trouble:
                if fault == "reset":
                    return self.reset(writer)
                if fault == "truncated":
                    writer.write(piece[:trouble - first])
                    await writer.drain()
                    return False
                if fault == "stall":
                    await asyncio.sleep(45)
                    return False
                if fault == "wrong":
                    piece = bytearray(piece)
                    piece[trouble - first] ^= 1
                    trouble = end
            writer.write(piece)
            first += len(piece)
            await writer.drain()
            if fault == "slow":
                await asyncio.sleep(len(piece) / (2 << 20))
        return True

    async def unknown(self, writer, method):
        body = b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"not here"}]}'
        return await self.answer(writer, method, 404, body, {"Content-Type": "application/json"})

    async def answer(self, writer, method, status, body, extra={}):
        self.head(writer, status, len(body), extra)
        if method != "HEAD" and status != 304:
            writer.write(body)
        await writer.drain()
        return True

    def head(self, writer, status, length, extra):
        lines = [f"HTTP/1.1 {status} OK", "Docker-Distribution-Api-Version: registry/2.0"]
        lines += [f"{name}: {value}" for name, value in extra.items()]
        if status != 304:
            lines.append(f"Content-Length: {length}")
        writer.write(("\r\n".join(lines) + "\r\n\r\n").encode())

    def reset(self, writer):
        connection = writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
        return False


def serve(seed, listening):
    """The whole life of the upstream's process; `listening` is a bound socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the soak ends this process itself

    async def run():
        server = await asyncio.start_server(Registry(seed).connection, sock=listening, limit=PIECE)
        await server.serve_forever()

    asyncio.run(run())
