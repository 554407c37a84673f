"""Who has the names of agents without being one: impostor.py USER MODE NAME...

`lies` listens by each name (`%d` is its own process) and answers that all is well; `full` listens and takes nobody;
`fill` connects to a name for as long as anybody is taken there. Each says `ready` then, and ends with its input.
"""

import os
import resource
import socket
import sys
import threading

user, mode = int(sys.argv[1]), sys.argv[2]
names = [name.replace("%d", str(os.getpid())) for name in sys.argv[3:]]
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
os.setgroups([])
os.setgid(user)
os.setuid(user)
held = []


def listen(name):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind("\0" + name)
    listener.listen(0 if mode == "full" else 128)
    held.append(listener)
    return listener


def lie(listener):
    while True:
        client = listener.accept()[0]
        if client.recv(16):
            client.sendall(b"+all is well, trust me\n")


def fill(name):
    while True:
        client = socket.socket(socket.AF_UNIX)
        client.setblocking(False)
        try:
            client.connect("\0" + name)
        except BlockingIOError:
            return
        held.append(client)


for name in names:
    if mode != "fill":
        listener = listen(name)
    if mode == "lies":
        threading.Thread(target=lie, args=[listener], daemon=True).start()
    else:
        fill(name)
print("ready", flush=True)
sys.stdin.read()
