"""The targets of the agent's design, each judged by the medians of one run."""

from dataclasses import dataclass


@dataclass
class Target:
    """`key` is a row of the table. The figure is the agent's median, through that of `against` where there is one."""
    text: str
    key: str
    against: str
    bound: float
    at_least: bool = False
    unit: str = ""

    def figure(self, table):
        """None where it was not measured."""
        own = table.median(self.key, "agent")
        if own is None or not self.against:
            return own
        other = table.median(self.key, self.against)
        return own / other if other else None

    def met(self, figure):
        return figure >= self.bound if self.at_least else figure <= self.bound


def targets(plan):
    """`plan` says how many idle connections this run looks at: the design's 5,000 and 10,000, fewer with --quick."""
    held = next((level for level in plan.levels if level >= 5000), plan.levels[-1])
    return [
        Target("CPU per keep-alive request, 1 connection", "request 1", "haproxy", 0.66),
        Target("… its user part", "request 1 user", "haproxy", 0.40),
        Target("CPU per keep-alive request, 32 connections", "request 32", "haproxy", 0.66),
        Target("… its user part", "request 32 user", "haproxy", 0.40),
        Target(f"the same with {plan.growth:,} idle connections open", "growth", "without them", 1.10),
        Target("CPU per new TLS 1.3 connection, full handshake", "handshake full", "haproxy", 0.50),
        Target("… its user part", "handshake full user", "haproxy", 0.35),
        Target("CPU per GB down, by length", "down length", "haproxy", 0.62),
        Target("CPU per GB down, chunked", "down chunked", "haproxy", 0.62),
        Target("CPU per GB up, by length", "up length", "haproxy", 0.80),
        Target("CPU per GB up, chunked", "up chunked", "haproxy", 0.80),
        Target("exec, a line's round trip, p50", "exec", "the socket itself", 1.30),
        Target(f"PSS per idle connection at {held:,}", f"held {held}", "", 8, unit="KiB"),
        Target("of that given back 10 s after they close", "given back", "", 95, at_least=True, unit="%"),
        Target("RSS idle", "rss", "", 3e6 / 1024 / 1024, unit="MiB"),
        Target("start to listening", "start", "", 3, unit="ms"),
        Target("CPU of a metrics sample", "sample", "psutil", 0.20),
        Target("CPU per request, two workers evenly loaded", "two workers", "one worker", 1.10),
    ]


def judge(table, plan):
    """Prints the targets, what this run measured, and whether they are met."""
    table.say()
    table.say("| target | against | bound | measured | |")
    table.say("| --- | --- | --- | --- | --- |")
    for target in targets(plan):
        figure = target.figure(table)
        bound = f"{'≥' if target.at_least else '≤'} {target.bound:.4g} {target.unit}".rstrip()
        shown = "–" if figure is None else f"{figure:.2f} {target.unit}".rstrip()
        verdict = "not measured" if figure is None else "met" if target.met(figure) else "**not met**"
        table.say(f"| {target.text} | {target.against or '–'} | {bound} | {shown} | {verdict} |")
