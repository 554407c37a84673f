"""Processes that hold idle connections, one process a server: descriptors are counted by process.

Run as a program, with a port: opens as many authenticated connections as each line of standard input says, and
closes all at its end.
"""

import subprocess
import sys

import client


class Holder:
    """Idle connections to one server, until `close`."""

    def __init__(self, server):
        self.process = subprocess.Popen([sys.executable, __file__, str(server.port)],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask_for(self, count):
        self.process.stdin.write(f"{count}\n")
        self.process.stdin.flush()

    def wait(self):
        if not self.process.stdout.readline():
            raise RuntimeError("connections could not be opened")

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


def open_all(holders, count):
    """`count` more on each, side by side."""
    for holder in holders:
        holder.ask_for(count)
    for holder in holders:
        holder.wait()


def main():
    port, held = int(sys.argv[1]), []
    for line in sys.stdin:
        for _ in range(int(line)):
            held.append(client.connect(port))
            client.ask(held[-1])
        print(len(held), flush=True)


if __name__ == "__main__":
    main()
