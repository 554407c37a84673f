"""Runs a command in a pseudo-terminal: terminal.py STEPS COMMAND [ARG...]

STEPS are lines, done in turn: `size ROWS COLUMNS` sets the terminal's size, `expect TEXT` waits until
the command has printed TEXT after what the last `expect` found, `send TEXT` types TEXT and Enter, `key HEX` types bytes.
All that the command prints goes to standard output; its exit status is ours.
"""

import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time

PATIENCE = 60
POKE = 0.3


def main(steps, command):
    steps = [line.strip().partition(" ")[::2] for line in steps.splitlines() if line.strip()]
    size = (24, 80)
    if steps and steps[0][0] == "size":
        size = tuple(map(int, steps.pop(0)[1].split()))
    child, terminal = pty.fork()
    if child == 0:
        # The size is set on this side as well: before the command can ask for it.
        resize(0, size)
        os.execvp(command[0], command)
    resize(terminal, size)
    printed, searched = b"", 0
    for verb, rest in steps:
        if verb == "size":
            resize(terminal, tuple(map(int, rest.split())))
        elif verb == "send":
            os.write(terminal, rest.encode() + b"\r")
        elif verb == "key":
            os.write(terminal, bytes.fromhex(rest))
        elif verb == "expect":
            end = time.monotonic() + PATIENCE
            wanted = rest.encode()
            while wanted not in printed[searched:]:
                more = read(terminal, min(end, time.monotonic() + POKE))
                if not more and time.monotonic() < end and is_open(terminal):
                    # The command may have been told of the new size before it listened for that.
                    os.kill(child, signal.SIGWINCH)
                elif not more:
                    sys.stdout.buffer.write(printed)
                    sys.stdout.buffer.flush()
                    os.kill(child, signal.SIGKILL)
                    sys.exit(f"terminal.py: no {rest!r}")
                printed += more
            searched = printed.index(wanted, searched) + len(wanted)
        else:
            sys.exit(f"terminal.py: what is {verb!r}?")
    end = time.monotonic() + PATIENCE
    while more := read(terminal, end):
        printed += more
    sys.stdout.buffer.write(printed)
    sys.stdout.buffer.flush()
    if time.monotonic() >= end:
        os.kill(child, signal.SIGKILL)
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def resize(terminal, size):
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))


def is_open(terminal):
    poll = select.poll()
    poll.register(terminal, 0)
    return not poll.poll(0)


def read(terminal, end):
    """What the command printed next; nothing at its end or when the time is over."""
    if not select.select([terminal], [], [], max(0, end - time.monotonic()))[0]:
        return b""
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux: EIO when the other side is closed
        return b""


main(sys.argv[1], sys.argv[2:])
