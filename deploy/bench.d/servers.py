# Who answers: the upstream, nginx as the rival, registry 2.8 and Wharf, each a process with its configuration, measured
# from outside.

import os
import shutil
import socket
import subprocess
import tempfile
import time

from clients import Failed
from content import MANIFEST_TYPE

LOOPS = len(os.sched_getaffinity(0))
TICK = os.sysconf("SC_CLK_TCK")

UPSTREAM = """\
worker_processes {loops}; daemon off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 2048; }}
http {{
  sendfile on; tcp_nopush on;
  log_format sent "$request_method $status $body_bytes_sent $uri"; access_log {folder}/access.log sent;
  {temporary}
  root {www};
  server {{ listen 127.0.0.1:{ports[0]}; {locations} }}
  server {{ listen 127.0.0.1:{ports[1]}; limit_rate 200000000; {locations} }}
  server {{ listen 127.0.0.1:{ports[2]}; limit_rate 8000000; {locations} }}
}}
"""
LOCATIONS = """
    location = /v2/ {{ default_type application/json; return 200 '{{}}'; }}
    location /v2/library/bench/manifests/ {{
      types {{}} default_type {type}; add_header Docker-Content-Digest {digest};
    }}
    location /v2/library/bench/blobs/ {{ types {{}} default_type application/octet-stream; }}
  """

RIVAL = """\
worker_processes {loops}; daemon off; pid {folder}/pid; error_log {folder}/error.log;
worker_rlimit_nofile 65536;
events {{ worker_connections 16384; }}
http {{
  sendfile on; tcp_nopush on; tcp_nodelay on; keepalive_requests 1000000000; keepalive_timeout 120s;
  open_file_cache max=10000 inactive=10m; open_file_cache_valid 60s;
  access_log {folder}/access.log combined buffer=64k flush=1s;
  {temporary}
  ssl_certificate {folder}/certificate.pem; ssl_certificate_key {folder}/key.pem;
  ssl_session_cache shared:tls:10m; ssl_conf_command Options KTLS;
  server {{
    listen 127.0.0.1:{ports[0]} reuseport backlog=4096; listen 127.0.0.1:{ports[1]} ssl reuseport backlog=4096;
    root {www}; {locations}
  }}
}}
"""

REGISTRY = """\
version: 0.1
log: {{level: info}}
storage:
  cache: {{blobdescriptor: inmemory}}
  filesystem: {{rootdirectory: {data}}}
  maintenance: {{uploadpurging: {{enabled: false}}}}
http: {{addr: "127.0.0.1:{port}"}}
{proxy}"""


def free_ports(count):
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


class Server:
    """`name`: for people. `ready`: the path that answers 200 as soon as it serves."""

    running = []

    def __init__(self, name, command, folder, port, ready, scheme="http"):
        self.name, self.folder, self.port, self.scheme = name, folder, port, scheme
        self.log = folder + "/log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder)
        Server.running.append(self)
        try:
            self.wait(ready)
        except Failed:
            self.end()
            raise

    def url(self, path):
        return f"{self.scheme}://127.0.0.1:{self.port}{path}"

    def wait(self, ready):
        command = ["curl", "-sf", "--noproxy", "*", "--insecure", "-o", "/dev/null", self.url(ready)]
        for _ in range(600):
            if self.process.poll() is not None:
                break
            if subprocess.run(command).returncode == 0:
                return
            time.sleep(0.05)
        with open(self.log, errors="replace") as log:
            raise Failed(f"{self.name} did not start: {log.read()[-600:].strip()}")

    def end(self):
        if self not in Server.running:
            return
        Server.running.remove(self)
        self.process.terminate()
        try:
            self.process.wait(45)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def processes(self):
        """Itself and its workers."""
        found, new = [], [self.process.pid]
        while new:
            found += new
            new = [int(child) for pid in new for child in read(f"/proc/{pid}/task/{pid}/children").split()]
        return found

    def cpu(self):
        """Seconds in user and kernel mode since the start, of all processes."""
        total = 0
        for pid in self.processes():
            words = read(f"/proc/{pid}/stat").rpartition(")")[2].split()
            total += int(words[11]) + int(words[12])
        return total / TICK

    def anonymous(self):
        """RssAnon of all processes: what they hold in memory themselves, in MB."""
        total = 0
        for pid in self.processes():
            status = read(f"/proc/{pid}/status").splitlines()
            total += next((int(line.split()[1]) for line in status if line.startswith("RssAnon")), 0)
        return total * 1024 / 1e6


