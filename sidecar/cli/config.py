"""`epochgate config`: look at a configuration before a process has to."""

import os
from pathlib import Path

import click

from sidecar import clock
from sidecar.cli.text import print_json, table
from sidecar.config.check import against_trust, guarantee
from sidecar.config.problem import ConfigError
from sidecar.config.read import read_any
from sidecar.config.schema import schema as json_schema
from sidecar.config.sections import SidecarConfig
from sidecar.config.table import KINDS
from sidecar.core.objects import trust as trust_document

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.group(epilog="Example: epochgate config check sidecar.yaml --trust trust.json")
def config() -> None:
    """Check and show configuration files."""


@config.command(epilog="Example: epochgate config check sidecar.yaml --trust trust.json")
@click.argument("file", type=_FILE)
@click.option("--trust", "trust_file", type=_FILE, help="Also check against this trust document.")
def check(file: Path, trust_file: Path | None) -> None:
    """Say whether FILE can be used; list everything that is wrong with it."""
    loaded = read_any(file, os.environ)
    if trust_file is None:
        click.echo(f"ok: {file}; not checked against a trust document (--trust)")
        return
    trust = trust_document.parse(trust_file.read_bytes(), clock.now().wall)
    problems = against_trust(loaded.config, trust, None)
    if problems:
        raise ConfigError(problems)
    click.echo(f"ok: {file}, with trust version {trust.version} of {trust.domain}")
    if isinstance(loaded.config, SidecarConfig):
        for name, value in guarantee(loaded.config, trust).items():
            click.echo(f"  {name} = {value}")


@config.command(epilog="Example: EPOCHGATE_SYNC__POLL=1s epochgate config show sidecar.yaml")
@click.argument("file", type=_FILE)
@click.option("-o", "output", type=click.Choice(["table", "json"]), default="table")
def show(file: Path, output: str) -> None:
    """Print every effective value of FILE and where it comes from. Passwords are not read out."""
    origins = read_any(file, os.environ).origins
    if output == "json":
        print_json([{"path": s.path, "value": s.value, "origin": s.origin} for s in origins])
    else:
        table(["path", "value", "origin"], [(s.path, s.value, s.origin) for s in origins])


@config.command(epilog="Example: epochgate config schema SidecarConfig > sidecarconfig.json")
@click.argument("kind", type=click.Choice(list(KINDS)))
def schema(kind: str) -> None:
    """Print the JSON Schema of KIND, for editors."""
    print_json(json_schema(kind))
