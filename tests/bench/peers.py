"""How the agent and each peer is configured: one worker, keep-alive on both sides, no access log, the same
certificate, the peer's own TLS defaults. A peer that is not installed is None."""

import os
import resource
import shutil
import subprocess
import tempfile

from servers import Server, free_port

USER, PASSWORD = "admin", "a password of 24 letters"
# Of the password, by `htpasswd -B -C 4`: the cost does not matter, it is verified once and remembered.
HASH = "$2y$04$O/YOhkxRmq4oDrD1325LFuqImzSAzvTZ4HmYn/vALJ9cQj35N8b1u"


class Place:
    """A directory of one run: the certificate, and a directory of its own for each set of servers."""

    def __init__(self, directory):
        self.directory = directory
        self.key, self.cert, self.both = (f"{directory}/{name}.pem" for name in ("key", "cert", "both"))
        self.certificate()

    def certificate(self):
        """One self-signed P-256 certificate for all servers."""
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
             "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
             "-keyout", self.key, "-out", self.cert], check=True, stderr=subprocess.DEVNULL)
        with open(self.both, "w") as both:
            for part in (self.cert, self.key):
                with open(part) as text:
                    both.write(text.read())

    def file(self, name, text):
        """A configuration in a directory of its own."""
        path = os.path.join(tempfile.mkdtemp(dir=self.directory), name)
        with open(path, "w") as out:
            out.write(text)
        os.chmod(os.path.dirname(path), 0o755)
        return path


def all_of(place, upstream, binaries, suite=None):
    """The agent, or several builds of it, and the peers, in front of one Unix socket.

    suite: a second haproxy that may speak this TLS 1.3 suite only.
    """
    found = [agent(place, upstream, binary, "agent" if not turn else f"agent {turn + 1}")
             for turn, binary in enumerate(binaries)]
    found.append(haproxy(place, upstream))
    if suite:
        found.append(haproxy(place, upstream, suite))
    found += [peer(place, upstream) for peer in (nginx, stunnel, hitch)]
    return [one for one in found if one]


def version_of(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    return (done.stdout + done.stderr).splitlines()[0]


def most_connections():
    """That a proxy can have with two descriptors each."""
    return min(12000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] // 2 - 50)


def agent(place, upstream, binary, name="agent", workers=1):
    env = {"PATH": os.environ["PATH"], "HOME": place.directory, "HAVEN_AGENT_ADMIN_PASSWORD": HASH}
    port = free_port()
    command = [binary, "--listen", f"127.0.0.1:{port}", "--docker", f"unix://{upstream}", "--workers", str(workers),
               "--tls-cert", place.cert, "--tls-key", place.key, "--timeout", "3600", "--idle-timeout", "3600",
               "--max-connections-per-address", "100000"]  # all come from one
    return Server(name, version_of(binary, "--version").split()[-1], command, port, env)


def haproxy(place, upstream, suite=None):
    if not shutil.which("haproxy"):
        return None
    port = free_port()
    config = place.file("haproxy.cfg", f"""
global
    nbthread 1
    maxconn {most_connections()}
    {f"ssl-default-bind-ciphersuites {suite}" if suite else ""}
defaults
    mode http
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    timeout tunnel 1h
    timeout http-request 1h
    timeout http-keep-alive 1h
userlist users
    user {USER} insecure-password "{PASSWORD}"
frontend tls
    bind 127.0.0.1:{port} ssl crt {place.both} alpn http/1.1
    http-request auth realm bench unless {{ http_auth(users) }}
    http-request del-header Authorization
    default_backend docker
backend docker
    server docker unix@{upstream}
""")
    version = version_of("haproxy", "-v").split(" ")[2]
    return Server("haproxy, the agent's suite" if suite else "haproxy", version, ["haproxy", "-db", "-f", config], port)


def nginx(place, upstream):
    if not shutil.which("nginx"):
        return None
    port = free_port()
    users = place.file("htpasswd", f"{USER}:{{PLAIN}}{PASSWORD}\n")
    own = os.path.dirname(users)
    temporary = "".join(f"{kind}_temp_path {own}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    config = place.file("nginx.conf", f"""
daemon off; worker_processes 1; {"user root;" if os.getuid() == 0 else ""} pid {own}/nginx.pid; error_log /dev/null;
events {{ worker_connections 32768; }}
http {{
    access_log off; {temporary}
    keepalive_timeout 1h; keepalive_requests 1000000000; client_max_body_size 0;
    map $http_upgrade $connection_upstream {{ default upgrade; "" ""; }}
    upstream docker {{ server unix:{upstream}; keepalive 64; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{port} ssl;
        ssl_certificate {place.cert}; ssl_certificate_key {place.key}; ssl_protocols TLSv1.2 TLSv1.3;
        auth_basic bench; auth_basic_user_file {users};
        location / {{
            proxy_pass http://docker; proxy_http_version 1.1; proxy_read_timeout 1h;
            proxy_buffering off; proxy_request_buffering off; proxy_buffer_size 16k; proxy_buffers 8 16k;
            proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upstream;
            proxy_set_header Authorization "";
        }}
    }}
}}
""")
    version = version_of("nginx", "-v").split("/")[1]
    return Server("nginx", version, ["nginx", "-c", config, "-e", "/dev/null"], port)


def stunnel(place, upstream):
    """A thread for each connection: it has no other way."""
    if not shutil.which("stunnel"):
        return None
    port = free_port()
    config = place.file("stunnel.conf", f"""
foreground = yes
debug = emerg
output = /dev/null
syslog = no
pid =
socket = l:TCP_NODELAY=1
[docker]
accept = 127.0.0.1:{port}
connect = {upstream}
cert = {place.cert}
key = {place.key}
TIMEOUTidle = 3600
""")
    said = subprocess.run(["stunnel", "-version"], capture_output=True, text=True).stderr
    version = next((line.split()[1] for line in said.splitlines() if line.startswith("stunnel ")), "?")
    return Server("stunnel", version, ["stunnel", config], port, tls_only=True)


def hitch(place, upstream):
    if not shutil.which("hitch"):
        return None
    port = free_port()
    config = place.file("hitch.conf", f"""
frontend = "[127.0.0.1]:{port}"
backend = "{upstream}"
pem-file = "{place.both}"
workers = 1
backlog = 1024
daemon = off
ocsp-dir = ""
syslog = off
{'user = "root"' if os.getuid() == 0 else ""}
""")
    version = version_of("hitch", "--version").split()[-1]
    return Server("hitch", version, ["hitch", f"--config={config}"], port, tls_only=True)


def node_exporter():
    """With the collectors of what the agent's sample reads, and no others."""
    if not shutil.which("prometheus-node-exporter"):
        return None
    port = free_port()
    command = ["prometheus-node-exporter", f"--web.listen-address=127.0.0.1:{port}", "--web.disable-exporter-metrics",
               "--collector.disable-defaults"] + [f"--collector.{name}" for name in ("cpu", "meminfo", "filesystem", "netdev")]
    version = version_of("prometheus-node-exporter", "--version").split()[2]
    return Server("node-exporter", version, command, port, {**os.environ, "GOMAXPROCS": "1"})

