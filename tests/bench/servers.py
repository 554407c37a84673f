"""A server as processes: started, stopped, and what it has used of CPU and memory."""

import os
import signal
import socket
import subprocess
import time
from dataclasses import dataclass

PATIENCE = 10  # seconds until a server must listen
CPUCLOCK_SCHED = 2  # of the kernel's posix-timers.h


@dataclass
class Usage:
    """CPU so far: exact seconds from the scheduler, and the ticks that tell user from system."""
    seconds: float
    user: int
    system: int

    def __sub__(self, earlier):
        return Usage(self.seconds - earlier.seconds, self.user - earlier.user, self.system - earlier.system)


class Server:
    """One proxy; `start` starts it, `stop` ends it. Its processes are its root and that one's children."""

    def __init__(self, name, version, command, port, env=None, tls_only=False):
        self.name, self.version, self.port, self.tls_only = name, version, port, tls_only
        self.command, self.env = command, env
        self.process, self.patience = None, PATIENCE

    def start(self):
        """Starts it; returns the seconds until it accepted a connection."""
        began = time.monotonic()
        self.process = subprocess.Popen(
            self.command, env=self.env, stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return time.monotonic() - began
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended with {self.process.returncode}: {' '.join(self.command)}")
            if time.monotonic() - began > self.patience:
                raise RuntimeError(f"{self.name} does not listen")
            time.sleep(0.0002)

    def stop(self):
        if self.process is None:
            return
        children = self.pids()[1:]
        self.process.terminate()
        try:
            self.process.wait(PATIENCE + 5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        for pid in children:  # a worker that waits for its clients
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self.process = None
        self.wait_for_port()

    def wait_for_port(self):
        """A worker that was killed may listen for an instant more."""
        began = time.monotonic()
        while time.monotonic() - began < PATIENCE:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) != 0:
                    return
            time.sleep(0.001)
        raise RuntimeError(f"{self.name} does not end")

    def restart(self):
        self.stop()
        return self.start()

    def pids(self):
        root = self.process.pid
        found = [root]
        for entry in os.listdir("/proc"):
            if entry.isdigit() and parent_of(entry) == root:
                found.append(int(entry))
        return found

    def usage(self):
        pids = self.pids()
        fields = [stat(pid) for pid in pids]
        # utime and stime, proc(5)'s 14th and 15th.
        return Usage(sum(map(cpu_seconds, pids)), sum(int(one[11]) for one in fields), sum(int(one[12]) for one in fields))

    def threads(self):
        """CPU seconds by name and number of each thread that runs."""
        used = {}
        for pid in self.pids():
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/comm") as name, open(f"/proc/{pid}/task/{task}/schedstat") as text:
                    used[name.read().strip(), task] = int(text.read().split()[0]) / 1e9
        return used

    def pss(self):
        """Proportional set size in KiB."""
        return sum(rollup(pid, "Pss:") for pid in self.pids())

    def rss(self):
        """Resident set size in KiB."""
        return sum(rollup(pid, "Rss:") for pid in self.pids())


class Upstream:
    """The fast fake engine that all stand in front of."""

    def __init__(self, program, directory):
        self.path = f"{directory}/upstream.sock"
        self.process = subprocess.Popen([program, self.path])
        began = time.monotonic()
        while not os.path.exists(self.path):
            if time.monotonic() - began > PATIENCE:
                self.stop()
                raise RuntimeError("the upstream does not listen")
            time.sleep(0.01)
        os.chmod(self.path, 0o777)  # peers may give up root

    def stop(self):
        self.process.kill()
        self.process.wait()
        if os.path.exists(self.path):
            os.unlink(self.path)


def cpu_seconds(pid):
    """The clock of clock_getcpuclockid(3): all threads of the process, those that have ended as well."""
    return time.clock_gettime_ns(~pid << 3 | CPUCLOCK_SCHED) / 1e9


def stat(pid):
    """proc(5)'s fields of /proc/PID/stat from the third on: a name in parentheses comes before."""
    with open(f"/proc/{pid}/stat") as text:
        return text.read().rpartition(")")[2].split()


def parent_of(pid):
    try:
        return int(stat(pid)[1])
    except OSError:
        return None


def rollup(pid, field):
    with open(f"/proc/{pid}/smaps_rollup") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(field))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
