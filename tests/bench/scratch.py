"""What a run leaves nowhere: its temporary directory and its processes."""

import os
import shutil
import signal
import sys
import tempfile
from contextlib import ExitStack

ENDS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


class Scratch(ExitStack):
    """A temporary directory, and whatever else is given to `callback`, undone in the end; also when a signal ends the
    program, and without a second signal coming between."""

    def __init__(self, prefix):
        super().__init__()
        for number in ENDS:
            signal.signal(number, lambda number, _: sys.exit(128 + number))
        self.directory = tempfile.mkdtemp(prefix=prefix)
        self.callback(shutil.rmtree, self.directory, ignore_errors=True)
        os.chmod(self.directory, 0o755)  # peers may give up root

    def __exit__(self, *details):
        for number in ENDS:
            signal.signal(number, signal.SIG_IGN)
        return super().__exit__(*details)
