"""`epochgate halt`, `clear` and `halts`: stop with one key; go on with a threshold; see both."""

import re
from collections.abc import Mapping, Sequence

import click

from sidecar import clock
from sidecar.authority import ceremony, rollout
from sidecar.authority.ceremony import CeremonyError, Said
from sidecar.authority.rollout import OK
from sidecar.cli import scope as scopes
from sidecar.cli import text
from sidecar.cli.document import moment
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
from sidecar.core.instant import WallMs
from sidecar.core.objects import halt as orders
from sidecar.core.objects.halt import Halts, Order
from sidecar.core.objects.trust import Trust
from sidecar.core.reason import ProtocolError
from sidecar.signer import Signer
from sidecar.sync.peer import Peer

ID_BYTES = 16
_ID = re.compile(r"[0-9a-f]{32}")

HALT_EXAMPLE = """\b
Example:
  epochgate halt --config authority.yaml --key keys/halt-1.key --reason "model misbehaves"
  epochgate halt --config authority.yaml --key keys/halt-1.key --reason "leak" --scope route:chat
"""
HALTS_EXAMPLE = """\b
Example:
  epochgate halts --config authority.yaml
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
    `epochgate clear` ends it. A service or instance stops whole; a route, model or tenant stops
    the requests that match. Health and metrics targets pass in any case.
    """
    kind, value = scopes.parse(said["scope"])
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


@click.command(epilog=HALTS_EXAMPLE)
@peer_options
@output_option
def halts(*, choice: Choice, output: str) -> None:
    """List every halt that the peers hold: in force, cleared, or a drill; oldest first."""
    to = choice.where()

    async def job(connected: Sequence[Peer]) -> tuple[Halts, Mapping[str, str]]:
        return await rollout.orders(connected, to.trust, clock.now().wall)

    found, results = to.run(job)
    answered, need = sum(result == OK for result in results.values()), to.trust.body.quorum.r
    if not answered:
        why = ", ".join(f"{peer}: {result}" for peer, result in results.items())
        raise CliError(f"halts: no peer answered ({why}); start one", text.UNAVAILABLE)
    if answered < need:
        click.echo(
            f"warning: halts: {answered} of {need} needed peers answered: there may be others",
            err=True,
        )
    listed = [order for order in found.orders if order.says.action == "halt"]
    listed.sort(key=lambda order: (order.says.issued_at, order.says.halt_id))
    if output == "json":
        text.print_json([_as_json(order, found) for order in listed])
    else:
        headers = ["id", "scope", "state", "when", "by", "reason"]
        text.table(headers, [_row(order, found) for order in listed])


def _state(order: Order, found: Halts) -> str:
    if order.says.halt_id in found.cleared:
        return "cleared"
    return "drill" if order.says.scope.kind == "drill" else "in force"


def _row(order: Order, found: Halts) -> list[object]:
    said = order.says
    scope = ":".join(part for part in (said.scope.kind, said.scope.value) if part)
    return [
        said.halt_id, scope, _state(order, found), moment(said.issued_at), said.requested_by,
        said.reason,
    ]  # fmt: skip


def _as_json(order: Order, found: Halts) -> dict[str, object]:
    said = order.says
    return {
        "id": said.halt_id,
        "scope": said.scope.kind,
        "value": said.scope.value,
        "state": _state(order, found),
        "issued_at": said.issued_at,
        "requested_by": said.requested_by,
        "reason": said.reason,
    }


_Issued = tuple[Order, dict[str, str], str | None, str | None]  # results by peer, two doubts


def _issue(to: Where, said: Said, keys: Sequence[Signer], output: str) -> None:
    async def job(
        connected: Sequence[Peer],
    ) -> tuple[Order, dict[str, str], str | None, str | None]:
        now = clock.now().wall
        made = ceremony.make_order(to.trust, _fresh_id(), said, keys, now)
        # Stopping comes first: whether the keys still count is looked up afterwards.
        results = await rollout.publish(connected, rollout.order_commands(to.trust, made))
        unread = await _unread(connected, to.trust, made, now)
        if said.clears is not None:
            return made, results, unread, None
        doubt = await scopes.doubt(connected, to.trust, said.kind, said.value, now)
        return made, results, unread, doubt

    try:
        made, results, unread, doubt = to.run(job)
    except CeremonyError as error:
        raise CliError(f"{_name(said)}: {error}", text.BAD_DATA) from None
    need = to.trust.body.quorum.w
    ids = {"halt_id": made.says.halt_id, "stops": scopes.stops(said.kind, said.value)}
    if said.clears is not None:
        ids = {"clear_id": made.says.halt_id, "clears": said.clears}
    _judge(_name(said), show_acks(results, need, output, ids), need)
    if doubt is not None:
        click.echo(f"warning: halt: {doubt}", err=True)
    if unread is not None:
        why = f"{unread}; sign it again with a key that still has its role"
        raise CliError(f"{_name(said)}: nobody believes it: {why}", text.BAD_DATA)


async def _unread(connected: Sequence[Peer], pinned: Trust, made: Order, now: WallMs) -> str | None:
    """Why sidecars do not believe an order: the file here may be older than what they go by."""
    try:
        current = await rollout.walk(connected, pinned, now)
    except CeremonyError:
        return None  # two documents follow one: who believes what is not known
    try:
        orders.open_order(made.raw, current, now)
    except ProtocolError as error:
        return f"trust version {current.version} is in force: {error}"
    return None


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


def _fresh_id() -> str:
    # Imported here: --help needs none of the processes that roles wires.
    from sidecar.roles import fresh_bytes  # noqa: PLC0415

    return fresh_bytes(ID_BYTES).hex()
