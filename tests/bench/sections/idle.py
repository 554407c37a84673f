"""Memory: of a server that does nothing, and of connections that do nothing."""

import time

import holders

SETTLE = 11  # seconds: the agent keeps a connection to Docker for 10 s
GIVEN_BACK = 10  # seconds after which what is freed should be the system's again
# What does TLS only keeps a connection to the upstream for each client: the upstream's descriptors would not do.
MOST_TLS_ONLY = 1000


def measure(run):
    """RSS after one request, then PSS as idle connections (each has had a request) grow in number, and what is left
    when they have closed. One look, no rounds; servers side by side."""
    run.refresh()
    time.sleep(SETTLE)
    run.table.row("rss", "RSS idle, after one request, MiB", {one.name: [one.rss() / 1024] for one in run.servers})
    empty = {one.name: one.pss() for one in run.servers}
    full = {}
    holding = {one: holders.Holder(one) for one in run.servers}
    try:
        open_now = 0
        for level in run.plan.levels:
            able = [one for one in run.servers if level <= MOST_TLS_ONLY or not one.tls_only]
            holders.open_all([holding[one] for one in able], level - open_now)
            open_now = level
            time.sleep(SETTLE)
            full.update({one.name: one.pss() for one in able})
            held = {one.name: [(full[one.name] - empty[one.name]) / level] for one in able}
            run.table.row(f"held {level}", f"PSS per idle authenticated connection at {level:,}, KiB", held)
    finally:
        for holder in holding.values():
            holder.close()
    time.sleep(GIVEN_BACK)
    returned = {one.name: [100 * (full[one.name] - one.pss()) / (full[one.name] - empty[one.name])] for one in run.servers}
    run.table.row("given back", f"of that given back {GIVEN_BACK} s after all have closed, %", returned, 0, compare=False)
