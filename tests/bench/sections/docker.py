"""The real engine: what a user of exec feels, and small requests through the whole."""

import http.client
import io
import json
import os
import socket
import statistics
import tarfile
import time

import client

IMAGE = "haven-bench-busybox"
LIFE = 900  # seconds after which the container ends by itself
LINE = b"a line of 32 letters, as a shell\n"
FRAME = 8  # bytes before what an exec without a terminal writes
PATIENCE = 3  # seconds for the first echoes
DIRECT = "the socket itself"


def measure(run):
    """Through the engine's own socket and through each server in turns, p50 and p99 of many round trips: a line echoed by
    `cat` in a container, in one exec; and `GET /_ping` on one kept connection."""
    path = next((path for path in ("/var/run/docker.sock", "/run/docker.sock") if os.path.exists(path)), None)
    busybox = next((path for path in ("/bin/busybox", "/usr/bin/busybox") if os.path.exists(path)), None)
    problem = not path and "no Docker socket" or not busybox and "no static busybox" or unanswered(path)
    if problem:
        run.skip(f"exec: {problem}")
        return
    engine = Engine(path)
    servers = run.another([one.name for one in run.servers], os.path.realpath(path))
    container = None
    try:
        container = engine.container(busybox)
        for server in servers:
            server.start()
            client.reach(server).close()
        pings = {name: [] for name in [DIRECT] + [one.name for one in servers]}
        for _ in range(run.rounds):
            pings[DIRECT].append(asked(engine.connect(), run.plan.echoes))
            for server in servers:
                pings[server.name].append(asked(client.connect(server.port), run.plan.echoes))
        able = [one for one in servers if echoes(run, one, engine.exec(container))]
        samples = {name: [] for name in [DIRECT] + [one.name for one in able]}
        for _ in range(run.rounds):
            samples[DIRECT].append(trips(engine.connect(), engine.exec(container), run.plan.echoes))
            for server in able:
                samples[server.name].append(trips(client.connect(server.port), engine.exec(container), run.plan.echoes))
    finally:
        for server in servers:
            server.stop()
        engine.remove(container)
    for kind, title, rounds in (("exec", "exec, a line's round trip", samples), ("ping", "GET /_ping", pings)):
        for key, part, name in ((kind, 0, "p50"), (f"{kind} p99", 1, "p99")):
            figures = {one: [trip[part] for trip in trips] for one, trips in rounds.items()}
            direct = {DIRECT: figures.pop(DIRECT)}
            run.table.row(key, f"{title} (dockerd {engine.version}), {name}, µs", figures, 0, beside=direct)


def echoes(run, server, exec_id):
    """Whether an exec works through it at all."""
    stream = client.reach(server)
    stream.settimeout(PATIENCE)
    try:
        trips(stream, exec_id, 1)
        return True
    except TimeoutError:
        run.skip(f"exec: {server.name} passes no input on (haproxy takes Upgrade out of requests that have a body)")
        return False


def trips(stream, exec_id, count):
    """p50 and p99 of an exec's round trips in µs."""
    body = b'{"Detach": false, "Tty": false}'
    with stream:
        stream.sendall(client.head("POST", f"/exec/{exec_id}/start", "Connection: Upgrade", "Upgrade: tcp",
                                   "Content-Type: application/json", f"Content-Length: {len(body)}") + body)
        answer = b""
        while b"\r\n\r\n" not in answer:
            part = stream.recv(4096)
            if not part:
                break
            answer += part
        if not answer.startswith((b"HTTP/1.1 101", b"HTTP/1.1 200")):
            raise RuntimeError(f"no exec: {answer[:200]}")
        def echo():
            stream.sendall(LINE)
            missing = FRAME + len(LINE)
            while missing > 0:
                part = stream.recv(missing)
                if not part:
                    raise RuntimeError("the exec ended")
                missing -= len(part)
        return timed(echo, count)


def asked(stream, count):
    """p50 and p99 of small requests in µs."""
    with stream:
        def ping():
            stream.sendall(client.head("GET", "/_ping"))
            answer = b""
            while not answer.endswith(b"\r\n\r\nOK"):
                part = stream.recv(4096)
                if not part:
                    raise RuntimeError(f"not answered: {answer[:200]}")
                answer += part
        return timed(ping, count)


def timed(act, count):
    times = []
    for _ in range(count + 10):
        began = time.perf_counter()
        act()
        times.append((time.perf_counter() - began) * 1e6)
    times = sorted(times[10:])  # the first ones start the program, or verify the password
    return statistics.median(times), times[len(times) * 99 // 100]


class Engine:
    """What the benchmark asks of Docker itself."""

    def __init__(self, path):
        self.path = path
        self.version = self.ask("GET", "/version")["Version"]

    def connect(self):
        stream = socket.socket(socket.AF_UNIX)
        stream.settimeout(client.TIMEOUT)
        stream.connect(self.path)
        return stream

    def ask(self, method, target, body=None, kind="application/json"):
        connection = http.client.HTTPConnection("docker")
        connection.sock = self.connect()
        try:
            data = json.dumps(body) if isinstance(body, dict) else body
            connection.request(method, target, data, {"Content-Type": kind} if data else {})
            answer = connection.getresponse()
            text = answer.read()
            if answer.status >= 400:
                raise RuntimeError(f"{method} {target}: {answer.status} {text.decode().strip()}")
            return json.loads(text) if kind == "application/json" and text else None
        finally:
            connection.close()

    def container(self, busybox):
        """One that sleeps, of an image that is a static busybox; no registry is asked."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            tar.add(os.path.realpath(busybox), "bin/busybox")
            for applet in ("cat", "sleep"):
                link = tarfile.TarInfo(f"bin/{applet}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link)
        self.ask("POST", f"/images/create?fromSrc=-&repo={IMAGE}", packed.getvalue(), "application/x-tar")
        host = {"NetworkMode": "none", "AutoRemove": True}
        made = self.ask("POST", "/containers/create", {"Image": IMAGE, "Cmd": ["/bin/sleep", str(LIFE)], "HostConfig": host})
        self.ask("POST", f"/containers/{made['Id']}/start")
        return made["Id"]

    def exec(self, container):
        wanted = {"AttachStdin": True, "AttachStdout": True, "Tty": False, "Cmd": ["/bin/cat"]}
        return self.ask("POST", f"/containers/{container}/exec", wanted)["Id"]

    def remove(self, container):
        if container:
            self.ask("DELETE", f"/containers/{container}?force=1")
        if any(f"{IMAGE}:latest" in (image["RepoTags"] or []) for image in self.ask("GET", "/images/json")):
            self.ask("DELETE", f"/images/{IMAGE}?force=1")


def unanswered(path):
    """Why the engine cannot be asked; None where it can."""
    try:
        Engine(path)
    except (OSError, RuntimeError, ValueError) as error:
        return f"Docker does not answer: {error}"
    return None