def read(path):
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


class Servers:
    """Starts them, all on the content of one folder."""

    def __init__(self, binary, folder, content):
        self.binary, self.folder, self.content = binary, folder, content
        self.configurations = {}
        self.certificate, self.key = folder + "/certificate.pem", folder + "/key.pem"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
             "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", self.key,
             "-out", self.certificate], check=True, capture_output=True)
        self.upstream = self.start_nginx("upstream", UPSTREAM, 3)
        self.ports = dict(zip(["fast", "paced", "capped"], self.upstream.all_ports))

    def place(self, name):
        return tempfile.mkdtemp(prefix=name + ".", dir=self.folder)

    def start_nginx(self, name, text, count):
        folder, ports = self.place(name), free_ports(count)
        for file in [self.certificate, self.key]:
            shutil.copy(file, folder)
        kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        locations = LOCATIONS.format(type=MANIFEST_TYPE, digest=self.content.digest).strip()
        text = text.format(
            loops=LOOPS, folder=folder, ports=ports, www=self.content.folder, locations=locations,
            temporary=" ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds))
        self.configurations[name] = text.replace(folder, "DIR").replace(self.folder, "BENCH")
        with open(folder + "/nginx.conf", "w") as file:
            file.write(text)
        command = ["nginx", "-e", folder + "/error.log", "-c", folder + "/nginx.conf"]
        server = Server(name, command, folder, ports[0], self.content.by_tag)
        server.all_ports = ports
        return server

    def rival(self):
        """nginx on the same files; `rival.tls` is the port that speaks TLS."""
        server = self.start_nginx("nginx", RIVAL, 2)
        server.tls = server.all_ports[1]
        return server

    def straight(self, kind):
        """The upstream as clients see it who go there themselves."""
        return Straight(self.ports[kind])

    def wharf(self, kind, tls=False):
        """All as by default, but for where it listens and what it stores where; its access log is on."""
        folder, port = self.place("wharf"), free_ports(1)[0]
        flags = [
            "serve", "--listen", f"127.0.0.1:{port}", "--data", folder + "/data",
            "--upstream", f"http://127.0.0.1:{self.ports[kind]}"]
        if tls:
            text = f"tls:\n  certificate: {self.certificate}\n  key: {self.key}\n"
            with open(folder + "/wharf.yaml", "w") as file:
                file.write(text)
            flags += ["--config", folder + "/wharf.yaml"]
        name = "wharf with TLS" if tls else "wharf"
        self.configurations[name] = " ".join(["wharf", *flags, "2> DIR/log"]).replace(folder, "DIR") + (
            "\n" + text.replace(self.folder, "BENCH") if tls else "")
        return Server(name, [self.binary, *flags], folder, port, "/livez", "https" if tls else "http")

    def registry(self, kind):
        """As a pull-through mirror of the upstream, so that it does the same work as Wharf."""
        folder = self.place("registry")
        proxy = f"proxy: {{remoteurl: \"http://127.0.0.1:{self.ports[kind]}\"}}\n"
        return self.start_registry("registry 2.8", folder, folder + "/data", proxy)

    def plain_registry(self, mirror):
        """No mirror, on a copy of what that mirror has stored: a mirror writes a tag each time it is asked for it."""
        folder = self.place("registry")
        shutil.copytree(mirror.folder + "/data", folder + "/data", ignore=shutil.ignore_patterns("_uploads"))
        return self.start_registry("registry 2.8, no mirror", folder, folder + "/data", "")

    def start_registry(self, name, folder, data, proxy):
        port = free_ports(1)[0]
        text = REGISTRY.format(data=data, port=port, proxy=proxy)
        self.configurations[name] = text.replace(folder, "DIR").replace(self.folder, "BENCH")
        with open(folder + "/registry.yml", "w") as file:
            file.write(text)
        return Server(name, ["docker-registry", "serve", folder + "/registry.yml"], folder, port, "/v2/")

    def sent(self, blob):
        """GETs of the blob that the upstream has answered, and their bytes over the blob's, once all have ended."""
        log, size = self.upstream.folder + "/access.log", -1
        while size != os.path.getsize(log):
            size = os.path.getsize(log)
            time.sleep(0.4)
        with open(log) as file:
            lines = [line.split() for line in file if line.startswith("GET ") and line.rstrip().endswith(blob.digest)]
        return len(lines), sum(int(words[2]) for words in lines) / blob.size


class Straight:
    name = "the upstream"

    def __init__(self, port):
        self.port = port

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"
