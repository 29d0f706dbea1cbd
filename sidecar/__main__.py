"""`python -m sidecar`: one of the processes, or the command line.

A process that gates traffic has no use for a terminal: `run` goes straight to the composition
root, so that click and rich are never imported beside the data plane.
"""

import sys


def main() -> None:
    """Hand `run ...` to the processes and anything else to the command line."""
    if sys.argv[1:2] == ["run"]:
        from sidecar.roles import run_main  # noqa: PLC0415, only the branch taken may import

        run_main(sys.argv[2:])
    else:
        from sidecar.cli import main as cli_main  # noqa: PLC0415, likewise

        cli_main()


if __name__ == "__main__":
    main()
