"""Much data in one request."""

import client
import load


def measure(run):
    """One connection, one authenticated request before (its password is verified there), then one body by
    Content-Length or in chunks of 32 KiB. GB and MB are powers of ten."""
    size = run.plan.bulk << 20
    for way in ("down", "up"):
        for coding in ("length", "chunked"):
            run.refresh()
            windows = run.alternate(lambda server: window(server, way, coding, size))
            title = f"{way}, {'by length' if coding == 'length' else coding}"
            run.cpu_rows(f"{way} {coding}", f"CPU per GB {title}, s", windows, 1e9, digits=2)
            rates = {name: [one.count / one.seconds / 1e6 for one in rounds] for name, rounds in windows.items()}
            run.table.row(f"{way} {coding} rate", f"MB/s {title}", rates, 0, more=True)


def window(server, way, coding, size):
    with client.connect(server.port) as one:
        client.ask(one)
        def work():
            if way == "down":
                client.ask(one, f"/{coding}/{size}", size)
            else:
                client.send(one, coding, size)
            return size
        return load.watched(server, work)
