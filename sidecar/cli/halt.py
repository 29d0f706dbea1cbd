"""`epochgate halt` and `epochgate clear`: stop with one key; go on with a threshold."""

import re
from collections.abc import Sequence
from typing import get_args

import click

from sidecar import clock
from sidecar.authority import ceremony, rollout
from sidecar.authority.ceremony import CeremonyError, Said, ScopeKind
from sidecar.cli import text
from sidecar.cli.peers import (
    Choice,
    Where,
    key_option,
    load_keys,
    output_option,
    peer_options,
    show_acks,
)
from sidecar.cli.text import CliError
from sidecar.core.objects.halt import Order
from sidecar.signer import Signer
from sidecar.sync.peer import Peer

ID_BYTES = 16
_ID = re.compile(r"[0-9a-f]{32}")
_KINDS: tuple[ScopeKind, ...] = get_args(ScopeKind)

HALT_EXAMPLE = """\b
Example:
  epochgate halt --config authority.yaml --key keys/halt-1.key --reason "model misbehaves"
"""
CLEAR_EXAMPLE = """\b
Example:
  epochgate clear 9f86d081884c7d659a2feaa0c55ad015 --config authority.yaml \\
    --key keys/resume-1.key --key keys/resume-2.key --reason "fixed and reviewed"
"""


@click.command(epilog=HALT_EXAMPLE)
@peer_options
@key_option
@click.option("--reason", required=True, help="Why, for people; signed.")
@click.option("--scope", default="global", show_default=True, metavar="KIND[:NAME]",
              help="global, service:NAME, route:NAME ... or drill: stops nothing.")  # fmt: skip
@click.option("--by", default="operator", show_default=True, help="Who asks for it; signed.")
@output_option
def halt(
    *,
    choice: Choice,
    keys: tuple[str, ...],
    output: str,
    **said: str,
) -> None:
    """Stop: sign a halt with one key and put it on every peer.

    One copy on one peer that a sidecar can read is enough. It outlives restarts and epochs; only
    `epochgate clear` ends it.
    """
    kind, value = _scope(said["scope"])
    order = Said(said["reason"], kind, value, requested_by=said["by"])
    _issue(choice.where(), order, load_keys(keys), output)


@click.command(epilog=CLEAR_EXAMPLE)
@click.argument("halt_id")
@peer_options
@key_option
@click.option("--reason", required=True, help="Why, for people; signed.")
@click.option("--by", default="operator", show_default=True, help="Who asks for it; signed.")
@output_option
def clear(
    *,
    halt_id: str,
    choice: Choice,
    keys: tuple[str, ...],
    output: str,
    **said: str,
) -> None:
    """End a halt, or a quarantine by the id of its evidence; signed by a threshold."""
    if not _ID.fullmatch(halt_id):
        raise CliError(
            f"clear: {halt_id!r} is no id; it has 32 letters 0-9 a-f, as epochgate halt printed it",
            text.USAGE,
        )
    order = Said(said["reason"], clears=halt_id, requested_by=said["by"])
    _issue(choice.where(), order, load_keys(keys), output)


def _issue(to: Where, said: Said, keys: Sequence[Signer], output: str) -> None:
    async def job(connected: Sequence[Peer]) -> tuple[Order, dict[str, str]]:
        made = ceremony.make_order(to.trust, _fresh_id(), said, keys, clock.now().wall)
        return made, await rollout.publish(connected, rollout.order_commands(to.trust, made))

    try:
        made, results = to.run(job)
    except CeremonyError as error:
        raise CliError(f"{_name(said)}: {error}", text.BAD_DATA) from None
    need = to.trust.body.quorum.w
    ids = {"halt_id": made.says.halt_id}
    if said.clears is not None:
        ids = {"clear_id": made.says.halt_id, "clears": said.clears}
    _judge(_name(said), show_acks(results, need, output, ids), need)


def _judge(name: str, acks: int, need: int) -> None:
    if acks == 0:
        raise CliError(
            f"{name}: no peer took it; nothing has changed: start a peer, or name another "
            "with --peer",
            text.UNAVAILABLE,
        )
    if acks < need:
        click.echo(
            f"warning: {name}: {acks} of {need} peers took it; a running authority brings it to "
            "the others",
            err=True,
        )


def _name(said: Said) -> str:
    return "halt" if said.clears is None else "clear"


def _scope(said: str) -> tuple[ScopeKind, str]:
    word, _, value = said.partition(":")
    kind = next((kind for kind in _KINDS if kind == word), None)
    if kind is None or (kind != "drill" and bool(value) == (kind == "global")):
        known = ", ".join(
            kind if kind in ("global", "drill") else f"{kind}:NAME" for kind in _KINDS
        )
        raise CliError(f"--scope {said}: must be one of {known}", text.USAGE)
    return kind, value


def _fresh_id() -> str:
    # Imported here: --help needs none of the processes that roles wires.
    from sidecar.roles import fresh_bytes  # noqa: PLC0415

    return fresh_bytes(ID_BYTES).hex()
