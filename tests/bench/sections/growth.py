"""Requests while many connections are open and idle."""

from typing import NamedTuple

import client
import holders
import load

CONNECTIONS = 32


def measure(run):
    """Two of each server, one of them with idle connections; wrk asks the one and the other in turns. The ratio is that
    of CPU per request with idle connections to the same without."""
    if load.wrk_missing():
        run.skip("growth: no wrk")
        return
    wanted = [one.name for one in run.servers
              if not one.tls_only and (run.plan.growth_of_peers or one.name in run.table.agents)]
    crowded = [one for one in run.servers if one.name in wanted]
    calm = {one.name: one for one in run.another(wanted)}
    opened = []
    try:
        for server in crowded:
            server.restart()
            calm[server.name].start()
            client.warm(calm[server.name])
            opened.append(holders.Holder(server))
        holders.open_all(opened, run.plan.growth)
        results = run.alternate(lambda server: (request(run, server), request(run, calm[server.name])), crowded)
    finally:
        for holder in opened:
            holder.close()
        for server in calm.values():
            server.stop()
    title = f"{CONNECTIONS} connections, while {run.plan.growth:,} idle ones are open"
    cost, calm_cost = (column(results, side, "cpu") for side in (0, 1))
    run.table.row("growth", f"CPU per request, {title}, µs", cost, beside={"without them": calm_cost["agent"]})
    itself = {name: [one / other for one, other in zip(cost[name], calm_cost[name])] for name in cost}
    run.table.row("growth itself", "the same through that without them", itself, 2, compare=False)
    rate, calm_rate = (column(results, side, "rate") for side in (0, 1))
    run.table.row("growth rate", f"requests/s, {title}", rate, 0, more=True, beside={"without them": calm_rate["agent"]})


class Cost(NamedTuple):
    """CPU of a request in µs, and requests/s."""
    cpu: float
    rate: float


def request(run, server):
    window, figures = load.wrk(server, run.upstream, CONNECTIONS, run.plan.seconds)
    return Cost(window.usage.seconds / window.count * 1e6, figures.rate)


def column(results, side, part):
    """One part of the costs with idle connections (side 0) or without, by server's name."""
    return {name: [getattr(pair[side], part) for pair in rounds] for name, rounds in results.items()}
