"""What clients do, one function each: it returns (bytes up, bytes down), and raises when anything is not as it must be."""

import hashlib
import io
import json
import os
import random
import socket
import subprocess
import tarfile
import time

from engine import IMAGE, SLEEPER
from wire import Cut, Unexpected, frames, reset

READS = ("/_ping", "/version", "/containers/json", "/v1.41/images/json", "/info")
CLI_PATIENCE = 120
MIB = 1 << 20
SLOW = 16 << 10  # bytes between two rests of a slow reader
LAST = b"that was all"  # line of a log


def sha(data):
    return hashlib.sha256(data).hexdigest()


def expect(right, what):
    if not right:
        raise Unexpected(what)


class Client:
    """One of those who load the agent: its chance, its names, and the doors that it knows."""

    def __init__(self, name, seed, agent):
        self.prefix, self.agent, self.made = f"soak-{name}", agent, 0
        self.random = random.Random(f"{seed}/{name}")
        self.doors = (agent.door(), agent.door(certified=True))

    def door(self):
        return self.random.choice(self.doors)

    def bytes(self, least, most):
        return self.random.randbytes(self.random.randint(least, most))

    def name(self):
        """Of a container or image, never used before."""
        self.made += 1
        return f"{self.prefix}-{self.made}"


def keep_alive(client):
    """Many short requests on one connection."""
    door, down = client.door(), 0
    with door.open() as stream:
        for _ in range(client.random.randint(5, 80)):
            answer = stream.ask(door, "GET", client.random.choice(READS)).good(200)
            down += len(answer.body)
    return 0, down


def one_each(client):
    """A connection for each request, closed by the agent."""
    down = 0
    for _ in range(client.random.randint(3, 15)):
        door = client.door()
        with door.open() as stream:
            down += len(stream.ask(door, "GET", client.random.choice(READS), None, "", "Connection: close").good(200).body)
            expect(stream.receive() == b"", "bytes after an answer")
    return 0, down


def wrong_password(client):
    """From an address of its own, which is locked out with time."""
    door = client.agent.door(user="worker", source=f"127.0.7.{client.random.randint(1, 250)}")
    door.login = ("worker", f"guess {client.random.random()}")
    for _ in range(client.random.randint(1, 8)):
        with door.open() as stream:
            stream.ask(door, "GET", "/info").good(401, 429)
    return 0, 0


def read_only(client):
    """One who may look, and change nothing."""
    door = client.agent.door(user="reader")
    with door.open() as stream:
        stream.ask(door, "GET", "/containers/json").good(200)
        stream.ask(door, "POST", f"/containers/{SLEEPER}/kill", b"").good(403)
        stream.ask(door, "GET", f"/containers/{SLEEPER}/json").good(200)
    return 0, 0


def started(door, command):
    """The stream of an exec in the sleeper. It is opened last: nobody waits for ever for its first request."""
    made = door.ask("POST", f"/containers/{SLEEPER}/exec",
                    {"AttachStdin": True, "AttachStdout": True, "AttachStderr": True, "Cmd": list(command)}).json()["Id"]
    stream = door.open()
    stream.upgrade(door, "POST", f"/exec/{made}/start", {"Detach": False, "Tty": False})
    return stream


def exec_echo(client):
    """All that goes in comes back, at the same time and after the half-close."""
    door, data = client.door(), client.bytes(1, 2 * MIB)
    with started(door, ["cat"]) as stream:
        out, err = frames(stream.exchange(data))
    expect(sha(out) == sha(data), f"cat gave {len(out)} bytes of {len(data)}, {err!r}")
    return len(data), len(out)


def exec_hash(client):
    """Input alone, and one line when it has ended."""
    door, data = client.door(), client.bytes(MIB, 6 * MIB)
    with started(door, ["sha256sum"]) as stream:
        out, err = frames(stream.exchange(data))
    expect(out.split()[:1] == [sha(data).encode()], f"sha256sum of {len(data)} bytes: {out!r} {err!r}")
    return len(data), len(out)


