"""The agent under test: its files, its process, its log, and what it holds of the machine."""

import glob
import os
import re
import subprocess
import threading
import time
from dataclasses import dataclass

from wire import Door

PATIENCE = 20  # seconds for a line of the log; changed files are looked at every 3, twice
GRACE = 15  # seconds in which it must end

READ_AGAIN = "were read again"
KEPT = "; what was read before goes on"
# What may be said as an ERROR: of settings that were broken on purpose.
EXPECTED = re.compile(r"(SIGHUP|files have changed): .*" + re.escape(KEPT))
LINE = re.compile(r"^\S+ \S+ - (DEBUG|INFO|WARNING|ERROR) - ")

PASSWORDS = {"admin": "soak admin", "worker": "soak worker", "reader": "soak reader", "guest": "soak guest"}


class Files:
    """Certificates, users and settings; each is changed while the agent runs."""

    def __init__(self, directory, binary, docker, master):
        self.directory, self.binary = directory, binary
        self.level, self.guest = 1, True
        os.mkdir(directory)
        self.hashes = {user: self.hash(password) for user, password in PASSWORDS.items()}
        self.authority("server-ca")
        self.authority("client-ca")
        self.certificate("alice", "client-ca", "extendedKeyUsage=clientAuth")
        self.rotate()
        self.write("admin.hash", self.hashes["admin"] + "\n")
        self.docker, self.master = docker, master
        self.users()
        self.settings()

    def path(self, name):
        return f"{self.directory}/{name}"

    def write(self, name, text):
        """As a whole or not at all, as a good tool does."""
        descriptor = os.open(self.path(name + ".new"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as out:
            out.write(text)
        os.rename(self.path(name + ".new"), self.path(name))

    def hash(self, password):
        made = subprocess.run([self.binary, "hash-password"], input=password, capture_output=True, text=True, check=True)
        return made.stdout.strip()

    def openssl(self, *words):
        subprocess.run(["openssl", *words], cwd=self.directory, check=True, capture_output=True)

    def authority(self, name):
        self.openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "30",
                     "-subj", f"/CN={name}", "-addext", "keyUsage=critical,keyCertSign,cRLSign", "-keyout", f"{name}.key",
                     "-out", f"{name}.pem")

    def certificate(self, name, authority, extension):
        self.write("extensions", extension + "\n")
        self.openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}",
                     "-keyout", f"{name}.key", "-out", f"{name}.csr")
        self.openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{authority}.pem", "-CAkey", f"{authority}.key",
                     "-CAcreateserial", "-days", "10", "-extfile", "extensions", "-out", f"{name}.pem")

    def rotate(self):
        """Another certificate and key of the server's."""
        self.certificate("next", "server-ca", "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth")
        os.rename(self.path("next.pem"), self.path("server.pem"))
        os.rename(self.path("next.key"), self.path("server.key"))

    def users(self, broken=False):
        lines = [f"{user}:{self.hashes[user]}" for user in ("worker", "reader")]
        if self.guest:
            lines.append(f"guest:{self.hashes['guest']}")
        self.write("users", "\n".join(lines + ["nobody:no hash"] * broken) + "\n")

    def settings(self):
        """The guest's policy stays when the guest is gone."""
        self.write("agent.ini", f"""[main]
docker = unix://{self.docker}
listen = 127.0.0.1:0
workers = 2
master = 127.0.0.1:{self.master}
secret = soaked
timeout = 1
log_level = {self.level}
admin_password_file = {self.path("admin.hash")}
users = {self.path("users")}
policy = worker:full, guest:monitor, cert:alice:full
tls_cert = {self.path("server.pem")}
tls_key = {self.path("server.key")}
client_ca = {self.path("client-ca.pem")}
client_auth = optional
""")


@dataclass
class Sample:
    seconds: float
    pss: int
    anonymous: int
    descriptors: int
    threads: list

    @property
    def thread_count(self):
        return len(self.threads)


class Agent:
    def __init__(self, binary, files):
        self.files = files
        self.log = Log(files.path("log"))
        with open(files.path("log"), "wb") as out:
            self.process = subprocess.Popen([binary, "--config", files.path("agent.ini")], cwd=files.directory, env={},
                                            stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        self.log.start()
        found = self.log.wait(lambda: self.log.port)
        if not found:
            raise RuntimeError("the agent does not listen: " + " / ".join(self.log.tail))
        self.port = self.log.port

    def door(self, certified=False, user="worker", source="127.0.0.1"):
        if certified:
            return Door(self.port, self.files.path("server-ca.pem"),
                        (self.files.path("alice.pem"), self.files.path("alice.key")), source=source)
        return Door(self.port, self.files.path("server-ca.pem"), login=(user, PASSWORDS[user]), source=source)

    def is_alive(self):
        return self.process.poll() is None

    def sample(self, began):
        root = f"/proc/{self.process.pid}"
        with open(f"{root}/smaps_rollup") as text:
            sizes = {line.split(":")[0]: int(line.split()[1]) for line in text if line.endswith("kB\n")}
        return Sample(time.monotonic() - began, sizes["Pss"], sizes["Pss_Anon"], len(os.listdir(f"{root}/fd")),
                      self.threads())

    def threads(self):
        names = []
        for task in glob.glob(f"/proc/{self.process.pid}/task/*/comm"):
            try:
                with open(task) as text:
                    names.append(text.read().strip())
            except OSError:  # it has just ended
                pass
        return sorted(names)

    def signal(self, number):
        self.process.send_signal(number)

    def stop(self):
        """Asks it to end; its status, or None if it had to be killed."""
        self.process.terminate()
        try:
            return self.process.wait(GRACE)
        except subprocess.TimeoutExpired:
            self.kill()
            return None

    def kill(self):
        self.process.kill()
        self.process.wait()


class Log(threading.Thread):
    """Follows the agent's log: counts, and keeps what nobody expected."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.port = path, None
        self.levels = {"DEBUG": 0, "INFO": 0, "WARNING": 0, "ERROR": 0}
        self.reloads, self.kept = 0, 0
        self.unexpected, self.tail = [], []

    def run(self):
        with open(self.path, errors="replace") as text:
            rest = ""
            while True:
                rest += text.read(1 << 16)
                *lines, rest = rest.split("\n")
                for line in lines:
                    self.line(line)
                if not lines:
                    time.sleep(0.05)

    def line(self, line):
        self.tail = (self.tail + [line])[-5:]
        found = LINE.match(line)
        level = found[1] if found else None
        if level:
            self.levels[level] += 1
        if "proxy: listening on https://" in line:
            self.port = int(line.rpartition(":")[2])
        self.reloads += READ_AGAIN in line
        self.kept += KEPT in line
        bad = level == "ERROR" and not EXPECTED.search(line) or "panicked" in line or "log lines dropped" in line
        if bad and len(self.unexpected) < 20:
            self.unexpected.append(line)

    def wait(self, until):
        """What `until` returns as soon as that is something."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            if found := until():
                return found
            time.sleep(0.02)
        return None
