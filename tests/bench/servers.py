"""What is measured: the agent and its peers, each as processes in front of the same upstream."""

import os
import shutil
import signal
import socket
import subprocess
import time

USER, PASSWORD = "admin", "a password of 24 letters"
PATIENCE = 10  # seconds until a server must listen


class Server:
    """One proxy, started; `stop` ends it. Its processes are its root and that one's children."""

    def __init__(self, name, version, command, port, env=None):
        self.name, self.version, self.port = name, version, port
        self.command, self.env = command, env
        self.process = None

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
            if time.monotonic() - began > PATIENCE:
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

    def pids(self):
        root = self.process.pid
        found = [root]
        for entry in os.listdir("/proc"):
            if entry.isdigit() and parent_of(entry) == root:
                found.append(int(entry))
        return found

    def cpu(self):
        """CPU seconds of all its threads so far, from the scheduler (nanoseconds, no ticks)."""
        total = 0
        for pid in self.pids():
            for task in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{task}/schedstat") as text:
                    total += int(text.read().split()[0])
        return total / 1e9

    def pss(self):
        """Proportional set size in KiB."""
        return sum(rollup(pid, "Pss:") for pid in self.pids())

    def rss(self):
        """Resident set size in KiB."""
        return sum(rollup(pid, "Rss:") for pid in self.pids())


def parent_of(pid):
    try:
        with open(f"/proc/{pid}/stat") as text:
            return int(text.read().rpartition(")")[2].split()[1])
    except OSError:
        return None


def rollup(pid, field):
    with open(f"/proc/{pid}/smaps_rollup") as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(field))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def certificate(directory):
    """One self-signed P-256 certificate for all servers."""
    key, cert = f"{directory}/key.pem", f"{directory}/cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", key, "-out", cert], check=True, stderr=subprocess.DEVNULL)
    with open(f"{directory}/both.pem", "w") as both:
        for part in (cert, key):
            with open(part) as text:
                both.write(text.read())
    return cert, key


def write(path, text):
    with open(path, "w") as out:
        out.write(text)
    return path


def version_of(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    return (done.stdout + done.stderr).splitlines()[0]


def agent(binary, directory, upstream, name="agent"):
    cert, key = certificate_paths(directory)
    hashed = subprocess.run([binary, "hash-password"], input=PASSWORD + "\n", capture_output=True, text=True, check=True)
    env = {"PATH": os.environ["PATH"], "HOME": directory, "HAVEN_AGENT_ADMIN_PASSWORD": hashed.stdout.strip()}
    port = free_port()
    command = [binary, "--listen", f"127.0.0.1:{port}", "--docker", f"unix://{upstream}", "--workers", "1",
               "--tls-cert", cert, "--tls-key", key, "--timeout", "3600"]
    return Server(name, version_of(binary, "--version"), command, port, env)


def haproxy(directory, upstream):
    if not shutil.which("haproxy"):
        return None
    port = free_port()
    config = write(f"{directory}/haproxy.cfg", f"""
global
    nbthread 1
    maxconn 9000
defaults
    mode http
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    timeout http-request 1h
    timeout http-keep-alive 1h
userlist users
    user {USER} insecure-password "{PASSWORD}"
frontend tls
    bind 127.0.0.1:{port} ssl crt {directory}/both.pem alpn http/1.1
    http-request auth realm bench unless {{ http_auth(users) }}
    http-request del-header Authorization
    default_backend docker
backend docker
    server docker unix@{upstream}
""")
    version = version_of("haproxy", "-v").split(" ")[2]
    return Server("haproxy", version, ["haproxy", "-db", "-f", config], port)


def nginx(directory, upstream):
    if not shutil.which("nginx"):
        return None
    port = free_port()
    cert, key = certificate_paths(directory)
    write(f"{directory}/htpasswd", f"{USER}:{{PLAIN}}{PASSWORD}\n")
    user = "user root;" if os.getuid() == 0 else ""
    temporary = "".join(f"{kind}_temp_path {directory}/{kind};"
                        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    config = write(f"{directory}/nginx.conf", f"""
daemon off; worker_processes 1; {user} pid {directory}/nginx.pid; error_log /dev/null;
events {{ worker_connections 16384; }}
http {{
    access_log off; {temporary}
    keepalive_timeout 1h; keepalive_requests 1000000000;
    upstream docker {{ server unix:{upstream}; keepalive 64; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {cert}; ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3;
        auth_basic bench; auth_basic_user_file {directory}/htpasswd;
        location / {{
            proxy_pass http://docker; proxy_http_version 1.1; proxy_buffering off; proxy_buffer_size 16k; proxy_buffers 8 16k;
            proxy_set_header Connection ""; proxy_set_header Authorization "";
        }}
    }}
}}
""")
    version = version_of("nginx", "-v").split("/")[1]
    return Server("nginx", version, ["nginx", "-c", config, "-e", "/dev/null"], port)


def certificate_paths(directory):
    return f"{directory}/cert.pem", f"{directory}/key.pem"
