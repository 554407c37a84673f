"""scripts/instructions: how many instructions the agent runs for one request, one MiB and one handshake.

The binary runs in valgrind's callgrind and a client talks to it in lock-step; each figure is the difference of two runs
that differ in one number, so that the start and the end do not count.
"""

import argparse
import os
import re
import sys

import client
import peers
import servers
from scratch import Scratch

FIGURES = os.path.join(os.path.dirname(__file__), "instructions.txt")
BOUND = 1.05  # times the committed figure
UPDATE = 0.95  # below this the committed figure is too easy
# valgrind's CPU has what the machine's has, but nothing newer than AVX2, and ring chooses its code by that.
FEATURE = "avx2"

# A run has these many of each; the other run of a measure has more of one.
FEW = {"requests": 300, "length": 0, "chunked": 0, "handshakes": 0}
# Figure, what there is more of, how many more, and what one is.
MEASURES = [
    ("request", "requests", 900, "an authenticated keep-alive GET of 1 KiB"),
    ("length", "length", 24, "a MiB down, by Content-Length"),
    ("chunked", "chunked", 24, "a MiB down, in chunks of 32 KiB"),
    ("handshake", "handshakes", 40, "a TLS 1.3 connection with a full handshake, P-256, opened and closed"),
]


def main():
    parser = argparse.ArgumentParser(prog="scripts/instructions", description="Instructions of the hot path, against the committed figures.")
    parser.add_argument("--write", action="store_true", help="make this build's figures the committed ones")
    for own in ("--agent", "--upstream"):
        parser.add_argument(own, required=True, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not has_feature():
        print(f"SKIPPED: this machine's CPU has no {FEATURE}, the figures are of one that has", file=sys.stderr)
        return
    with Scratch("haven-instructions-") as scratch:
        counted = count_all(options, peers.Place(scratch.directory))
    if options.write:
        write(counted)
    else:
        compare(counted, read())


def has_feature():
    with open("/proc/cpuinfo") as text:
        return re.search(rf"^flags\b.*\b{FEATURE}\b", text.read(), re.M) is not None


def count_all(options, place):
    """Instructions of one, by figure."""
    few = run(options, place, FEW)
    return {figure: round((run(options, place, {**FEW, part: FEW[part] + more}) - few) / more)
            for figure, part, more, _ in MEASURES}


def run(options, place, script):
    """Instructions of a whole run: the start, the script, the end."""
    output = f"{place.directory}/callgrind.out"
    upstream = servers.Upstream(options.upstream, place.directory)
    try:
        agent = peers.agent(place, upstream.path, options.agent)
        # The sandbox would bind valgrind, too, which has a file to write.
        agent.command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={output}", *agent.command, "--sandbox", "off"]
        agent.patience = 60  # seconds: valgrind is slow to start
        try:
            agent.start()
            play(agent.port, script)
        finally:
            agent.stop()
    finally:
        upstream.stop()
    with open(output) as text:
        return int(re.search(r"^(?:summary|totals): (\d+)", text.read(), re.M)[1])


def play(port, script):
    with client.connect(port) as one:
        for _ in range(script["requests"]):
            client.ask(one)
        for coding in ("length", "chunked"):
            if script[coding]:
                client.ask(one, f"/{coding}/{script[coding] << 20}", script[coding] << 20)
    for _ in range(script["handshakes"]):
        client.connect(port).close()


def compare(counted, committed):
    """Prints each figure beside the committed one; the exit status is 1 where one is too high."""
    worse = []
    for figure, _, _, meaning in MEASURES:
        ratio = counted[figure] / committed[figure]
        verdict = "too many" if ratio > BOUND else "fewer: commit them" if ratio < UPDATE else "ok"
        print(f"{figure:10} {counted[figure]:>10,} instructions, {committed[figure]:>10,} committed, {100 * (ratio - 1):+6.1f} %: {verdict} ({meaning})")
        if ratio > BOUND:
            worse.append(figure)
    if any(counted[figure] < UPDATE * committed[figure] for figure in counted):
        print(f"more than {100 * (1 - UPDATE):.0f} % fewer, so a later rise would not be seen: scripts/instructions --write")
    if worse:
        sys.exit(f"error: {', '.join(worse)}: more than {100 * (BOUND - 1):.0f} % above tests/bench/instructions.txt; "
                 "if that is what the change is worth, scripts/instructions --write and say why in the commit")


def read():
    """Figures by name: the lines that are no comments."""
    with open(FIGURES) as text:
        return {line.split()[0]: int(line.split()[1]) for line in text if not line.startswith("#")}


def write(counted):
    """Replaces the figures and the line of how they were made; other comments stay."""
    with open(FIGURES) as text:
        comments = [line for line in text if line.startswith("#") and not line.startswith("# Made with ")]
    version = peers.version_of("valgrind", "--version")
    comments.append(f"# Made with {version} on a CPU with {FEATURE}.\n")
    with open(FIGURES, "w") as out:
        out.writelines(comments)
        out.writelines(f"{figure} {count}\n" for figure, count in counted.items())
    print("".join(f"{figure:10} {count:>10,}\n" for figure, count in counted.items()) + "written to tests/bench/instructions.txt")


if __name__ == "__main__":
    main()