def created(client, door, settings):
    name = client.name()
    settings = {"Image": IMAGE, "HostConfig": {"NetworkMode": "none"}, **settings}
    door.ask("POST", f"/containers/create?name={name}", settings)
    return name


def removed(door, name):
    door.ask("DELETE", f"/containers/{name}?force=1&v=1")


def attach(client):
    """A container's main process by its standard streams."""
    door, data = client.door(), client.bytes(1, MIB)
    name = created(client, door, {"Cmd": ["cat"], "OpenStdin": True, "StdinOnce": True, "AttachStdin": True, "AttachStdout": True})
    try:
        with door.open() as stream:
            stream.upgrade(door, "POST", f"/containers/{name}/attach?stream=1&stdin=1&stdout=1&stderr=1")
            door.ask("POST", f"/containers/{name}/start")
            out, err = frames(stream.exchange(data))
        expect(sha(out) == sha(data), f"an attached cat gave {len(out)} bytes of {len(data)}, {err!r}")
    finally:
        removed(door, name)
    return len(data), len(out)


def websocket(client):
    """Frames there and back (RFC 6455); Docker's attach echoes what the container writes."""
    door = client.door()
    name = created(client, door, {"Cmd": ["cat"], "OpenStdin": True, "AttachStdin": True})
    total = 0
    try:
        door.ask("POST", f"/containers/{name}/start")
        with door.open() as stream:
            stream.upgrade(door, "GET", f"/containers/{name}/attach/ws?stream=1&stdin=1&stdout=1", None, "websocket",
                           "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: c29hayBzb2FrIHNvYWsgcw==")
            for _ in range(client.random.randint(3, 30)):
                word = client.bytes(20, 2000).hex().encode() + b"\n"
                stream.send(masked(word, client.random.randbytes(4)))
                back = b""
                while len(back) < len(word):
                    back += unmasked(stream)
                expect(back == word, "a WebSocket gave other bytes back")
                total += len(word)
    finally:
        removed(door, name)
    return total, total


def masked(data, key):
    size = bytes([0x80 | len(data)]) if len(data) < 126 else bytes([0x80 | 126]) + len(data).to_bytes(2, "big")
    return b"\x82" + size + key + bytes(byte ^ key[at % 4] for at, byte in enumerate(data))


def unmasked(stream):
    """The next frame's data."""
    head = b"".join(stream.exactly(2))
    size = head[1] & 127
    if size >= 126:
        size = int.from_bytes(b"".join(stream.exactly(2 if size == 126 else 8)), "big")
    return b"".join(stream.exactly(size))


def logs(client):
    """`logs -f` of a container that writes while they are read, to its last line and to its end.

    It lives until all has been read: asked at its own socket as well, Docker 20.10 now and then leaves out the last lines
    of one that ends while it is followed.
    """
    door, lines = client.door(), client.random.randint(100, 30_000)
    name = created(client, door, {"Cmd": ["sh", "-c", f"seq 1 {lines}; echo {LAST.decode()}; sleep 1000000"]})
    try:
        door.ask("POST", f"/containers/{name}/start")
        with door.open() as stream:
            answer, raw = stream.begin(door, "GET", f"/containers/{name}/logs?follow=1&stdout=1&stderr=1").good(200), bytearray()
            for part in answer.parts():
                raw += part
                if raw.endswith(LAST + b"\n"):
                    door.ask("POST", f"/containers/{name}/kill")
        out, _ = frames(raw)
        expected = b"".join(b"%d\n" % number for number in range(1, lines + 1)) + LAST + b"\n"
        expect(out == expected, f"the log has {out.count(10)} of {lines + 1} lines")
    finally:
        removed(door, name)
    return 0, len(out)


