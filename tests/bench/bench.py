"""scripts/bench: what the agent costs beside its peers, doing the same work in the same run."""

import argparse
import os
import resource
import sys
import time
import traceback
from dataclasses import dataclass

import client
import load
import machine
import peers
import servers
import targets
from sections import bulk, docker, growth, handshakes, idle, requests, sample, start, workers
from scratch import Scratch
from table import Table

SECTIONS = {"start": start, "requests": requests, "handshakes": handshakes, "bulk": bulk, "docker": docker,
            "sample": sample, "workers": workers, "growth": growth, "idle": idle}
RESULTS = os.path.join(os.path.dirname(__file__), "RESULTS.md")

HOW = """\
How to read it:

- One worker or thread each, in front of the same upstream on a Unix socket; servers take turns, A B C A B C; medians (least–most).
- CPU is that of the proxy's own processes, exact, from the scheduler: the client and the upstream beside it distort little. The
  **user part** is its share of the kernel's ticks over all rounds together, so it has no range; with --quick a handshake's
  has some twenty ticks and is coarse. Rates and latencies are those of all that shares the machine's cores: client,
  proxy and upstream.
- Ratios are agent / peer, of medians. Below 1 the agent needs less; where it says "times" more is better, and above 1 the agent
  does more. The best peer of a row is named behind its ratio.
- "TLS only" peers pass bytes on: they neither read HTTP nor check a password. They are shown beside requests, but not
  called the best peer there. stunnel has a thread for each connection, it knows no other way.
- The agent's password is a bcrypt hash, verified once and remembered; haproxy and nginx compare plain text.
- exec, measured apart: through a plain forwarder from TCP to the socket (`socat TCP-LISTEN:… UNIX-CONNECT:/var/run/docker.sock`,
  no TLS, no HTTP) the same round trip took 69 µs where the socket took 42 (7 rounds of 400 lines in turns, on a quieter
  machine): 1.64. Two more wake-ups, there and back, are what a hop costs. The benchmark's own TLS (Python's ssl) adds 3.5 µs to a line."""


@dataclass
class Plan:
    """How much is done. Seconds are wrk's, bulk is MiB, levels and growth are numbers of idle connections."""
    rounds: int
    seconds: int
    handshakes: int
    bulk: int
    levels: list
    growth: int
    growth_of_peers: bool
    echoes: int
    samples: int


