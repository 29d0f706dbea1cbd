"""`epochgate intercept`: lead the service's traffic through the gate, with nftables.

Exit codes: 0 done, or check: what is installed is what the configuration asks for; 1 check: it is
not; 69 nft is not there; 77 CAP_NET_ADMIN is missing; 78 configuration.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from sidecar.cli import nftables
from sidecar.cli.text import FAILURE, PERMISSION, UNAVAILABLE, CliError, print_json, table
from sidecar.config.problem import ConfigError, Problem
from sidecar.config.read import read_sidecar
from sidecar.config.sections import Address
from sidecar.config.table import LOOPBACK

TIMEOUT_S = 30
_PLACES = "/usr/sbin:/sbin:/usr/bin:/bin"  # sbin is not in everybody's PATH

EXAMPLES = """\b
Examples:
  epochgate intercept print --config sidecar.yaml | sudo nft -f -
  sudo epochgate intercept install --config sidecar.yaml
  sudo epochgate intercept check --config sidecar.yaml -o json
  sudo epochgate intercept remove
"""

Command = Callable[..., Any]
_CONFIG = click.option(
    "--config",
    "config",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The sidecar's configuration: listen.inbound, listen.transparent, intercept.",
)
_LOOPBACK = click.option(
    "--loopback", type=click.Choice(LOOPBACK), help="Instead of intercept.loopback."
)
_OUTPUT = click.option("-o", "output", type=click.Choice(["table", "json"]), default="table")


@click.group(epilog=EXAMPLES)
def intercept() -> None:
    """Redirect the service's ports to the gate, and refuse what goes around it.

    The rules are one nftables table in the network namespace that the command runs in. With
    listen.transparent, connections from outside to intercept.ports are redirected to
    listen.inbound; without it they are refused. On loopback only the user that the sidecar runs as
    reaches these ports. IPv4 and IPv6 alike.

    Exit codes: 0 ok; 1 check found a difference; 69 nft is missing; 77 CAP_NET_ADMIN is missing;
    78 configuration.
    """


@intercept.command("print", epilog="Example: epochgate intercept print --config sidecar.yaml")
@_CONFIG
@_LOOPBACK
def print_(config: Path, loopback: str | None) -> None:
    """Print the rules as input for `nft -f -`; change nothing."""
    click.echo(nftables.script(_wanted(config, loopback)), nl=False)


@intercept.command(epilog="Example: sudo epochgate intercept install --config sidecar.yaml")
@_CONFIG
@_LOOPBACK
def install(config: Path, loopback: str | None) -> None:
    """Put the rules in force, in one step; again is harmless."""
    lines = _wanted(config, loopback)
    _nft("-f", "-", given=nftables.script(lines))
    wrong = [finding for finding in nftables.compare(lines, _installed()[0]) if not finding.fits]
    if wrong:
        what = ", ".join(f"{finding.place} {finding.name}".strip() for finding in wrong)
        raise CliError(f"intercept: nft holds other rules than it was given: {what}; see: check")
    ports = next(line.text for line in lines if line.name == "elements")
    redirected = any(line.name == "redirect" for line in lines)
    how = (
        "redirected to the gate"
        if redirected
        else "refused from outside (listen.transparent is off)"
    )
    click.echo(f"ok: {ports.removeprefix('elements = ')}: {how}")


@intercept.command(epilog="Example: sudo epochgate intercept check --config sidecar.yaml")
@_CONFIG
@_LOOPBACK
@_OUTPUT
def check(config: Path, loopback: str | None, output: str) -> None:
    """Compare what is installed with what the configuration asks for; exit with 1 if it differs."""
    findings = nftables.compare(_wanted(config, loopback), _installed()[0])
    wrong = [finding for finding in findings if not finding.fits]
    if output == "json":
        print_json({"ok": not wrong, "rules": [_plain(finding) for finding in findings]})
    else:
        table(["where", "rule", "wanted", "found", "would pass"], [_row(f) for f in findings])
    if wrong:
        many = f"{len(wrong)} of {len(findings)} lines differ"
        raise CliError(f"intercept: {many}; put it right: epochgate intercept install", FAILURE)


@intercept.command(epilog="Example: sudo epochgate intercept show -o json")
@_OUTPUT
def show(output: str) -> None:
    """Print what is installed, and how many packets each rule has refused."""
    lines, packets = _installed()
    names = ("where", "rule", "packets", "text")
    rows = [(x.place, x.name, packets.get((x.place, x.name)), x.text) for x in lines]
    if output == "json":
        rules = [dict(zip(names, row, strict=True)) for row in rows]
        print_json({"installed": bool(lines), "rules": rules})
    elif lines:
        table(names, rows)
    else:
        click.echo("nothing is installed")


@intercept.command(epilog="Example: sudo epochgate intercept remove")
def remove() -> None:
    """Take the rules away: from then on the service can be reached directly."""
    if _is_installed():
        _nft("delete", "table", *nftables.TABLE.split())
        click.echo("ok: removed")
    else:
        click.echo("ok: nothing was installed")


def _wanted(path: Path, loopback: str | None) -> tuple[nftables.Line, ...]:
    config = read_sidecar(path, os.environ).config
    chosen = config.intercept
    if not nftables.spared(chosen.ports, chosen.exclude):
        message = "names no port; write down the ports of the service, like [8000]"
        raise ConfigError([Problem("spec.intercept.ports", message, str(path))])
    inbound = config.proxy.inbound
    if config.proxy.transparent and isinstance(inbound, Address) and not inbound.port:
        message = "is any free port; write down one that can be redirected to"
        raise ConfigError([Problem("spec.listen.inbound", message, str(path))])
    if loopback is not None:
        config = replace(config, intercept=replace(chosen, loopback=loopback))
    return nftables.wanted(config)


def _installed() -> tuple[tuple[nftables.Line, ...], dict[tuple[str, str], int]]:
    if not _is_installed():
        return (), {}
    return nftables.parse(_nft("list", "table", *nftables.TABLE.split()))


def _is_installed() -> bool:
    return f"table {nftables.TABLE}" in _nft("list", "tables").splitlines()


def _plain(finding: nftables.Finding) -> dict[str, object]:
    return {
        "where": finding.place, "rule": finding.name, "ok": finding.fits,
        "wanted": finding.wanted, "found": finding.found,
        "would_pass": None if finding.fits else finding.otherwise,
    }  # fmt: skip


def _row(finding: nftables.Finding) -> Sequence[object]:
    found = "the same" if finding.fits else finding.found or "missing"
    would_pass = None if finding.fits else finding.otherwise
    return finding.place, finding.name, finding.wanted, found, would_pass


def _nft(*arguments: str, given: str | None = None) -> str:
    """Run nft; what it printed.

    Raises:
        CliError: It is not there, not permitted, or refused what it was given.
    """
    path = shutil.which("nft") or shutil.which("nft", path=_PLACES)
    if path is None:
        raise CliError("nft: not found; install the package nftables", UNAVAILABLE)
    try:
        done = subprocess.run(  # noqa: S603 (fixed words, no shell)
            [path, *arguments], input=given, capture_output=True, text=True, timeout=TIMEOUT_S,
            check=False, env={"LC_ALL": "C", "PATH": _PLACES},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CliError(f"nft: {path}: {error}; does it run by itself?", UNAVAILABLE) from None
    if done.returncode == 0:
        return done.stdout
    said = next((line.strip() for line in done.stderr.splitlines() if line.strip()), "no message")
    if "not permitted" in done.stderr:
        how = "run it as root, or with CAP_NET_ADMIN, in the pod's network namespace"
        raise CliError(f"nft: not permitted to change or read the rules; {how}", PERMISSION)
    raise CliError(f"nft: {said}; is nf_tables in this kernel?", FAILURE)