def events(client):
    """Each event of a container's short life is heard."""
    door, name = client.door(), None
    with door.open() as stream:
        since = int(time.time())
        answer = stream.begin(door, "GET", f"/events?since={since}&filters=" + quoted({"type": ["container"]}))
        parts = answer.good(200).parts()
        name = created(client, door, {"Cmd": ["echo"]})
        removed(door, name)
        heard, text = [], b""
        while heard != ["create", "destroy"]:
            text += next(parts)
            *whole, text = text.split(b"\n")
            for event in map(json.loads, filter(None, whole)):
                if event["Actor"]["Attributes"].get("name") == name:
                    heard.append(event["Action"])
    return 0, len(text)


def quoted(filters):
    return json.dumps(filters).replace(" ", "").replace('"', "%22").replace("{", "%7B").replace("}", "%7D")


def packed(files):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def copy(client):
    """A file into a container and out again."""
    door, data, name = client.door(), client.bytes(1, 4 * MIB), client.name()
    with door.open() as stream:
        stream.ask(door, "PUT", f"/containers/{SLEEPER}/archive?path=/", packed({name: data}), "application/x-tar").good(200)
        back = stream.ask(door, "GET", f"/containers/{SLEEPER}/archive?path=/{name}").good(200).body
    with tarfile.open(fileobj=io.BytesIO(back)) as tar:
        expect(sha(tar.extractfile(name).read()) == sha(data), f"a copied file of {len(data)} bytes is another")
    with started(door, ["sh", "-c", f"echo -n >/{name}"]) as stream:  # its name stays: only its bytes are to be given back
        stream.exchange(b"")
    return len(data), len(back)


def image(client):
    """A big body each way: the layer of an imported image is the archive that was sent, to the byte."""
    door, name = client.door(), client.name()
    sent = packed({"data": client.bytes(4 * MIB, 24 * MIB)})
    with door.open() as stream:
        stream.ask(door, "POST", f"/images/create?fromSrc=-&repo={name}&tag=latest", sent, "application/x-tar").good(200)
    try:
        with door.open() as stream:
            answer = stream.begin(door, "GET", f"/images/{name}/get").good(200)
            saved = slowly(client, answer.parts()) if client.random.random() < 0.3 else b"".join(answer.parts())
        with tarfile.open(fileobj=io.BytesIO(saved)) as tar:
            layers = [tar.extractfile(entry).read() for entry in tar if entry.name.endswith("layer.tar")]
        expect([sha(layer) for layer in layers] == [sha(sent)], f"a saved image's layer is not what was sent ({len(sent)} bytes)")
    finally:
        door.ask("DELETE", f"/images/{name}?force=1")
    return len(sent), len(saved)


def slowly(client, parts):
    """Reads with rests, so that all before it fills up."""
    got = []
    for number, part in enumerate(parts):
        got.append(part)
        if number < 400:
            time.sleep(client.random.random() * 0.01)
    return b"".join(got)


def export(client):
    """All files of a container, by a slow reader. One of its own: Docker cuts an export when a file changes meanwhile."""
    door, data = client.door(), client.bytes(1, 8 * MIB)
    name = created(client, door, {"Cmd": ["echo"]})
    try:
        door.ask("PUT", f"/containers/{name}/archive?path=/", packed({"data": data}), "application/x-tar")
        with door.open() as stream:
            stream.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW)
            answer = stream.begin(door, "GET", f"/containers/{name}/export").good(200)
            got = slowly(client, answer.parts())
        with tarfile.open(fileobj=io.BytesIO(got)) as tar:
            expect(sha(tar.extractfile("data").read()) == sha(data), f"an exported file of {len(data)} bytes is another")
    finally:
        removed(door, name)
    return len(data), len(got)