def plan(quick):
    if quick:
        return Plan(3, 1, 150, 96, [1000], 1000, False, 200, 200)
    # Each of the agent's connections has two descriptors at times, and it keeps half of them for that.
    most = min(10000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] // 2 - 100)
    return Plan(7, 3, 400, 512, [1000, 5000, most], most, True, 500, 500)


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench", description="The agent beside its peers, as a markdown table.")
    parser.add_argument("--quick", action="store_true", help="two minutes: fewer and shorter rounds, 1,000 idle connections")
    parser.add_argument("--only", default="", help="of " + ",".join(SECTIONS))
    parser.add_argument("--save", action="store_true", help="write tests/bench/RESULTS.md as well")
    for own in ("--upstream", "--sample"):
        parser.add_argument(own, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--agent", action="append", required=True, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.only = options.only.split(",") if options.only else list(SECTIONS)
    unknown = set(options.only) - set(SECTIONS)
    if unknown:
        parser.error(f"no section {', '.join(unknown)}; there are: {', '.join(SECTIONS)}")
    return options


def main():
    options = arguments()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with Scratch("haven-bench-") as scratch:
        upstream = servers.Upstream(options.upstream, scratch.directory)
        scratch.callback(upstream.stop)
        run = Run(options, upstream.path, peers.Place(scratch.directory))
        scratch.callback(run.stop)
        run.all()
    sys.exit(1 if run.failed else 0)


class Run:
    """One run: what is measured, how much, and the table that it makes. Sections get it."""

    def __init__(self, options, upstream, place):
        self.options, self.upstream, self.place = options, upstream, place
        self.plan = plan(options.quick)
        self.rounds = self.plan.rounds
        self.binaries, self.sample = options.agent, options.sample
        self.suite, self.servers, self.skipped, self.failed = None, [], [], False

    def all(self):
        began = time.monotonic()
        suites = self.prepare()
        agents = [one.name for one in self.servers if one.name.split()[0] == "agent"]
        self.table = Table([one.name for one in self.servers], agents, [one.name for one in self.servers if one.tls_only])
        self.head(suites)
        for name in self.options.only:
            print(f"== {name} ({time.monotonic() - began:.0f} s)", file=sys.stderr, flush=True)
            try:
                SECTIONS[name].measure(self)
            except Exception:  # one section's failure is not the others'
                traceback.print_exc()
                self.failed = True
                self.skip(f"{name}: failed")
        if self.skipped:
            self.table.say("\nSkipped: " + "; ".join(self.skipped) + ".")
        targets.judge(self.table, self.plan)
        self.table.say()
        self.table.say(HOW)
        print(f"== done in {time.monotonic() - began:.0f} s", file=sys.stderr)
        if self.options.save:
            with open(RESULTS, "w") as out:
                out.write("\n".join(self.table.lines) + "\n")

    def prepare(self):
        """Starts the servers. If haproxy and the agent choose different
        TLS suites, another haproxy that has the agent's. Returns the suites by server."""
        suites = {}
        def start(candidates):
            for one in candidates:
                self.servers.append(one)
                one.start()
                suites[one.name] = client.suite(one)
        start(peers.all_of(self.place, self.upstream, self.binaries))
        if suites.get("haproxy", suites["agent"]) != suites["agent"]:
            self.suite = suites["agent"]
            start([peers.haproxy(self.place, self.upstream, self.suite)])
        return suites

    def head(self, suites):
        command = "scripts/bench" + " --quick" * self.options.quick
        self.table.say("# Measured\n")
        self.table.say(f"`{command}`, {self.rounds} rounds.\n")
        for line in machine.descriptions(self.servers, self.binaries):
            self.table.say(line)
        chosen = {}
        for name, suite in suites.items():
            chosen.setdefault(suite, []).append(name)
        self.table.say("- TLS 1.3 suites chosen, the client offering OpenSSL's defaults: "
                       + "; ".join(f"{suite} by {', '.join(names)}" for suite, names in chosen.items()))
        missing = [name for name in ("haproxy", "nginx", "stunnel", "hitch") if name not in suites]
        if missing:
            self.table.say(f"- not installed: {', '.join(missing)}")
        self.table.say()

    def skip(self, what):
        """Said at once, and again below the table."""
        print(f"SKIPPED: {what}", file=sys.stderr, flush=True)
        self.skipped.append(what)

    def another(self, names, upstream=None):
        """Another set of servers, not started."""
        made = peers.all_of(self.place, upstream or self.upstream, self.binaries, self.suite)
        return [one for one in made if one.name in names]

    def refresh(self):
        """Starts the servers anew and asks each once: the kernel tells user from system by what a process has
        done in all its life, so a section wants processes that have done nothing else."""
        for one in self.servers:
            one.restart()
            client.warm(one)

    def alternate(self, measure, servers=None):
        """`measure(server)` in turns, A B C A B C; a list of results by server's name."""
        servers = servers or self.servers
        samples = {one.name: [] for one in servers}
        for _ in range(self.rounds):
            for one in servers:
                samples[one.name].append(measure(one))
        return samples

    def cpu_rows(self, key, measure, windows, scale, digits=1, same_work=True):
        """CPU of one, and its user part, of windows by server's name."""
        samples = {name: [scale * one for one in load.per_count(rounds)] for name, rounds in windows.items()}
        self.table.row(key, measure, samples, digits, same_work=same_work)
        samples = {name: [scale * load.user_part(rounds)] for name, rounds in windows.items()}
        self.table.row(f"{key} user", "… its user part", samples, digits, same_work=same_work)

    def stop(self):
        for one in self.servers:
            one.stop()


if __name__ == "__main__":
    main()
