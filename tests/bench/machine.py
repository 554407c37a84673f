"""What a run was made on."""

import os
import platform
import ssl
import subprocess
import time


def descriptions(servers, binaries):
    versions = ", ".join(f"{one.name} {one.version}" for one in servers)
    sizes = ", ".join(f"{os.path.getsize(binary):,}" for binary in binaries)
    return [f"- {time.strftime('%Y-%m-%d')}, commit {commit()}, binary of {sizes} bytes",
            f"- {versions}; the client's {ssl.OPENSSL_VERSION}",
            f"- {cpu_model()}, {os.cpu_count()} cores, Linux {platform.release()}, {distribution()}, "
            f"load average at the start {os.getloadavg()[0]:.1f}"]


def commit():
    done = subprocess.run(["git", "describe", "--always", "--dirty", "--exclude=*"], capture_output=True, text=True)
    return done.stdout.strip() or "unknown"


def cpu_model():
    with open("/proc/cpuinfo") as lines:
        return next((line.split(": ")[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def distribution():
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return "unknown distribution"
