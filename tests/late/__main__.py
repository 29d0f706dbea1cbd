"""A longer campaign: `python -m tests.late --stops 3000`."""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

from tests.late import campaign
from tests.late.campaign import Found, Plan
from tests.valkey import ValkeyServer


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.late")
    parser.add_argument("--stops", type=int, default=2000, help="stops, by signal and freezer")
    parser.add_argument("--outside", type=int, default=300, help="of these, at random times")
    parser.add_argument("--delays", type=int, default=60, help="delayed system calls, per kind")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        valkeys = tuple(ValkeyServer(folder / f"peer-{index}").start() for index in range(3))
        try:
            plan = Plan(chosen.stops, chosen.outside, chosen.delays)
            found = asyncio.run(campaign.run(plan, folder, valkeys))
        finally:
            for valkey in valkeys:
                valkey.stop()
    print(*found.report(), sep="\n")  # noqa: T201
    return _judge(found)


def _judge(found: Found) -> int:
    total = found.total()
    return 1 if total.broken or not total.late or found.unstamped else 0


if __name__ == "__main__":
    sys.exit(main())
