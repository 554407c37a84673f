"""The table of results: a row a measure, a column a server, and what each row says of the agent."""

import statistics


class Table:
    """Markdown, printed row by row; medians stay for the targets.

    `columns` are names of servers, the agent's first. A ratio is the agent's median through the peer's.
    """

    def __init__(self, columns, agents, tls_only):
        self.columns, self.agents, self.tls_only = columns, agents, tls_only
        self.lines, self.medians, self.began = [], {}, False

    def say(self, text=""):
        """A line outside of the table."""
        self.lines.append(text)
        print(text, flush=True)

    def head(self):
        titles = [name + " (TLS only)" if name in self.tls_only else name for name in self.columns]
        self.say("| measure | " + " | ".join(titles) + " | / haproxy | / best peer |")
        self.say("| --- |" + " --- |" * (len(titles) + 2))
        self.began = True

    def row(self, key, measure, samples, digits=1, more=False, same_work=True, compare=True, beside=None):
        """One measure. `samples` has a list of numbers by server's name; a server may be missing.

        more: a higher number is better. same_work: the servers that do TLS only do all of this work too, so
        that one of them may be the best peer. compare: ratios mean something. beside: what else was measured, by name, and is no server.
        """
        if not self.began:
            self.head()
        beside = beside or {}
        self.medians[key] = {name: statistics.median(values) for name, values in {**samples, **beside}.items()}
        cells = [cell(samples[name], digits) if name in samples else "–" for name in self.columns]
        for name, values in beside.items():
            measure += f"; {name}: {cell(values, digits)} {self.ratio(key, name, more)}".rstrip()
        cells += [self.ratio(key, "haproxy", more) or "–", self.best(key, samples, more, same_work)] if compare else ["–", "–"]
        self.say(f"| {measure} | " + " | ".join(cells) + " |")

    def ratio(self, key, peer, more):
        """The agent's median through the other's; empty where there is none."""
        medians = self.medians[key]
        if "agent" not in medians or medians.get(peer, 0) <= 0:
            return ""
        return f"**{medians['agent'] / medians[peer]:.2f}{' times' if more else ''}**"

    def best(self, key, samples, more, same_work):
        peers = [name for name in samples if name not in self.agents and (same_work or name not in self.tls_only)]
        if "agent" not in samples or not peers:
            return "–"
        best = (max if more else min)(peers, key=self.medians[key].get)
        ratio = self.ratio(key, best, more)
        return f"{ratio} ({best})" if ratio else "–"

    def median(self, key, name):
        return self.medians.get(key, {}).get(name)


def cell(values, digits):
    """Median and range."""
    middle = f"{statistics.median(values):.{digits}f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):.{digits}f}–{max(values):.{digits}f})"
