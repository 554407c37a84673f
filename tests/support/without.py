"""Runs a program from which the kernel hides system calls: without.py ERRNO NUMBER[,NUMBER…] PROGRAM [ARGUMENT…]

A filter (seccomp(2)) answers each NUMBER with ERRNO, as a kernel does that lacks them.
"""

import ctypes
import os
import struct
import sys

PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, ERROR = 0x7FFF0000, 0x00050000

error, numbers, program = int(sys.argv[1]), sys.argv[2].split(","), sys.argv[3:]


def instruction(code, value, then=0, otherwise=0):
    return struct.pack("=HBBI", code, then, otherwise, value)


steps = [instruction(LOAD, 0)]
for number in numbers:
    steps += [instruction(JUMP_IF_EQUAL, int(number), 0, 1), instruction(RETURN, ERROR | error)]
steps.append(instruction(RETURN, ALLOW))
code = ctypes.create_string_buffer(b"".join(steps))
header = struct.pack("@HP", len(steps), ctypes.addressof(code))

libc = ctypes.CDLL(None, use_errno=True)
for arguments in ((PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), (PR_SET_SECCOMP, SECCOMP_MODE_FILTER, header)):
    if libc.prctl(*arguments) != 0:
        sys.exit(os.strerror(ctypes.get_errno()))
os.execv(program[0], program)
