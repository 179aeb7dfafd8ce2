# The verdict: what the samples, the log and the folder must look like afterwards. Prints the table.

import hashlib
import os
import re
import sqlite3
from collections import Counter
from statistics import median

MIB = 1 << 20


def disk_limit(size):
    """Bytes: `max-size`, given in MiB, and two per cent."""
    return size * MIB * 1.02


def lives(samples):
    """Each life's samples, those of at least 45 s only: a shorter one has no time to warm up and then be flat."""
    grouped = {}
    for sample in samples:
        grouped.setdefault(sample["life"], []).append(sample)
    return [life for life in grouped.values() if life[-1]["second"] - life[0]["second"] >= 45]


def flat(life, key, factor, slack):
    """The median of the last third, that of the second one, and whether the last is at most `factor` times the second
    and `slack` more. The first third is the warm-up."""
    values = [sample[key] for sample in life if not sample["idle"]]
    third = len(values) // 3
    second, last = median(values[third:2 * third]), median(values[2 * third:])
    return second, last, last <= factor * second + slack


def verdict(soak, size):
    """0 if nothing was violated, else 1."""
    plan, samples = soak.plan, soak.samples
    wrong = plan.violations
    rows = []

    def row(what, value, holds=True, law=""):
        rows.append((what, str(value), law, "" if holds else "VIOLATED"))
        if not holds:
            wrong.append(f"{what}: {value}; {law}")

    kinds = [kind for kind in plan.counts if not kind.startswith(("refused", "broken"))]
    row("requests", f"{sum(plan.counts[kind] for kind in kinds)}, {plan.bytes / 1e9:.1f} GB taken")
    row("of these", ", ".join(f"{plan.counts[kind]} {kind}" for kind in sorted(kinds)))
    row("failed by plan", ", ".join(f"{n} {k}" for k, n in sorted(plan.counts.items()) if k not in kinds) or "none")
    row("slowest request", f"{plan.slowest:.1f} s", plan.slowest <= 60, "60 s")
    row("faults", ", ".join(f"{n} {kind}" for kind, n in sorted(Counter(soak.told).items())) or "none")
    row("tags moved", len(plan.moves))
    row("ends", ", ".join(f"{name} {seconds:.1f} s" for name, _, seconds in soak.restarts), law="TERM: status 0, 20 s")
    row("slowest start", f"{soak.mirror.slowest_start:.2f} s", soak.mirror.slowest_start <= 5, "5 s")
    row("reloads", max(0, soak.reloads), soak.reloads > 0, "handled")
    judge_samples(samples, size, row)
    judge_log(soak.mirror.log, soak.reloads, row)
    if os.path.isdir(f"{soak.mirror.data}/blobs"):
        judge_folder(soak.mirror.data, soak.world, row)
    widths = [max(len(line[n]) for line in rows if n == 0 or len(line[n]) < 60) for n in range(3)]
    for what, value, law, state in rows:
        print(f"{what:{widths[0]}}  {value:{widths[1]}}  {law:{widths[2]}}  {state}".rstrip())
    print()
    for text in wrong[:60]:
        print("VIOLATED:", text)
    print(f"{len(wrong)} violations; samples and log: {soak.folder}" if wrong
          else f"nothing violated; samples and log: {soak.folder}")
    return 1 if wrong else 0


