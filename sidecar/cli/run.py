"""`epochgate run`: start one of the processes.

A sidecar in a pod is started with `python -m sidecar run sidecar`, which reaches the same function
without loading the command line's libraries.
"""

import sys
from pathlib import Path

import click

from sidecar.roles import ROLES
from sidecar.roles import run as run_role

EXAMPLE = """\b
Example:
  epochgate run authority --config authority.yaml
  epochgate run sidecar --config sidecar.yaml
"""


@click.command(epilog=EXAMPLE)
@click.argument("role", type=click.Choice(sorted(ROLES)))
@click.option(
    "--config",
    "config",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The YAML file of the role.",
)
def run(role: str, config: Path) -> None:
    """Run a sidecar or an authority until SIGTERM."""
    sys.exit(run_role(role, config))
