"""The processes, and what each is wired from, in start order. The composition root.

Rules:

* The gate exists first and denies. The data plane binds last. Whatever cannot be verified at start
  either ends the process before it takes traffic (configuration, trust, ports), or leaves the gate
  held with a reason that says which (marks, journal): what stays up can say why it denies.
* A background part that fails ends the process. The lease cannot be renewed by something broken,
  and a supervisor restarts it closed.
* This is the only source of randomness, and the only place that knows everybody. It imports nothing
  of the command line; a test holds that.
* A role is imported when it is run: one that carries traffic beside others (`worker.py`) has no use
  for what the others need, and a pod pays for it in memory.

Source: codebases 11.4.
"""

import argparse
import sys
from collections.abc import Callable, Coroutine, Sequence
from importlib import import_module
from pathlib import Path

import uvloop

from sidecar.config.problem import ConfigError
from sidecar.roles.start import StartError, fresh_bytes
from sidecar.signer import KeyFileError

__all__ = ["ROLES", "fresh_bytes", "run", "run_main"]

EXIT_OK = 0
EXIT_UNAVAILABLE = 69
EXIT_CONFIGURATION = 78

ROLES = ("authority", "sidecar")


def _entry(role: str) -> Callable[[Path], Coroutine[None, None, None]]:
    entry: Callable[[Path], Coroutine[None, None, None]] = getattr(
        import_module(f"sidecar.roles.{role}"), f"run_{role}"
    )
    return entry


def _refuse(group: BaseExceptionGroup[Exception]) -> None:
    """One line per problem, to people."""
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            _refuse(error)
        elif isinstance(error, ConfigError):
            for problem in error.problems:
                sys.stderr.write(f"error: configuration: {problem}\n")
        else:
            sys.stderr.write(f"error: {error}\n")


def run(role: str, config: Path) -> int:
    """Run one process to its end.

    Returns:
        Its exit status: 0, 69 when something it needs is taken or broken, 78 for configuration.
    """
    from sidecar.authority.store import StateError  # noqa: PLC0415 (see above)

    status = EXIT_OK
    try:
        uvloop.run(_entry(role)(config))
    except* ConfigError as group:
        _refuse(group)
        status = EXIT_CONFIGURATION
    except* (StartError, StateError, KeyFileError) as group:
        _refuse(group)
        status = EXIT_UNAVAILABLE
    return status


def run_main(arguments: Sequence[str]) -> None:
    """`python -m sidecar run ROLE --config FILE`, without the command line's libraries."""
    parser = argparse.ArgumentParser(
        prog="epochgate run", epilog="example: epochgate run sidecar --config sidecar.yaml"
    )
    parser.add_argument("role", choices=sorted(ROLES))
    parser.add_argument("--config", type=Path, required=True, metavar="FILE")
    chosen = parser.parse_args(arguments)
    sys.exit(run(chosen.role, chosen.config))
