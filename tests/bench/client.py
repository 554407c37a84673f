"""The benchmark's own TLS 1.3 client, with OpenSSL's defaults: connects, asks, sends, resumes sessions."""

import base64
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor

from peers import PASSWORD, USER

AUTHORIZATION = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
TIMEOUT = 60  # seconds without progress
AT_ONCE = 4  # handshakes

CONTEXT = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
CONTEXT.check_hostname = False
CONTEXT.verify_mode = ssl.CERT_NONE
CONTEXT.minimum_version = ssl.TLSVersion.TLSv1_3

BLOCK = 1 << 20
CHUNK = 32 << 10  # of an upload


def connect(port, session=None):
    plain = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
    plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return CONTEXT.wrap_socket(plain, session=session)


def head(method, target, *fields):
    lines = [f"{method} {target} HTTP/1.1", "Host: bench", f"Authorization: {AUTHORIZATION}", *fields]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def ask(client, target="/small", at_least=1024):
    """One GET; reads until `at_least` bytes of its answer came."""
    client.sendall(head("GET", target))
    receive(client, at_least)


def receive(client, at_least):
    space = bytearray(1 << 18)
    received = client.recv_into(space)
    if not space.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"not answered: {bytes(space[:200])}")
    while received < at_least:
        part = client.recv_into(space)
        if not part:
            raise RuntimeError(f"cut short: {received} bytes of {at_least}")
        received += part


def send(client, coding, size):
    """One POST of `size` bytes, whole blocks; returns when it is answered."""
    if coding == "length":
        field, block, end = f"Content-Length: {size}", b"x" * BLOCK, b""
    else:
        chunk = b"%x\r\n%s\r\n" % (CHUNK, b"x" * CHUNK)
        field, block, end = "Transfer-Encoding: chunked", chunk * (BLOCK // CHUNK), b"0\r\n\r\n"
    client.sendall(head("POST", "/sink", field))
    for _ in range(size // BLOCK):
        client.sendall(block)
    client.sendall(end)
    receive(client, 1)


def reach(server):
    """The first connection to a server that has just started: hitch's master listens before its worker does, and then
    resets who came to it."""
    for _ in range(100):
        try:
            return connect(server.port)
        except ConnectionResetError:
            time.sleep(0.02)
    raise RuntimeError(f"{server.name} resets all connections")


def warm(server):
    """A first request, authenticated: a password is verified, and remembered."""
    with reach(server) as client:
        ask(client)


def open_and_close(port, sessions):
    """A connection for each session (None: a full handshake), several at once. Whether each was resumed."""
    def one(session):
        with connect(port, session) as client:
            return client.session_reused
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(one, sessions))


def sessions(port, count):
    """Tickets, each from a connection of its own: with TLS 1.3 they come after the handshake, with what is read."""
    def one(_):
        with connect(port) as client:
            ask(client)
            return client.session
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(one, range(count)))


def suite(server):
    with reach(server) as client:
        return client.cipher()[0]
