# The run: rounds of groups of measures, then the table. Usage: bench.py WHARF [FLAGS]; deploy/bench has them.
#
#     content.py   what the upstream has          clients.py    who asks
#     servers.py   who answers                    hits.py, cold.py, standing.py    the measures
#     limits.py    what is measured, what must hold             report.py    medians and the table
#
# Who is measured first changes from round to round; a ratio is taken within a round, and then the median of them.

import argparse
import json
import os
import platform
import re
import shutil
import signal
import sys
import tempfile
import time

import cold
import hits
import standing
from clients import Failed, Wrk
from content import Content
from report import Report
from servers import LOOPS, Server, Servers

GROUPS = {
    "hits": hits.hits, "manifests": hits.manifests, "tls": hits.tls, "cold": cold.cold, "crowd": cold.crowd,
    "capped": cold.capped, "mixed": cold.mixed, "memory": standing.memory, "metadata": standing.metadata,
}


class Bench:
    def __init__(self, arguments, folder, memory):
        self.binary, self.folder, self.quick = arguments.wharf, folder, arguments.quick
        self.rounds = arguments.rounds or (1 if arguments.quick else 3)
        self.seconds = 1 if arguments.quick else 2  # of one run of wrk
        self.groups = [name for name in GROUPS if re.search(arguments.only, name)]
        self.round, self.held = 0, None
        self.content = Content(folder + "/www", memory)
        self.report, self.wrk = Report(), Wrk(folder)
        self.servers = Servers(arguments.wharf, folder, self.content)

    def order(self, names, turn=0):
        """Another one is first in each round, and in each turn of a round."""
        names = sorted(names)
        first = (self.round + turn) % len(names)
        return names[first:] + names[:first]

    def shorter(self, size):
        """What takes its time by its size takes half of it in a quick run."""
        return size // 2 if self.quick else size

    def warm(self):
        self.held = self.held or hits.Warm(self)
        return self.held

    def run(self):
        begin = time.monotonic()
        for self.round in range(self.rounds):
            for name in self.groups:
                say(f"round {self.round + 1} of {self.rounds}, {name} (after {time.monotonic() - begin:.0f} s)")
                GROUPS[name](self)
        say(f"{time.monotonic() - begin:.0f} s")

    def surroundings(self):
        with open("/proc/cpuinfo") as file:
            models = [line.split(":")[1].strip() for line in file if line.startswith("model name")]
        return {
            "processors": LOOPS, "model": models[0] if models else platform.machine(), "kernel": platform.release(),
            "load": os.getloadavg()[0], "rounds": self.rounds, "quick": self.quick,
        }


def say(text):
    print("deploy/bench: " + text, file=sys.stderr, flush=True)


def tell(bench, as_json):
    around, out = bench.surroundings(), sys.stderr if as_json else sys.stdout
    print(
        f"{around['processors']} processors ({around['model']}), Linux {around['kernel']}, load {around['load']:.1f}; "
        f"medians of {around['rounds']} rounds; ratio: Wharf's figure over the named one's, taken within each round\n",
        file=out)
    for name, text in bench.servers.configurations.items():
        print(f"--- {name}\n{text.rstrip()}", file=out)
    print("\n" + bench.report.table(), file=out)
    if as_json:
        print(json.dumps({
            **around, "configurations": bench.servers.configurations, "measures": bench.report.objects()}, indent=1))


def main():
    parser = argparse.ArgumentParser(prog="deploy/bench", usage="see deploy/bench --help")
    parser.add_argument("wharf")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if not any(re.search(arguments.only, name) for name in GROUPS):
        parser.error(f"--only {arguments.only}: none of {', '.join(GROUPS)}")
    # Ended from outside, everything that was started is ended too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    folder = tempfile.mkdtemp(prefix="wharf-bench.", dir="/var/tmp")
    memory = tempfile.mkdtemp(prefix="wharf-bench.", dir="/dev/shm")
    for place in [folder, memory]:
        os.chmod(place, 0o755)  # nginx's workers are somebody else where it is started as root
    bench = None
    try:
        bench = Bench(arguments, folder, memory)
        bench.run()
        tell(bench, arguments.json)
    except (Failed, OSError) as error:
        if bench and bench.report.rounds:
            say("what was measured until then:")
            tell(bench, False)
        sys.exit(f"deploy/bench: {error}")
    finally:
        for server in list(Server.running):
            server.end()
        for place in [folder, memory]:
            shutil.rmtree(place, ignore_errors=True)


main()
