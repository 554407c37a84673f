"""Requests on connections that stay open."""

import load


def measure(run):
    """GET of 1 KiB by wrk, one thread, each request authenticated. CPU is that of the proxy's processes in a window
    inside the load; requests/s and latency are wrk's. TLS-only peers neither authenticate nor read HTTP."""
    if load.wrk_missing():
        run.skip("requests: no wrk")
        return
    for connections in (1, 32):
        run.refresh()
        results = run.alternate(lambda server: load.wrk(server, run.upstream, connections, run.plan.seconds))
        windows = {name: [window for window, _ in rounds] for name, rounds in results.items()}
        title = f"{connections} connection{'s'[:connections > 1]}"
        run.cpu_rows(f"request {connections}", f"CPU per keep-alive request, {title}, µs", windows, 1e6, same_work=False)
        def row(part, measure, scale, digits, more=False):
            samples = {name: [getattr(one, part) * scale for _, one in rounds] for name, rounds in results.items()}
            run.table.row(f"request {connections} {part}", measure, samples, digits, more, same_work=False)
        row("rate", f"requests/s, {title}", 1, 0, more=True)
        row("p50", f"latency p50, {title}, µs", 1e6, 0)
        row("p99", f"latency p99, {title}, µs", 1e6, 0)
