"""New TLS 1.3 connections."""

import client
import load

REST = 0.1  # seconds in which a server finishes with the last connections


def measure(run):
    """Connections without a request, a few at a time, a P-256 certificate: with full handshakes, and with tickets that
    were fetched before the window and are used once each. Peers that resume no session are left out of the second."""
    count = run.plan.handshakes
    for kind in ("full", "resumed"):
        run.refresh()
        results = run.alternate(lambda server: window(server, kind, count))
        windows = {name: [one for one in rounds if one] for name, rounds in results.items()}
        for name in [name for name, rounds in windows.items() if not rounds]:
            run.skip(f"resumed handshakes: {name} resumes no session")
            del windows[name]
        rates = {name: [one.count / one.seconds for one in rounds] for name, rounds in windows.items()}
        run.cpu_rows(f"handshake {kind}", f"CPU per new TLS 1.3 connection, {kind}, µs", windows, 1e6)
        run.table.row(f"handshake {kind} rate", f"new TLS 1.3 connections/s, {kind}", rates, 0, more=True)


def window(server, kind, count):
    """None where sessions are not resumed."""
    sessions = [None] * count if kind == "full" else client.sessions(server.port, count)
    reused = []
    def work():
        reused.extend(client.open_and_close(server.port, sessions))
        return count
    done = load.watched(server, work, REST)
    return done if all(reused) or kind == "full" else None
