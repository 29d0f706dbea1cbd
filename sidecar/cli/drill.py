"""`epochgate halt-check`: would a halt work now? A drill that stops nothing, and who quoted it.

What is shown: the halt key signs, the peers take it, and the sidecars read, verify and answer. Who
did not quote is unknown, never fine.
"""

import asyncio
from collections.abc import Sequence

import click

from sidecar import clock
from sidecar.authority import ceremony, rollout
from sidecar.authority.ceremony import CeremonyError, Said
from sidecar.authority.fleet import Watch
from sidecar.cli import fleet, text
from sidecar.cli.peers import (
    DURATION,
    Choice,
    key_option,
    load_keys,
    output_option,
    peer_options,
)
from sidecar.cli.text import CliError
from sidecar.core.objects import report
from sidecar.sync.peer import Peer

ID_BYTES = 16
EXAMPLE = """\b
Example:
  epochgate halt-check --config authority.yaml --key keys/halt-1.key --timeout 10s
"""

Quoted = dict[str, int | None]  # name -> milliseconds until it quoted, or None


@click.command("halt-check", epilog=EXAMPLE)
@peer_options
@key_option
@click.option("--service", help="Ask only the instances of this service.")
@click.option("--timeout", "timeout_ms", default="10s", show_default=True, type=DURATION)
@output_option
def halt_check(
    *, choice: Choice, keys: tuple[str, ...], service: str | None, timeout_ms: int, output: str
) -> None:
    """Show that a halt would reach the fleet now: a drill halt with a fresh challenge.

    It stops nothing. Each instance that read it quotes the challenge in its next report. Exit 0
    when all did; 124 when the time is over, and who did not quote is unknown.
    """
    to = choice.where()
    signers = load_keys(keys)

    async def job(peers: Sequence[Peer]) -> Quoted:
        watch = Watch(peers, to.trust.domain)
        now = clock.now()
        under = await rollout.walk(peers, to.trust, now.wall)
        await watch.look(now)
        challenge = _fresh()
        order = ceremony.make_order(under, _fresh(), _said(challenge, service), signers, now.wall)
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        results = await rollout.publish(peers, rollout.order_commands(under, order))
        if rollout.OK not in results.values():
            raise CliError("halt-check: no peer took the drill; start a peer", text.UNAVAILABLE)
        return await _quotes(watch, challenge, service, began_s, began_s + timeout_ms / 1000)

    try:
        quoted = to.run(job)
    except CeremonyError as error:
        raise CliError(f"halt-check: {error}", text.BAD_DATA) from None
    _show(quoted, output)
    missing = [name for name, ms in quoted.items() if ms is None]
    if missing or not quoted:
        who = ", ".join(missing) or "no instance reports"
        raise CliError(f"halt-check: unknown after {timeout_ms} ms: {who}", fleet.TIMED_OUT)


def _said(challenge: str, service: str | None) -> Said:
    return Said("halt-check", "drill", service or "", challenge=challenge)


async def _quotes(
    watch: Watch, challenge: str, service: str | None, began_s: float, ends_s: float
) -> Quoted:
    quoted: Quoted = {}
    loop = asyncio.get_running_loop()
    while (members := await fleet.polled(watch, ends_s)) is not None:
        asked = [one for one in members if service in (None, one.report.says.service)]
        spent_ms = int((loop.time() - began_s) * 1000)
        for member in asked:
            answered = spent_ms if challenge in member.report.says.drills else None
            quoted[member.name] = quoted.get(member.name) or answered
        for gone in quoted.keys() - {member.name for member in asked}:
            if quoted[gone] is None:
                del quoted[gone]
        if quoted and None not in quoted.values():
            break
    return quoted


def _show(quoted: Quoted, output: str) -> None:
    if output == "json":
        text.print_json({"quoted": quoted, "ok": bool(quoted) and None not in quoted.values()})
        return
    rows = [(name, "unknown" if ms is None else f"{ms} ms") for name, ms in sorted(quoted.items())]
    text.table(("instance", "quoted after"), rows)


def _fresh() -> str:
    # Imported here: --help needs none of the processes that roles wires.
    from sidecar.roles import fresh_bytes  # noqa: PLC0415

    made = fresh_bytes(ID_BYTES).hex()
    assert report.challenge(made), "short, printable, without spaces"
    return made
