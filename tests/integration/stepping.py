"""A sidecar whose wall clock somebody sets: off by as many milliseconds as a file says.

    STEPPING=FILE python -m tests.integration.stepping --config FILE

It is the unmodified program with another clock; the clock of this machine is left alone.
"""

import os
import sys
from pathlib import Path

from sidecar import clock
from sidecar.core.instant import Now, WallMs


def step(path: Path) -> None:
    """Put the file between the program and its wall clock, before that is taken as a value."""
    now = clock.now

    def read() -> Now:
        reading = now()
        off_ms = int(path.read_text()) if path.exists() else 0
        return Now(reading.boot, WallMs(reading.wall + off_ms))

    clock.now = read


if __name__ == "__main__":
    step(Path(os.environ["STEPPING"]))
    from sidecar.roles import run_main

    run_main(["sidecar", *sys.argv[1:]])
