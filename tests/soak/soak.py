"""scripts/soak: a real agent in front of a real Docker under mixed load, with all that happens to it in a year, in minutes.

What must hold: no byte is lost, nothing is cut but by those who cut on purpose and by Docker's restarts, memory and descriptors
stay flat, threads are as many as at the start, the log has no ERROR that was not provoked, and the agent ends when it is told to.
"""

import argparse
import os
import random
import socket
import statistics
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

sys.path.append(os.path.join(os.path.dirname(__file__), "..", "bench"))

import engine as engines
from agent import Agent, Files
from master import Master
from operations import SLOW, WEIGHTS, Client
from scratch import Scratch
from troubles import Troubles

CLIENTS = 10
PAUSE = 0.15  # seconds at most between two operations of a client
CROWD = 400  # idle clients at once, before all else
STALLED = 40  # and before them clients that do not read
WARM_UP = (20, 120)  # seconds: at least, and at most; a fifth of the time between them
PARTS = 3  # of the load after that, with a rest after each
SETTLE = 14  # seconds without load: connections to Docker are kept for 10
QUIET = 10  # samples, one a second

# Bounds, in KiB, of anonymous memory: what is shown of the program's file depends on who else runs it, and on the page cache.
# Under load the medians of the first and the last third of the samples are compared, before and after it those of an
# agent that does nothing. What each of its two event loops keeps for its next clients is there before (see `crowd`): blocks
# of 512 KiB (`MOST_SPARE` in src/sys/heap.rs) and buffers of 720 KiB (`POOL_LIMIT` in src/buf.rs). The rest is what blocks
# that come and go make of musl's groups of blocks.
LOADED_GROWTH = 1024
QUIET_GROWTH = 512
EXTRA_DESCRIPTORS = 0
# minreq does each request in a thread of its own.
PASSING_THREADS = 1
SLICES = 12  # of the time under load, for the table
SHOWN = 20  # failures


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__.split("\n")[0])
    parser.add_argument("minutes", type=float, help="how long the load lasts")
    parser.add_argument("--seed", type=int, default=None, help="of a run that is to be repeated; times differ all the same")
    parser.add_argument("--binary", required=True, help=argparse.SUPPRESS)
    return parser.parse_args()


def main():
    options = arguments()
    problem = engines.missing()
    if problem:
        print(f"SKIPPED: soak: {problem}")
        return 0
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(1 << 32)
    print(f"soak: {options.minutes:g} minutes, --seed {seed}, {options.binary}", flush=True)
    with Scratch("haven-soak-") as scratch:
        os.mkdir(f"{scratch.directory}/engine")
        engine = engines.Engine(f"{scratch.directory}/engine")
        scratch.callback(engine.remove)
        engine.start()
        engine.prepare()
        master = Master()
        files = Files(f"{scratch.directory}/agent", options.binary, engine.socket, master.port)
        agent = Agent(options.binary, files)
        scratch.callback(agent.kill)
        soak = Soak(seed, agent, engine, master)
        # First of all: nobody starts an engine again that is being removed.
        scratch.callback(soak.troubles.stop)
        soak.run(options.minutes * 60)
        soak.tell()
        return 1 if soak.problems else 0


class Tally:
    """Of one operation."""

    def __init__(self):
        self.done, self.excused, self.up, self.down, self.seconds = 0, 0, 0, 0, []


