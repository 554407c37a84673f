"""A sample of the node's metrics: CPU, memory, disks, network."""

import http.client
import os
import re
import shutil
import subprocess

import peers

PYTHON = "/usr/bin/python3"  # Debian's, for which python3-psutil is
PSUTIL = """
import sys, time, psutil
def sample():
    psutil.cpu_percent(); psutil.virtual_memory(); psutil.net_io_counters(pernic=True)
    for disk in psutil.disk_partitions():
        psutil.disk_usage(disk.mountpoint)
for _ in range(int(sys.argv[1]) + 1):
    sample()
"""


def measure(run):
    """CPU of a whole process that takes many samples in a loop, less one that takes few, by sample: the agent's
    collector, psutil with the same sources, and node-exporter with the same collectors, a scrape. Allocations are
    those that valgrind counts."""
    few, many = 10, run.plan.samples
    def cost(command, repeat=1):
        """Microseconds a sample."""
        more = many * repeat
        return (cpu([*command, str(more)]) - cpu([*command, str(few)])) / (more - few) * 1e6
    own, psutil, exporter = [], [], []
    has_psutil = subprocess.run([PYTHON, "-c", "import psutil"], stderr=subprocess.DEVNULL).returncode == 0
    if not has_psutil:
        run.skip(f"sample: {PYTHON} has no psutil")
    server = peers.node_exporter()
    if server:
        server.start()
    else:
        run.skip("sample: no prometheus-node-exporter")
    try:
        for _ in range(run.rounds):
            own.append(cost([run.sample], repeat=20))
            if has_psutil:
                psutil.append(cost([PYTHON, "-c", PSUTIL]))
            if server:
                exporter.append(scrape(server, many) * 1e6)
    finally:
        if server:
            server.stop()
    beside = {"psutil": psutil, f"node-exporter {server.version}" if server else "": exporter}
    run.table.row("sample", "CPU of a metrics sample, µs", {"agent": own}, beside={name: of for name, of in beside.items() if of})
    allocations(run, few)


def cpu(command):
    """CPU seconds of a whole process."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command[0]} ended with {process.returncode}")
    return used.ru_utime + used.ru_stime


def scrape(server, count):
    """CPU seconds of a scrape, on one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    before = server.usage()
    for _ in range(count):
        connection.request("GET", "/metrics")
        connection.getresponse().read()
    connection.close()
    return (server.usage() - before).seconds / count


def allocations(run, few):
    if not shutil.which("valgrind"):
        run.skip("allocations of a sample: no valgrind")
        return
    (blocks, size), (more_blocks, more_size) = heap(run.sample, few), heap(run.sample, 2 * few)
    run.table.row("allocations", "allocations of a metrics sample", {"agent": [(more_blocks - blocks) / few]})
    run.table.row("allocated", "… their bytes", {"agent": [(more_size - size) / few]}, 0)


def heap(program, count):
    """How many blocks, and bytes, a process has allocated from its start to its end."""
    done = subprocess.run(["valgrind", "--leak-check=no", program, str(count)], capture_output=True, text=True, check=True)
    found = re.search(r"total heap usage: ([\d,]+) allocs, [\d,]+ frees, ([\d,]+) bytes", done.stderr)
    return tuple(int(number.replace(",", "")) for number in found.groups())