def build(client):
    """A build whose context is big, and which says what has arrived."""
    door, name, data = client.door(), client.name(), client.bytes(MIB, 8 * MIB)
    context = packed({"Dockerfile": f"FROM {IMAGE}\nCOPY data /data\nRUN sha256sum /data\n".encode(), "data": data})
    with door.open() as stream:
        answer = stream.ask(door, "POST", f"/build?t={name}&networkmode=none&rm=1&forcerm=1", context, "application/x-tar").good(200)
    expect(sha(data).encode() in answer.body, f"a build with {len(data)} bytes: {answer.body[-300:]!r}")
    door.ask("DELETE", f"/images/{name}?force=1")
    return len(context), len(answer.body)


def docker(client, *words, data=b""):
    """Docker's own command, by certificate; its output."""
    files = client.agent.files
    command = ["docker", "--host", f"tcp://127.0.0.1:{client.agent.port}", "--tlsverify", "--tlscacert", files.path("server-ca.pem"),
               "--tlscert", files.path("alice.pem"), "--tlskey", files.path("alice.key"), *words]
    clean = {"PATH": os.environ["PATH"], "HOME": files.directory, "DOCKER_CONFIG": files.path("docker")}
    done = subprocess.run(command, input=data, capture_output=True, env=clean, timeout=CLI_PATIENCE, check=False)
    if done.returncode != 0:
        raise Cut(f"docker {' '.join(words)}: status {done.returncode}: {done.stderr[-300:]!r}")
    return done.stdout


def docker_exec(client):
    data = client.bytes(1, 4 * MIB)
    expect(sha(docker(client, "exec", "-i", SLEEPER, "cat", data=data)) == sha(data), "docker exec gave other bytes back")
    return len(data), len(data)


def docker_run(client):
    data, name = client.bytes(1, 2 * MIB), client.name()
    out = docker(client, "run", "-i", "--rm", "--name", name, "--network", "none", IMAGE, "sha256sum", data=data)
    expect(out.split()[0] == sha(data).encode(), "docker run heard other bytes")
    return len(data), len(out)


def cut_handshake(client):
    tcp = client.door().tcp()
    tcp.sendall(bytes.fromhex("1603010200010001fc0303") + client.random.randbytes(client.random.randint(0, 300)))
    time.sleep(client.random.random() / 10)
    reset(tcp)
    return 0, 0


def cut_head(client):
    door = client.door()
    stream, head = door.open(), door.head("GET", "/info")
    stream.send(head[:client.random.randint(0, len(head) - 1)])
    time.sleep(client.random.random() / 10)
    stream.reset()
    return 0, 0


def cut_upload(client):
    door, data = client.door(), client.bytes(1, 2 * MIB)
    stream = door.open()
    stream.send(door.head("POST", "/images/create?fromSrc=-", "Content-Type: application/x-tar", f"Content-Length: {len(data) + 1}") + data)
    stream.reset()
    return len(data), 0


def cut_download(client):
    door = client.door()
    stream = door.open()
    parts = stream.begin(door, "GET", f"/containers/{SLEEPER}/export").good(200).parts()
    got = sum(len(next(parts)) for _ in range(client.random.randint(0, 20)))
    stream.reset()
    return 0, got


def cut_tunnel(client):
    door = client.door()
    stream = started(door, ["cat"])
    data = client.bytes(0, 100_000)
    stream.send(data)
    stream.reset()
    return len(data), 0


def cut_follower(client):
    """Nobody is left to hear what comes next."""
    door = client.door()
    stream = door.open()
    stream.begin(door, "GET", "/events").good(200)
    time.sleep(client.random.random())
    if client.random.random() < 0.5:
        stream.reset()
    else:
        stream.tcp.close()
    return 0, 0


# How often each is done, in relation to the others.
WEIGHTS = {
    keep_alive: 14, one_each: 14, wrong_password: 5, read_only: 5,
    exec_echo: 10, exec_hash: 6, attach: 4, websocket: 4, logs: 4, events: 4,
    copy: 6, image: 3, export: 3, build: 1, docker_exec: 4, docker_run: 2,
    cut_handshake: 4, cut_head: 4, cut_upload: 4, cut_download: 4, cut_tunnel: 4, cut_follower: 4,
}