class Soak:
    def __init__(self, seed, agent, engine, master):
        self.seed, self.agent, self.master = seed, agent, master
        self.troubles = Troubles(seed, agent, engine, master)
        self.tallies = {work: Tally() for work in WEIGHTS}
        self.lock = threading.Lock()
        self.problems, self.failures, self.loaded, self.facts = [], 0, [], []
        self.began = time.monotonic()

    def run(self, seconds):
        warm_up = min(max(seconds / 5, WARM_UP[0]), WARM_UP[1])
        self.crowd()
        self.load("warm-up", warm_up, sampled=False)
        rests = [self.quiet()]
        for part in range(PARTS):
            self.load(f"load-{part + 1}", max(seconds - warm_up, WARM_UP[0]) / PARTS, sampled=True)
            rests.append(self.quiet())
        if self.agent.is_alive():
            self.judge(rests)
        status = self.agent.stop()
        if status != 0:
            self.problem(f"the agent ended with status {status}")

    def crowd(self):
        """Fills what event loops keep to use again: it would else come in by and by, and look like a leak."""
        door = self.agent.door(certified=True)

        def stalled(_):
            stream = door.open()
            stream.tcp.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SLOW)
            stream.begin(door, "GET", f"/containers/{engines.SLEEPER}/export").good(200)
            return stream

        def idle(_):
            stream = door.open()
            stream.ask(door, "GET", "/_ping").good(200)
            return stream

        for come, count in ((stalled, STALLED), (idle, CROWD)):
            with ThreadPoolExecutor(CLIENTS) as pool:
                crowd = list(pool.map(come, range(count)))
            for stream in crowd:
                stream.reset()

    def load(self, name, seconds, sampled):
        print(f"soak: {name}, {seconds:.0f} s", flush=True)
        over = threading.Event()
        self.troubles.start()
        with ThreadPoolExecutor(CLIENTS + 1) as pool:
            works = [pool.submit(self.client, number, name, over) for number in range(CLIENTS)]
            works.append(pool.submit(self.sample, over, sampled))
            try:
                end = time.monotonic() + seconds
                while time.monotonic() < end and self.agent.is_alive():
                    time.sleep(0.5)
            finally:
                over.set()
            for work in works:
                work.result()
        self.troubles.stop()
        if not self.agent.is_alive():
            self.problem(f"the agent ended under load, with status {self.agent.process.returncode}")

    def client(self, number, phase, over):
        client = Client(f"{phase}-{number}", self.seed, self.agent)
        works, weights = list(WEIGHTS), list(WEIGHTS.values())
        while not over.is_set():
            work = client.random.choices(works, weights)[0]
            self.do(client, work)
            over.wait(client.random.random() * PAUSE)

    def do(self, client, work):
        began, tally = time.monotonic(), self.tallies[work]
        try:
            up, down = work(client)
        except Exception as error:  # whatever it is: told at the end
            with self.lock:
                if self.troubles.was_away(began, time.monotonic()):
                    tally.excused += 1
                else:
                    self.fail(f"{work.__name__} after {time.monotonic() - began:.1f} s: {type(error).__name__}: {error}")
            return
        with self.lock:
            tally.done += 1
            tally.up += up
            tally.down += down
            tally.seconds.append(time.monotonic() - began)

    def fail(self, text):
        self.failures += 1
        if self.failures <= SHOWN:
            self.problem(f"at {time.monotonic() - self.began:.0f} s: {text}")

    def problem(self, text):
        print(f"soak: FAILED: {text}", flush=True)
        self.problems.append(text)

    def sample(self, over, kept):
        while not over.wait(1):
            if not self.agent.is_alive():
                return
            sample = self.agent.sample(self.began)
            if kept:
                self.loaded.append(sample)

    def quiet(self):
        """Samples of an agent that has nothing to do but to register."""
        time.sleep(SETTLE)
        samples = []
        for _ in range(QUIET):
            time.sleep(1)
            samples.append(self.agent.sample(self.began))
        return samples

    def judge(self, rests):
        before, after = rests[0], rests[-1]
        third = max(len(self.loaded) // 3, 1)
        first, last = self.loaded[:third], self.loaded[-third:]
        self.flat("memory under load", middle(first, "anonymous"), middle(last, "anonymous"), LOADED_GROWTH, "KiB")
        self.flat("memory at rest", middle(before, "anonymous"), middle(after, "anonymous"), QUIET_GROWTH, "KiB")
        self.flat("descriptors at rest", least(before, "descriptors"), least(after, "descriptors"), EXTRA_DESCRIPTORS, "")
        names = sorted({tuple(sample.threads) for sample in before + after}, key=len)
        self.facts.append("threads at rest: " + ", ".join(names[0]))
        self.flat("threads", len(names[0]), most(self.loaded + after, "thread_count"), PASSING_THREADS, "")
        for field in ("anonymous", "pss"):
            at_rest = " ".join(f"{middle(rest, field):.0f}" for rest in rests)
            slices = [self.loaded[at * len(self.loaded) // SLICES:(at + 1) * len(self.loaded) // SLICES] for at in range(SLICES)]
            course = " ".join(f"{middle(part, field):.0f}" for part in slices if part)
            self.facts.append(f"{field}, KiB: {at_rest} at the rests; {course} in the course of the load")
        self.facts.append(f"at most under load: PSS {most(self.loaded, 'pss')} KiB, {most(self.loaded, 'descriptors')} descriptors")
        registered = self.master.answered["good"]
        if not self.agent.log.wait(lambda: self.master.answered["good"] > registered):
            self.problem("the node is not registered any more")
        for problem in self.troubles.failures + self.master.bad[:SHOWN] + self.agent.log.unexpected:
            self.problem(problem)

    def flat(self, what, before, after, bound, unit):
        self.facts.append(f"{what}: {before:.0f} → {after:.0f} {unit} (at most {bound} more)")
        if after > before + bound:
            self.problem(f"{what}: {before:.0f} → {after:.0f} {unit}")

    def tell(self):
        print(f"\n{'operation':16}{'done':>8}{'cut by restarts':>17}{'MiB up':>9}{'MiB down':>10}{'median s':>10}")
        for work, tally in self.tallies.items():
            seconds = statistics.median(tally.seconds) if tally.seconds else 0
            print(f"{work.__name__:16}{tally.done:8}{tally.excused:17}{tally.up / 2**20:9.1f}{tally.down / 2**20:10.1f}{seconds:10.3f}")
        print()
        for what, count in sorted(self.troubles.counts.items()):
            print(f"{what}: {count}")
        registrations = ", ".join(f"{mode} {count}" for mode, count in self.master.answered.items())
        log = self.agent.log
        print(f"reports to the master: {registrations}")
        print("log lines: " + ", ".join(f"{count} {level}" for level, count in log.levels.items()))
        print("\n".join(self.facts))
        print(f"soak: {self.failures} operations failed, {len(self.problems)} problems in all, --seed {self.seed}")


def middle(samples, field):
    return statistics.median(getattr(sample, field) for sample in samples)


def least(samples, field):
    return min(getattr(sample, field) for sample in samples)


def most(samples, field):
    return max(getattr(sample, field) for sample in samples)


if __name__ == "__main__":
    sys.exit(main())