def judge_samples(samples, size, row):
    if not samples:
        return row("samples", 0, False, "at least one")
    row("evicted", f"{max(sample['evicted'] for sample in samples) / 1e9:.2f} GB",
        any(sample["evicted"] for sample in samples), "some")
    row("quarantined at once, most", max(sample["quarantined"] for sample in samples))
    most = max(sample["disk"] for sample in samples)
    row("disk, most", f"{most / MIB:.1f} MiB", most <= disk_limit(size), f"{size} MiB + 2 %")
    idle = [sample for sample in samples if sample["idle"]]
    off = max((abs(sample["disk"] - sample["told"]) for sample in idle), default=0)
    row("disk against /stats, idle", f"{off / MIB:.2f} MiB off", off <= 0.02 * size * MIB, "2 % of max-size")
    row("memory, most", f"{max(sample['rss'] for sample in samples) / MIB:.1f} MiB")
    for life in lives(samples):
        span = f"life {life[0]['life']}, {life[-1]['second'] - life[0]['second']:.0f} s"
        # A short life is still warming up in its last third.
        slack = 4 if life[-1]["second"] - life[0]["second"] >= 180 else 16
        second, last, holds = flat(life, "rss", 1.15, slack * MIB)
        law = f"last third ≤ 1.15 × second + {slack} MiB"
        row(f"memory, {span}", f"{second / MIB:.1f} → {last / MIB:.1f} MiB", holds, law)
        second, last, holds = flat(life, "threads", 1, 8)
        row(f"threads, {span}", f"{second:.0f} → {last:.0f}", holds, "+ 8")
        second, last, holds = flat(life, "database", 1.15, MIB // 2)
        row(f"database, {span}", f"{second / MIB:.2f} → {last / MIB:.2f} MiB", holds, "1.15 × + 0.5 MiB")
        rest = [sample for sample in life if sample["idle"]]
        if not rest:
            continue
        # Blobs that are asked for again keep their files open, 64 at most.
        for kind, law in (("clients", 1), ("content", 64), ("upstream", 64)):
            top = max(sample[kind] for sample in rest)
            row(f"descriptors, idle, {kind}, {span}", top, top <= law, f"≤ {law}")
        others = [sample["other"] for sample in rest]
        row(f"descriptors, idle, other, {span}", f"{others[0]} → {others[-1]}", max(others) <= others[0] + 8, "+ 8")
    row("write-ahead log, most", f"{max(sample['log'] for sample in samples) / MIB:.1f} MiB",
        max(sample["log"] for sample in samples) <= 16 * MIB, "16 MiB")


def judge_log(path, reloads, row):
    """Every line above a warning is a defect, but that a file that is broken by plan is not taken."""
    levels, errors = Counter(), []
    with open(path, errors="replace") as file:
        for line in file:
            words = line.rstrip("\n").split(" ", 2)
            level = words[1] if len(words) == 3 and re.match(r"\d{4}-\d\d-\d\dT", words[0]) else "?"
            levels[level] += 1
            if level in ("error", "critical", "?") and not (re.search("no-such-key|not reloaded", line) and reloads > 0):
                errors.append(line.strip()[:300])
    row("log lines", ", ".join(f"{n} {level}" for level, n in sorted(levels.items())) or "none")
    for text, number in Counter(re.sub(r"^\S+ |[0-9a-f]{12,}|\d{3,}", "", line) for line in errors).most_common(12):
        row("log", f"{number} × {text}", False, "no error")


def judge_folder(data, world, row):
    """What is left is what its names say, and the database knows no more than it must."""
    files, damaged = 0, []
    for folder, _, names in os.walk(f"{data}/blobs"):
        for name in names:
            files += 1
            with open(f"{folder}/{name}", "rb") as file:
                if hashlib.file_digest(file, os.path.basename(os.path.dirname(folder))).hexdigest() != name:
                    damaged.append(name)
    row("stored files, hashed again", files, not damaged, f"damaged: {damaged[:3]}" if damaged else "none damaged")
    litter = [name for name in os.listdir(f"{data}/trash")]
    row("left in trash/", len(litter), not litter, "nothing")
    database = sqlite3.connect(f"file:{data}/metadata.sqlite?mode=ro", uri=True)

    def one(query):
        return database.execute(query).fetchone()[0]

    row("blobs in the database", one("SELECT count(*) FROM blob"), one("SELECT count(*) FROM blob") == files, "the files")
    row("unfinished", f"{one('SELECT count(*) FROM partial')} rows, {len(os.listdir(f'{data}/ingest'))} files",
        one("SELECT count(*) FROM partial") == len(os.listdir(f"{data}/ingest")), "agree")
    tables = [name for name, in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    counts = {name: one(f'SELECT count(*) FROM "{name}"') for name in tables if not name.startswith("sqlite_")}
    row("rows", ", ".join(f"{n} {name}" for name, n in sorted(counts.items())))
    invented = [name for name, in database.execute("SELECT name FROM repository") if name not in world.versions]
    row("repositories nobody has", len(invented), not invented, "none")
    loose = one("SELECT count(*) FROM link WHERE digest NOT IN (SELECT digest FROM blob)"
                " AND digest NOT IN (SELECT child FROM child)")
    row("links to what is neither stored nor named", loose)
    size, free = one("PRAGMA page_count"), one("PRAGMA freelist_count")
    bound = 400 + 2 * sum(counts.values()) // 10
    row("database pages in use", f"{size - free} of {size}", size - free <= bound, f"≤ {bound}, by its rows")
    row("integrity", one("PRAGMA integrity_check"), one("PRAGMA integrity_check") == "ok", "ok")
