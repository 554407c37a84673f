"""One event loop against two."""

import client
import load
import peers

CONNECTIONS = 64
EVEN = 0.6  # most of the CPU that one of two threads may have
ATTEMPTS = 10


def measure(run):
    """Two agents, with one worker and with two, asked in turns by two threads of wrk. Whichever worker is awake takes a
    new connection: a load that is not shared evenly is asked again."""
    if load.wrk_missing():
        run.skip("workers: no wrk")
        return
    agents = [peers.agent(run.place, run.upstream, run.binaries[0], name, workers)
              for name, workers in (("agent", 2), ("one worker", 1))]
    uneven = 0
    try:
        for one in agents:
            one.start()
            client.warm(one)
        def ask(server):
            nonlocal uneven
            for _ in range(ATTEMPTS):
                before = server.threads()
                window, figures = load.wrk(server, run.upstream, CONNECTIONS, run.plan.seconds, threads=2)
                share = busiest(before, server.threads())
                if server.name == "one worker" or share <= EVEN:
                    return window.usage.seconds / window.count * 1e6, figures.rate
                uneven += 1
            raise RuntimeError(f"{ATTEMPTS} times one worker of two had {share:.0%} of the load")
        results = run.alternate(ask, agents)
    finally:
        for one in agents:
            one.stop()
    cost, rate = ({name: [one[part] for one in rounds] for name, rounds in results.items()} for part in (0, 1))
    evenly = f"the busier thread has at most {EVEN:.0%} of the CPU; {uneven} loads were uneven"
    run.table.row("two workers", f"CPU per request, {CONNECTIONS} connections, two workers ({evenly}), µs",
                  {"agent": cost["agent"]}, beside={"one worker": cost["one worker"]})
    run.table.row("two workers rate", f"requests/s, {CONNECTIONS} connections, two workers",
                  {"agent": rate["agent"]}, 0, more=True, beside={"one worker": rate["one worker"]})


def busiest(before, after):
    """The busiest thread's share of the CPU between the two."""
    used = [seconds - before.get(thread, 0) for thread, seconds in after.items()]
    return max(used) / sum(used)
