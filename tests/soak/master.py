"""A manager that answers, fails, hangs, cuts and talks nonsense."""

import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MODES = ("good", "good", "good", "failing", "hanging", "cutting", "babbling")
HANG = 2  # seconds


class Master(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.port = self.server_address[1]
        self.mode, self.good, self.bad = "good", 0, []
        self.answered = dict.fromkeys(MODES, 0)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_):
        """Cutting is no error here."""


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        master, mode = self.server, self.server.mode
        body = self.rfile.read(int(self.headers["Content-Length"]))
        try:
            json.loads(body)
            right = self.path.startswith("/discovery/nodes/") and self.headers["X-Auth-Node"] == "soaked"
        except ValueError:
            right = False
        if not right:
            master.bad.append(f"{self.path} {body[:200]!r}")
        master.answered[mode] += 1
        self.close_connection = True
        if mode == "hanging":
            time.sleep(HANG)
        elif mode == "cutting":
            self.connection.shutdown(socket.SHUT_RDWR)
        elif mode == "babbling":
            self.wfile.write(b"\x00\xff no HTTP\r\n" * 50)
        else:
            self.send_response(200 if mode == "good" else 500)
            self.send_header("Content-Length", "0")
            self.end_headers()

    def log_message(self, *_):
        """Quiet."""
