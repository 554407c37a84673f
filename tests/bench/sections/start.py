"""Start-up."""


def measure(run):
    """From before the process is made until a connection is accepted, probed every 0.2 ms."""
    samples = run.alternate(lambda server: server.restart() * 1000)
    run.table.row("start", "start to listening, ms", samples)
