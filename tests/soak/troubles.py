"""What happens to the agent from the other sides: Docker restarts, settings change, the master has its moods."""

import random
import signal
import threading
import time

from master import MODES
from wire import Unexpected

# Seconds between two of them, from and to.
RELOADS = (3, 8)
RESTARTS = (45, 75)
MOODS = (2, 6)
DOWN = (0.2, 3)  # seconds without Docker


class Troubles:
    """Three threads, from `start` to `stop`. `away` has the stretches of time in which Docker was not to be relied on."""

    def __init__(self, seed, agent, engine, master):
        self.agent, self.engine, self.master = agent, engine, master
        self.random = random.Random(f"{seed}/troubles")
        self.counts, self.failures, self.away = {}, [], []
        self.over, self.threads = threading.Event(), []

    def start(self):
        self.over.clear()
        works = ((self.reload, RELOADS), (self.restart, RESTARTS), (self.mood, MOODS))
        self.threads = [threading.Thread(target=self.loop, args=work, daemon=True) for work in works]
        for thread in self.threads:
            thread.start()

    def stop(self):
        """Everything is well again when this returns."""
        self.over.set()
        for thread in self.threads:
            thread.join()
        self.master.mode = "good"

    def loop(self, work, seconds):
        chance = random.Random(self.random.random())
        while not self.over.wait(chance.uniform(*seconds)):
            try:
                work(chance)
            except Exception as error:  # told at the end, with the others
                self.failures.append(f"{work.__name__}: {type(error).__name__}: {error}")

    def count(self, what):
        self.counts[what] = self.counts.get(what, 0) + 1

    def mood(self, chance):
        self.master.mode = chance.choice(MODES)
        self.count(f"master {self.master.mode}")

    def restart(self, chance):
        began = time.monotonic()
        self.away.append((began, float("inf")))
        self.engine.stop()
        try:
            time.sleep(chance.uniform(*DOWN))
            door = self.agent.door(certified=True)
            with door.open() as stream:
                stream.ask(door, "GET", "/_ping").good(502)
        finally:
            self.engine.revive()
            self.away[-1] = (began, time.monotonic())
        door.ask("GET", "/_ping")
        self.count("Docker restarted")

    def was_away(self, began, ended):
        return any(start <= ended and began <= end for start, end in self.away)

    def reload(self, chance):
        chance.choice((self.hang_up, self.rotate, self.rotate, self.turn_guest, self.turn_guest, self.turn_level, self.break_users))(chance)

    def take(self, told):
        """Sends the signal and waits for the line about it."""
        before = told()
        self.agent.signal(signal.SIGHUP)
        if not self.agent.log.wait(lambda: told() > before):
            raise Unexpected("no word of a reload: " + " / ".join(self.agent.log.tail))

    def taken(self):
        self.take(lambda: self.agent.log.reloads)

    def hang_up(self, _):
        self.taken()
        self.count("reload, nothing changed")

    def rotate(self, chance):
        """A new certificate, with a signal or found by itself."""
        before = self.shown()
        self.agent.files.rotate()
        if chance.random() < 0.5:
            self.taken()
        if not self.agent.log.wait(lambda: self.shown() != before):
            raise Unexpected("a new certificate is not shown")
        self.count("certificate rotated")

    def shown(self):
        with self.agent.door(certified=True).open() as stream:
            return stream.tls.getpeercert()["serialNumber"]

    def turn_guest(self, chance):
        """The guest goes, or comes back; the policy names them all the time."""
        files = self.agent.files
        address = f"127.0.{chance.randint(20, 250)}.{chance.randint(1, 250)}"
        door = self.agent.door(user="guest", source=address)
        with door.open() as stream:
            stream.ask(door, "GET", "/_ping").good(*self.guest_gets())
            files.guest = not files.guest
            files.users()
            self.taken()
            stream.ask(door, "GET", "/_ping").good(*self.guest_gets())
        self.count("user removed or added")

    def guest_gets(self):
        """Docker may be away."""
        return (200, 502, 504) if self.agent.files.guest else (401,)

    def turn_level(self, _):
        self.agent.files.level = 3 - self.agent.files.level
        self.agent.files.settings()
        self.taken()
        self.count("log level changed")

    def break_users(self, _):
        self.agent.files.users(broken=True)
        self.take(lambda: self.agent.log.kept)
        self.agent.files.users()
        self.taken()
        self.count("reload refused, and mended")
