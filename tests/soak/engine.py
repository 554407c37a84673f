"""A throwaway Docker engine, which can be restarted without hurting anybody: no network, images copied (vfs)."""

import http.client
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import tarfile
import time

IMAGE = "haven-soak"
SLEEPER = "sleeper"
PATIENCE = 60  # seconds to start, and to stop
APPLETS = ("cat", "sh", "sleep", "seq", "sha256sum", "echo")


def missing():
    """Why there can be none here; None if there can."""
    if os.geteuid() != 0:
        return "an engine of one's own needs root"
    for program in ("dockerd", "docker", "openssl", "unshare"):
        if not shutil.which(program):
            return f"no {program}"
    if not busybox():
        return "no static busybox"
    return None


def busybox():
    return next((path for path in ("/bin/busybox", "/usr/bin/busybox") if os.path.exists(path)), None)


class Engine:
    def __init__(self, directory):
        self.directory, self.socket = directory, f"{directory}/docker.sock"
        self.process = None
        settings = {
            "hosts": [f"unix://{self.socket}"], "data-root": f"{directory}/data", "exec-root": f"{directory}/exec",
            "pidfile": f"{directory}/pid", "storage-driver": "vfs", "bridge": "none", "iptables": False,
            "ip6tables": False, "ip-forward": False, "ip-masq": False, "shutdown-timeout": 2,
        }
        with open(f"{directory}/daemon.json", "w") as out:
            json.dump(settings, out)

    def start(self):
        with open(f"{self.directory}/log", "ab") as log:
            # In a network of its own: with `bridge` none, dockerd removes the docker0 that it finds.
            self.process = subprocess.Popen(["unshare", "--net", "dockerd", "--config-file", f"{self.directory}/daemon.json"],
                                            stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        began = time.monotonic()
        while True:
            try:
                return self.ask("GET", "/_ping")
            except OSError:
                if self.process.poll() is not None or time.monotonic() - began > PATIENCE:
                    raise RuntimeError(f"dockerd does not start: {self.last_words()}") from None
                time.sleep(0.1)

    def last_words(self):
        with open(f"{self.directory}/log", errors="replace") as log:
            return " / ".join(log.read().splitlines()[-3:])

    def prepare(self):
        """The image, and a container that sleeps."""
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as tar:
            tar.add(os.path.realpath(busybox()), "bin/busybox")
            for applet in APPLETS:
                link = tarfile.TarInfo(f"bin/{applet}")
                link.type, link.linkname = tarfile.SYMTYPE, "busybox"
                tar.addfile(link)
        self.ask("POST", f"/images/create?fromSrc=-&repo={IMAGE}&tag=latest", packed.getvalue(), "application/x-tar")
        self.ask("POST", f"/containers/create?name={SLEEPER}",
                 {"Image": IMAGE, "Cmd": ["/bin/sleep", "1000000"], "HostConfig": {"NetworkMode": "none"}})
        self.ask("POST", f"/containers/{SLEEPER}/start")

    def stop(self):
        """Containers end with it, as they do without live-restore."""
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process = None

    def revive(self):
        """After `stop`."""
        self.start()
        self.ask("POST", f"/containers/{SLEEPER}/start")

    def remove(self):
        """Nothing stays: no process, no mount."""
        self.stop()
        try:
            with open(f"{self.directory}/exec/containerd/containerd.pid") as text:
                os.kill(int(text.read()), signal.SIGKILL)
        except (OSError, ValueError):
            pass
        with open("/proc/self/mounts") as mounts:
            mine = [line.split()[1] for line in mounts if line.split()[1].startswith(self.directory + "/")]
        for mount in reversed(mine):
            subprocess.run(["umount", "--lazy", mount], check=False)

    def ask(self, method, target, body=None, kind="application/json"):
        """Past the agent."""
        connection = http.client.HTTPConnection("docker", timeout=PATIENCE)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(PATIENCE)
        try:
            connection.sock.connect(self.socket)
            data = json.dumps(body) if isinstance(body, dict) else body
            connection.request(method, target, data, {"Content-Type": kind} if data else {})
            answer = connection.getresponse()
            text = answer.read()
            if answer.status >= 400:
                raise RuntimeError(f"{method} {target}: {answer.status} {text.decode().strip()}")
            return text
        except http.client.HTTPException as error:
            raise OSError(str(error)) from error
        finally:
            connection.close()
