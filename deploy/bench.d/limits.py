# What is measured: each measure's name, what it is, its unit, what its ratio is taken against, and what must hold.

import operator

OPERATORS = {">=": operator.ge, "<=": operator.le, "<": operator.lt}


class Measure:
    """`against`: the ratio is Wharf's figure over that column's. `must`: of Wharf's figure or of the ratio."""

    def __init__(self, name, what, unit, against=None, must=None):
        self.name, self.what, self.unit, self.against, self.must = name, what, unit, against, must

    def holds(self, wharf, ratio):
        """None: nothing is demanded, or nothing was measured."""
        if self.must is None:
            return None
        subject, sign, limit = self.must.split()
        value = {"wharf": wharf, "ratio": ratio}[subject]
        return None if value is None else OPERATORS[sign](value, float(limit))


def hit(connections):
    many = f"{connections} connection{'s' * (connections > 1)}"
    return [
        Measure(f"hit_{connections}", f"hit, {many}", "GB/s", "nginx", "ratio >= 1.0"),
        Measure(f"hit_{connections}_cpu", "  of the server", "CPU s/GB", "nginx", "ratio <= 1.1"),
    ]


def manifest(name, what, share):
    return [
        Measure(name, what, "1/s", "nginx", f"ratio >= {share}"),
        Measure(name + "_cpu", "  a CPU second of the server", "1/CPU s", "nginx"),
        Measure(name + "_p50", "  p50", "ms", "nginx"),
        Measure(name + "_p99", "  p99", "ms", "nginx"),
    ]


def cold(kind, what, against, must):
    return [
        Measure(f"cold_{kind}", f"cold blob, {what}", "s", "straight"),
        Measure(f"cold_{kind}_must", f"  over {against}", "ratio", None, must),
        Measure(f"cold_{kind}_first_byte", "  first byte, later than straight", "ms", None, "wharf <= 10"),
    ]


def crowd(count, amplification=None, slowest=None):
    return [
        Measure(
            f"crowd_{count}_amplification", f"{count} cold clients: from the upstream", "blobs", None, amplification),
        Measure(f"crowd_{count}_requests", "  GETs that the upstream saw", "count"),
        Measure(f"crowd_{count}_cold", "  slowest client", "s"),
        Measure(f"crowd_{count}_warm", "  slowest on the warm blob", "s"),
        Measure(f"crowd_{count}_slowest", "  cold over warm", "ratio", None, slowest),
    ]


MEASURES = [
    *hit(1), *hit(4), *hit(64),
    Measure("hit_wrk", "  by wrk, which reads 8 KiB at a time, 4", "GB/s", "nginx"),
    *manifest("manifest_digest", "manifest by digest, keep-alive", 0.9),
    *manifest("manifest_tag", "manifest by fresh tag, keep-alive", 0.9),
    *manifest("manifest_digest_new", "manifest by digest, a connection each", 0.8),
    *manifest("manifest_tag_new", "manifest by fresh tag, a connection each", 0.8),
    Measure("manifest_digest_times", "by digest over registry 2.8's by tag", "times", None, "wharf >= 50"),
    Measure("manifest_tag_times", "by fresh tag over registry 2.8's by tag", "times", None, "wharf >= 50"),
    Measure("manifest_tag_plain", "registry 2.8's by tag where it is no mirror", "1/s"),
    Measure("tls_hit_4", "TLS: hit, 4 connections", "GB/s", "nginx", "ratio >= 0.9"),
    Measure("tls_hit_4_cpu", "  of the server", "CPU s/GB", "nginx"),
    Measure("tls_handshakes", "TLS: new connections, no session resumed", "1/s", "nginx"),
    Measure("tls_handshakes_cpu", "  a CPU second of the server", "1/CPU s", "nginx"),
    *cold("fast", "upstream unpaced", "registry 2.8", "wharf <= 1.0"),
    *cold("paced", "upstream paced at 200 MB/s", "straight", "wharf <= 1.05"),
    *crowd(16), *crowd(100, "wharf <= 1.00", "wharf <= 1.3"),
    Measure("capped", "cold blob, 8 MB/s a connection", "s", "straight"),
    Measure("capped_first_byte", "  first byte", "ms", "straight"),
    Measure("capped_amplification", "  from the upstream", "blobs"),
    Measure("range_first_byte", "64 KiB out of a blob that is not here", "ms"),
    Measure("mixed_whole", "40 mixed cold clients: whole of 30", "count"),
    Measure("mixed_amplification", "  from the upstream", "blobs"),
    Measure("mixed_peak", "  peak RssAnon", "MB"),
    Measure("memory_start", "RssAnon, idle after the start", "MB", None, "wharf < 25"),
    Measure("memory_200", "RssAnon, peak with 200 streaming clients", "MB", None, "wharf < 60"),
    Measure("memory_after", "RssAnon, idle after load", "MB", None, "wharf < 25"),
    Measure("metadata_open", "metadata: open", "s", None, "wharf < 1"),
    Measure("metadata_lookup_p50", "  look-up, p50", "us"),
    Measure("metadata_lookup_p99", "  look-up, p99", "us", None, "wharf < 100"),
    Measure("metadata_evictions", "  evictions", "1/s", None, "wharf >= 50000"),
    Measure("metadata_touches", "  touches", "1/s"),
    Measure("metadata_bytes_per_blob", "  a blob", "B"),
    Measure("metadata_peak", "  peak", "MB", None, "wharf < 250"),
]
