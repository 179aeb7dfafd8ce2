# The run: upstream, mirror and clients, what happens when, and the samples. Usage: soak.py WHARF FOLDER MINUTES
#
#     minute            0                                                    1
#     clients           ├──────────────────── at work ────────────────┤ pause ├──
#     upstream          well · a fault · well · a fault · well · a fault │  well
#     every third minute, the first among them, has no fault: nothing but the right answer will do then
#
# Restarts, by TERM and KILL in turn, come in the first two fifths of the time. The last life is the long one.

import asyncio
import csv
import math
import multiprocessing
import os
import random
import signal
import socket
import sys
import time

import judge
from clients import Client, Plan
from mirror import Mirror
from upstream import FAULTS, serve
from world import World

SEED = int(os.environ.get("WHARF_SOAK_SEED", "7"))
CLIENTS = int(os.environ.get("WHARF_SOAK_CLIENTS", "24"))
SIZE = 300  # MiB of max-size: less than there is from the start, and much less than comes
PAUSE = 12  # seconds at the end of each minute
COLUMNS = [
    "second", "life", "idle", "rss", "threads", "clients", "upstream", "content", "other", "database", "log", "disk",
    "told", "requests", "in_flight", "evicted", "quarantined",
]


class Soak:
    def __init__(self, binary, folder, minutes):
        self.folder, self.seconds = folder, minutes * 60
        self.luck = random.Random(SEED)
        listening = socket.socket()
        listening.bind(("127.0.0.1", 0))
        listening.listen(256)
        self.upstream_port = listening.getsockname()[1]
        self.upstream = multiprocessing.Process(target=serve, args=(SEED, listening), daemon=True)
        self.upstream.start()
        listening.close()
        self.world, self.plan = World(SEED), Plan()
        self.mirror = Mirror(binary, folder, self.upstream_port, SIZE)
        self.samples, self.restarts, self.told, self.reloads = [], [], [], 0

    async def tell(self, command):
        reader, writer = await asyncio.open_connection("127.0.0.1", self.upstream_port)
        writer.write(f"POST /_{command} HTTP/1.1\r\nHost: u\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    # What happens

    async def run(self):
        self.begin = time.monotonic()
        await self.mirror.start()
        end = self.begin + self.seconds
        self.plan.open.set()
        sampling = asyncio.create_task(self.sample_all())
        moving = asyncio.create_task(self.move_all())
        upsetting = asyncio.create_task(self.upset_all())
        clients = [asyncio.create_task(Client(n, self.plan, self.world, self.mirror).live(end)) for n in range(CLIENTS)]
        for task in [sampling, moving, upsetting] + clients:
            task.add_done_callback(self.died)
        for minute in range(math.ceil(self.seconds / 60)):
            await self.minute(self.begin + 60 * minute, minute)
        self.plan.open.set()
        for client in clients:
            await client
        for task in [sampling, moving, upsetting]:
            task.cancel()
        await self.sample(idle=False)
        await self.end_mirror(signal.SIGTERM)

    def died(self, task):
        if not task.cancelled() and task.exception() is not None:
            self.plan.violation(f"the soak itself: {task.exception()!r}")

    async def until(self, moment):
        await asyncio.sleep(max(0, moment - time.monotonic()))

    async def minute(self, begin, number):
        """Three faults, then the pause. Every third minute, the first among them, is without."""
        spells = [(6, 13), (19, 26), (32, 39)] if number % 3 else []
        for start, end in spells:
            await self.until(begin + start)
            fault = FAULTS[len(self.told) % len(FAULTS)] if self.told else self.luck.choice(FAULTS)
            self.told.append(fault)
            self.plan.fault = fault
            await self.tell(f"fault/{fault}/{self.luck.choice([1, 1, 0.3])}")
            await self.until(begin + end)
            await self.tell("fault/none/0")
            self.plan.fault, self.plan.fault_end = "none", time.monotonic()
            if fault == "wrong":
                self.plan.lie_end = self.plan.fault_end
        await self.until(begin + 60 - PAUSE)
        await self.pause(begin + 60)

    async def pause(self, end):
        """Clients finish what they have begun, fills end, and then what is left is looked at."""
        self.plan.open.clear()
        while time.monotonic() < end - 2:
            await asyncio.sleep(0.5)
            try:
                if self.mirror.descriptors()["clients"] == 0 and not (await self.mirror.stats())["in_flight"]:
                    break
            except (OSError, ValueError):
                continue
        await asyncio.sleep(0.5)
        if not self.plan.is_restarting:
            await self.sample(idle=True)
        self.plan.open.set()

    async def move_all(self):
        while True:
            await asyncio.sleep(self.luck.random())
            name = self.luck.choice(self.world.names)
            await self.tell(f"move/{name}")
            self.world.move(name)
            self.plan.moves[name, len(self.world.versions[name]) - 1] = time.monotonic()

    async def upset_all(self):
        """Restarts in the first two fifths, at least two of them; reloads all the time, some of a broken file."""
        early = self.seconds * 0.4
        gap = min(75, early / 2.2)
        next_restart, next_reload = self.begin + gap * 0.8, self.begin + 10
        signals = [signal.SIGKILL, signal.SIGTERM]
        while True:
            await asyncio.sleep(0.5)
            now = time.monotonic()
            if now >= next_restart and now < self.begin + early and self.plan.open.is_set():
                signals.reverse()
                await self.restart(signals[0])
                next_restart += gap * self.luck.uniform(0.8, 1.2)
            elif now >= next_reload:
                next_reload += self.luck.uniform(10, 25)
                self.reload()

    async def restart(self, number):
        self.plan.is_restarting = True
        status, seconds = await self.end_mirror(number)
        await self.mirror.start()
        self.plan.is_restarting, self.plan.restart_end = False, time.monotonic()

    async def end_mirror(self, number):
        status, seconds = await self.mirror.end(number)
        self.restarts.append((signal.Signals(number).name, status, seconds))
        wanted = 0 if number == signal.SIGTERM else -number
        if status != wanted:
            self.plan.violation(f"{signal.Signals(number).name}: the mirror ended with {status}, not {wanted}")
        if seconds > 20:
            self.plan.violation(f"{signal.Signals(number).name}: the mirror took {seconds:.1f} s to end; drain is 5 s")
        return status, seconds

    def reload(self):
        if not self.mirror.catches(signal.SIGHUP):
            if self.reloads == 0:
                self.plan.violation("SIGHUP is not handled: it would be the mirror's end")
            self.reloads = -1
            return
        self.reloads += 1
        self.mirror.configure(fresh=self.luck.choice([2, 3]), broken=self.reloads % 3 == 0)
        self.mirror.reload()
        # What a restart reads must be sound again; the mirror has read it by then.
        asyncio.get_running_loop().call_later(2, self.mirror.configure)

    # What is measured

    async def sample_all(self):
        while True:
            await asyncio.sleep(1.5)
            if not self.plan.is_restarting:
                await self.sample(idle=False)
            if self.mirror.process.poll() is not None and not self.mirror.ending:
                self.plan.violation(f"the mirror ended by itself with {self.mirror.process.returncode}")
                await self.mirror.start()

    async def sample(self, idle):
        mirror, life = self.mirror, self.mirror.life
        try:
            stats = await mirror.stats()
            figures = mirror.descriptors()
            database, log = mirror.database()
            disk = mirror.disk_use()
            # What moves while it is counted may be counted twice: only what stays so counts.
            for _ in range(4):
                if disk > judge.disk_limit(SIZE):
                    disk = min(disk, mirror.disk_use())
            rss, threads = mirror.anonymous_memory(), mirror.threads()
        except (OSError, ValueError, StopIteration) as error:
            if not (self.plan.is_restarting or mirror.life != life or mirror.ending):
                self.plan.violation(f"a sample could not be taken: {error!r}")
            return
        storage, requests = stats["storage"], stats["requests"]
        if requests["total"] != sum(value for name, value in requests.items() if name != "total"):
            self.plan.violation(f"/stats: the classes do not make up the total: {requests}")
        self.keep(dict(zip(COLUMNS, [
            round(time.monotonic() - self.begin, 1), life, int(idle), rss, threads, figures["clients"],
            figures["upstream"], figures["content"], figures["other"], database, log, disk, storage["bytes"],
            requests["total"], len(stats["in_flight"]), storage["evicted_bytes"], storage["quarantined"],
        ])))
        if idle and stats["in_flight"]:
            self.plan.violation(f"in flight though nobody asks: {stats['in_flight'][:3]}")

    def keep(self, sample):
        """At once, so that a run that is broken off leaves what it has seen."""
        with open(f"{self.folder}/samples.csv", "a", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            if not self.samples:
                writer.writeheader()
            writer.writerow(sample)
        self.samples.append(sample)


def main():
    binary, folder, minutes = sys.argv[1], sys.argv[2], float(sys.argv[3])
    soak = Soak(binary, folder, minutes)
    try:
        asyncio.run(soak.run())
    except Exception as error:
        soak.plan.violation(f"the soak could not go on: {error!r}")
    finally:
        if soak.mirror.process and soak.mirror.process.poll() is None:
            soak.mirror.process.kill()
        soak.upstream.terminate()
    sys.exit(judge.verdict(soak, SIZE))


main()
