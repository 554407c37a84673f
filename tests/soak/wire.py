"""The soak's own client: TLS over memory, so that it can close one direction, reset, and see a cut.

Strict: an answer that ends before its framing says so, or a stream without close_notify, is a `Cut`.
"""

import base64
import json
import select
import socket
import ssl
import struct

BLOCK = 1 << 16
PATIENCE = 90  # seconds without progress
SHOWN = 200  # bytes of an unexpected answer


class Cut(Exception):
    """Bytes are missing."""


class Unexpected(Exception):
    """An answer came whole, and is not the one that was to come."""


def basic(user, password):
    return "Authorization: Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class Door:
    """A way in: where the agent is, and as whom one comes."""

    def __init__(self, port, ca, certificate=None, login=None, source="127.0.0.1"):
        self.port, self.login, self.source = port, login, source
        self.context = ssl.create_default_context(cafile=ca)
        if certificate:
            self.context.load_cert_chain(*certificate)

    def tcp(self):
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE, (self.source, 0))

    def open(self):
        return Stream(self.tcp(), self.context)

    def head(self, method, target, *fields):
        lines = [f"{method} {target} HTTP/1.1", "Host: soak", *fields]
        if self.login:
            lines.append(basic(*self.login))
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    def ask(self, method, target, body=None, kind="application/json"):
        """One request on a connection of its own; the answer, which must be a success."""
        with self.open() as stream:
            return stream.ask(self, method, target, body, kind, "Connection: close").good()


class Answer:
    def __init__(self, stream, method):
        self.stream, self.method = stream, method
        first, *lines = stream.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        self.first, self.status = first, int(first.split()[1])
        self.fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
        self.body = b""

    def whole(self):
        self.body = b"".join(self.parts())
        return self

    def parts(self):
        """The body as it comes, to the end that its framing tells (RFC 9112 §6.3)."""
        if self.method == "HEAD" or self.status in (204, 304):
            return
        if self.fields.get("transfer-encoding") == "chunked":
            while size := int(self.stream.until(b"\r\n"), 16):
                yield from self.stream.exactly(size)
                self.stream.until(b"\r\n")
            self.stream.until(b"\r\n")
        elif "content-length" in self.fields:
            yield from self.stream.exactly(int(self.fields["content-length"]))
        else:
            while part := self.stream.receive():
                yield part

    def good(self, *statuses):
        if self.status not in (statuses or range(200, 300)):
            body = self.body or b"".join(self.parts())
            raise Unexpected(f"{self.method}: {self.first}: {body[:SHOWN]!r}")
        return self

    def json(self):
        return json.loads(self.body)


class Stream:
    def __init__(self, tcp, context):
        self.tcp, self.held = tcp, b""
        self.inside, self.outside = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.inside, self.outside, server_hostname="127.0.0.1")
        try:
            while not self.step(self.tls.do_handshake):
                self.feed()
            self.flush()
        except BaseException:
            tcp.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.tcp.close()

    def step(self, act):
        """Whether it could be done with what has come so far."""
        try:
            act()
            return True
        except ssl.SSLWantReadError:
            self.flush()
            return False

    def flush(self):
        while part := self.outside.read():
            self.tcp.sendall(part)

    def feed(self):
        part = self.tcp.recv(BLOCK)
        if not part:
            raise Cut("the connection ended without close_notify")
        self.inside.write(part)

    def send(self, data):
        for at in range(0, len(data), BLOCK):
            self.tls.write(data[at:at + BLOCK])
            self.flush()

    def decrypted(self):
        """What can be read by now: None for nothing yet, no bytes for the end."""
        try:
            return self.tls.read(BLOCK)
        except ssl.SSLWantReadError:
            return None
        except ssl.SSLZeroReturnError:
            return b""

    def receive(self):
        """Some bytes; none at a proper end."""
        if self.held:
            part, self.held = self.held, b""
            return part
        while (part := self.decrypted()) is None:
            self.feed()
        return part

    def until(self, end):
        found = b""
        while end not in found:
            part = self.receive()
            if not part:
                raise Cut(f"the stream ended inside {found[:SHOWN]!r}")
            found += part
        before, _, self.held = found.partition(end)
        return before

    def exactly(self, size):
        while size:
            part = self.receive()
            if not part:
                raise Cut(f"{size} bytes of the body are missing")
            part, self.held = part[:size], part[size:]
            size -= len(part)
            yield part

    def begin(self, door, method, target, body=None, kind="application/json", *fields):
        """One request; the answer with its body unread."""
        if isinstance(body, dict):
            body = json.dumps(body).encode()
        if body is not None:
            fields += (f"Content-Type: {kind}", f"Content-Length: {len(body)}")
        self.send(door.head(method, target, *fields) + (body or b""))
        return Answer(self, method)

    def ask(self, *request):
        return self.begin(*request).whole()

    def upgrade(self, door, method, target, body=None, protocol="tcp", *fields):
        """Leaves HTTP."""
        answer = self.begin(door, method, target, body, "application/json", "Connection: Upgrade", f"Upgrade: {protocol}", *fields)
        return answer.good(101)

    def close_writing(self):
        """close_notify and no more of ours; reading goes on (RFC 8446 §6.1)."""
        while part := self.decrypted():  # OpenSSL gives up if data is waiting
            self.held += part
        try:
            self.tls.unwrap()
        except ssl.SSLError:
            pass  # it wants the peer's close_notify as well, which comes with the rest
        self.flush()

    def exchange(self, data):
        """Sends all and closes that direction while reading to the end: what has come back."""
        came, left = [self.held], memoryview(data)
        self.held = b""
        while left:
            readable, writable, _ = select.select([self.tcp], [self.tcp], [], PATIENCE)
            if not readable and not writable:
                raise Cut("no progress in either direction")
            if readable:
                self.feed()
                while part := self.decrypted():
                    came.append(part)
                if part == b"":
                    raise Cut(f"the stream ended while {len(left)} bytes were still to be sent")
            if writable:
                self.send_some(left[:BLOCK // 4])
                left = left[BLOCK // 4:]
        self.close_writing()
        while part := self.receive():
            came.append(part)
        return b"".join(came)

    def send_some(self, data):
        """May wait for room, but never without reading: else both ends wait for each other."""
        self.tls.write(data)
        waiting = self.outside.read()
        self.tcp.setblocking(False)
        try:
            while waiting:
                try:
                    waiting = waiting[self.tcp.send(waiting):]
                except BlockingIOError:
                    readable, _, _ = select.select([self.tcp], [self.tcp], [], PATIENCE)
                    if readable:
                        self.feed()
        finally:
            self.tcp.settimeout(PATIENCE)

    def reset(self):
        """Ends the connection the hard way."""
        reset(self.tcp)


def reset(tcp):
    tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    tcp.close()


def frames(raw):
    """What Docker's multiplexed stream carries of standard output and of standard error."""
    out, at = {1: [], 2: []}, 0
    while at < len(raw):
        if len(raw) < at + 8:
            raise Cut("the stream ended inside a frame's head")
        kind, size = raw[at], struct.unpack(">I", raw[at + 4:at + 8])[0]
        if len(raw) < at + 8 + size:
            raise Cut("the stream ended inside a frame")
        out[kind].append(raw[at + 8:at + 8 + size])
        at += 8 + size
    return b"".join(out[1]), b"".join(out[2])
