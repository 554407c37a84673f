"""Load by wrk, and the windows of time in which a server is watched."""

import re
import shutil
import socket
import statistics
import subprocess
import time
from dataclasses import dataclass

from client import AUTHORIZATION
from servers import Usage

SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1, "m": 60}
LEAD = 0.2  # seconds at both ends of the load that a window leaves out: handshakes and the end


@dataclass
class Window:
    """What a server did in a stretch of time: how many (or how much), and what it used for that."""
    count: float
    seconds: float
    usage: Usage


@dataclass
class Load:
    """wrk's own figures of its whole run."""
    rate: float
    p50: float
    p99: float


def watched(server, work, rest=0.0):
    """Runs `work`, which returns its count. `rest`: seconds that the server may need to finish."""
    before, began = server.usage(), time.monotonic()
    count = work()
    seconds = time.monotonic() - began
    time.sleep(rest)
    return Window(count, seconds, server.usage() - before)


def per_count(windows):
    """CPU seconds of one, window by window."""
    return [window.usage.seconds / window.count for window in windows]


def user_part(windows):
    """CPU seconds of one that are spent in user space. The kernel tells by ticks, 4 to 10 ms each, which are too few
    in one window: the share is that of all windows together."""
    user, system = (sum(getattr(window.usage, part) for window in windows) for part in ("user", "system"))
    return statistics.median(per_count(windows)) * user / max(user + system, 1)


def wrk_missing():
    return not shutil.which("wrk")


def wrk(server, upstream, connections, seconds, threads=1):
    """Keep-alive requests for `seconds` (whole ones); the window lies inside, and the upstream counts the requests."""
    load = subprocess.Popen(
        ["wrk", f"-t{threads}", f"-c{connections}", f"-d{seconds}s", "--latency", "-H", f"Authorization: {AUTHORIZATION}",
         f"https://127.0.0.1:{server.port}/small"], stdout=subprocess.PIPE, text=True)
    try:
        time.sleep(LEAD)
        first = served(upstream)
        def work():
            time.sleep(seconds - 2 * LEAD)
            return served(upstream) - first
        window = watched(server, work)
        output, _ = load.communicate(timeout=seconds + 30)
    finally:
        load.kill()
        load.wait()
    if window.count == 0 or "Non-2xx" in output:
        raise RuntimeError(f"{server.name} does not serve: {output}")
    return window, figures(output)


def figures(output):
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", output)[1])
    p50, p99 = (duration(re.search(rf"^\s+{part}%\s+([\d.]+)(\w+)", output, re.M)) for part in (50, 99))
    return Load(rate, p50, p99)


def duration(found):
    return float(found[1]) * SECONDS[found[2]]


def served(upstream):
    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect(upstream)
        stream.sendall(b"GET /count HTTP/1.1\r\n\r\n")
        return int(stream.recv(4096).rpartition(b"\r\n")[2])
