"""scripts/bench: what the agent costs beside haproxy and nginx, doing the same work in the same run.

CPU is that of the proxy's own processes, read from the scheduler, so that the load generator beside it
distorts little; rounds go A B C A B C; shown are medians with their range, and ratios of medians.
"""

import argparse
import base64
import os
import platform
import resource
import shutil
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time

import servers

AUTHORIZATION = "Basic " + base64.b64encode(f"{servers.USER}:{servers.PASSWORD}".encode()).decode()
SETTLE = 12  # seconds: the agent keeps a connection to Docker for 10 s
GIVEN_BACK = 10  # seconds after which what is freed should be the system's again


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    parser.add_argument("--only", default="", help="sections, comma separated: requests,handshakes,bulk,memory,start,report")
    parser.add_argument("--agent", action="append", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--upstream", required=True, help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    options = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that `finally` runs
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    directory = tempfile.mkdtemp(prefix="haven-bench-")
    os.chmod(directory, 0o755)
    upstream, running = None, []
    try:
        path = f"{directory}/upstream.sock"
        upstream = subprocess.Popen([options.upstream, path])
        servers.certificate(directory)
        candidates = [servers.agent(binary, directory, path, "agent" if not turn else f"agent {turn + 1}")
                      for turn, binary in enumerate(options.agent)]
        candidates += [servers.haproxy(directory, path), servers.nginx(directory, path)]
        running = [one for one in candidates if one]
        wait_for(path)
        Bench(options, running, path).run()
    finally:
        for one in running:
            one.stop()
        if upstream:
            upstream.kill()
            upstream.wait()
        shutil.rmtree(directory, ignore_errors=True)


def wait_for(path):
    for _ in range(1000):
        if os.path.exists(path):
            return
        time.sleep(0.01)
    raise RuntimeError("the upstream does not listen")


class Bench:
    def __init__(self, options, running, upstream):
        self.quick, self.only = options.quick, [part for part in options.only.split(",") if part]
        self.binary, self.servers, self.upstream = options.agent[0], running, upstream
        self.rounds = 5 if options.quick else 9
        self.rows = []

    def run(self):
        self.head()
        sections = {"start": self.starting, "idle": self.idle, "requests": self.requests,
                    "handshakes": self.handshakes, "bulk": self.bulk, "memory": self.memory, "report": self.report}
        for name, section in sections.items():
            if not self.only or name in self.only or name in ("start", "idle"):
                print(f"== {name}", file=sys.stderr, flush=True)
                section()

    def head(self):
        versions = ", ".join(f"{one.name} {one.version}" for one in self.servers)
        for peer in ("haproxy", "nginx"):
            if peer not in [one.name for one in self.servers]:
                versions += f", {peer} missing"
        print(f"{versions}; {cpu_model()}, {os.cpu_count()} cores, Linux {platform.release()}; "
              f"{ssl.OPENSSL_VERSION}; {self.rounds} rounds\n")
        names = [one.name for one in self.servers]
        ratios = [f"agent / {name}" for name in names[1:]]
        print("| measure | " + " | ".join(names + ratios) + " |")
        print("| --- |" + " --- |" * (len(names) + len(ratios)), flush=True)

    def row(self, measure, samples, digits=1, compare=True):
        """One line: `samples` has a list of numbers for each server, in their order."""
        medians = [statistics.median(values) for values in samples]
        cells = [f"{middle:.{digits}f}" + (f" ({min(values):.{digits}f}–{max(values):.{digits}f})" if len(values) > 1 else "")
                 for middle, values in zip(medians, samples)]
        cells += [f"**{medians[0] / other:.2f}**" if compare and other > 0 else "–" for other in medians[1:]]
        print(f"| {measure} | " + " | ".join(cells) + " |", flush=True)

    def alternate(self, measure, rounds=None):
        """`measure(server)` in turns; a list of results for each server."""
        samples = [[] for _ in self.servers]
        for _ in range(rounds or self.rounds):
            for values, server in zip(samples, self.servers):
                values.append(measure(server))
        return samples

    # ------------------------------------------------------------------ sections

    def starting(self):
        def start(server):
            server.stop()
            return server.start() * 1000
        self.row("start to listening, ms", self.alternate(start))

    def idle(self):
        for server in self.servers:
            server.stop()
            server.start()
            with connect(server) as client:  # the password is verified once, and remembered
                ask(client, "/small")
        time.sleep(SETTLE)
        self.row("RSS idle, after one request, MiB", [[server.rss() / 1024] for server in self.servers])

    def requests(self):
        if not shutil.which("wrk"):
            print("wrk is missing: no requests are measured", file=sys.stderr)
            return
        seconds = 1.5 if self.quick else 3
        for connections in (1, 32):
            samples = self.alternate(lambda server: self.cpu_per_request(server, connections, seconds))
            self.row(f"CPU per keep-alive request, {connections} connection{'s'[:connections > 1]}, µs", samples)

    def cpu_per_request(self, server, connections, seconds):
        """A window inside the load, so that handshakes do not count; the upstream counts requests."""
        load = subprocess.Popen(
            ["wrk", "-t1", f"-c{connections}", f"-d{seconds + 2:.0f}s", "-H", f"Authorization: {AUTHORIZATION}",
             f"https://127.0.0.1:{server.port}/small"], stdout=subprocess.DEVNULL)
        try:
            time.sleep(0.5)
            count, cpu = self.served(), server.cpu()
            time.sleep(seconds)
            count, cpu = self.served() - count, server.cpu() - cpu
        finally:
            load.terminate()
            load.wait()
        if count == 0:
            raise RuntimeError(f"{server.name} has served no request")
        return cpu / count * 1e6

    def served(self):
        with socket.socket(socket.AF_UNIX) as stream:
            stream.connect(self.upstream)
            stream.sendall(b"GET /count HTTP/1.1\r\n\r\n")
            return int(stream.recv(4096).rpartition(b"\r\n")[2])

    def handshakes(self):
        count = 150 if self.quick else 400
        def measure(server):
            before = server.cpu()
            for _ in range(count):
                connect(server).close()
            time.sleep(0.1)
            return (server.cpu() - before) / count * 1e6
        self.row("CPU per new TLS 1.3 connection (P-256, full handshake), µs", self.alternate(measure))

    def bulk(self):
        size = (256 if self.quick else 1024) << 20
        for coding in ("length", "chunked"):
            def measure(server):
                with connect(server) as client:
                    before = server.cpu()
                    received = ask(client, f"/{coding}/{size}", size)
                    if received < size:
                        raise RuntimeError(f"{server.name}: {received} bytes of {size}")
                    return (server.cpu() - before) / received * 1e9
            self.row(f"CPU per GB down, {coding}, s", self.alternate(measure), 2)

    def memory(self):
        for count in (1000,) if self.quick else (1000, 5000):
            held, returned = [], []
            for server in self.servers:
                server.stop()
                server.start()
                with connect(server) as client:
                    ask(client, "/small")
                time.sleep(SETTLE)
                before = server.pss()
                clients = [authenticated(server) for _ in range(count)]
                time.sleep(SETTLE)
                full = server.pss()
                for client in clients:
                    client.close()
                time.sleep(GIVEN_BACK)
                held.append([(full - before) / count])
                returned.append([100 * (full - server.pss()) / (full - before)])
            self.row(f"PSS per idle authenticated connection at {count}, KiB", held)
            self.row(f"of that given back {GIVEN_BACK} s after they close, %", returned, 0, compare=False)

    def report(self):
        """A whole process: start, two looks at the counters, Docker asked, JSON printed."""
        def cpu(command):
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            subprocess.run([self.binary, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e6
        endpoint = ["--docker", "unix://" + self.upstream]
        whole = statistics.median(cpu(["report", *endpoint]) for _ in range(self.rounds * 2))
        bare = statistics.median(cpu(["--version"]) for _ in range(self.rounds * 2))
        print(f"| `report`, a process of its own, minus `--version`: CPU, µs | {whole - bare:.0f} |" + " – |" * (2 * len(self.servers) - 2))


# ---------------------------------------------------------------------- the client

CLIENT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
CLIENT.check_hostname = False
CLIENT.verify_mode = ssl.CERT_NONE
CLIENT.minimum_version = ssl.TLSVersion.TLSv1_3


def connect(server):
    plain = socket.create_connection(("127.0.0.1", server.port), timeout=60)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return CLIENT.wrap_socket(plain)


def ask(client, target, at_least=1):
    """One GET; returns how many bytes came, of which there are to be `at_least`."""
    client.sendall(f"GET {target} HTTP/1.1\r\nHost: bench\r\nAuthorization: {AUTHORIZATION}\r\n\r\n".encode())
    space = bytearray(1 << 18)
    received = client.recv_into(space)
    if not space.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"not answered: {bytes(space[:200])}")
    while received < at_least:
        part = client.recv_into(space)
        if not part:
            break
        received += part
    return received


def authenticated(server):
    client = connect(server)
    ask(client, "/small", 1024)
    return client


def cpu_model():
    with open("/proc/cpuinfo") as lines:
        return next((line.split(": ")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
