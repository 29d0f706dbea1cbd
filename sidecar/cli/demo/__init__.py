"""`epochgate demo`: the main job on this machine, in under a minute, every claim checked."""

import asyncio
import contextlib
import signal
import sys
import tempfile
from pathlib import Path

import aiohttp
import click

from sidecar import clock
from sidecar.cli import text
from sidecar.cli.demo import processes
from sidecar.cli.demo.fleet import Fleet
from sidecar.cli.demo.stay import stay
from sidecar.cli.demo.story import BrokenError, Story

EXAMPLE = """\b
Example:
  epochgate demo
  epochgate demo --keep
  epochgate demo --stay --dir demo    # no story: two sidecars to try changes of policy on
"""
REQUEST_S = 10


@click.command(epilog=EXAMPLE)
@click.option("--keep", is_flag=True, help="Leave the fleet running and print what to try.")
@click.option("--stay", "staying", is_flag=True,
              help="No story: a fleet to try changes of policy on, until interrupted.")  # fmt: skip
@click.option("--sidecars", "count", default=2, show_default=True, type=click.IntRange(1, 20),
              help="How many, with --stay.")  # fmt: skip
@click.option("--dir", "folder", type=click.Path(path_type=Path), help="Where to put its files.")
def demo(*, keep: bool, staying: bool, count: int, folder: Path | None) -> None:
    """Run the whole product on this machine and check what it promises.

    Starts three Valkey servers, an authority, a sidecar and a small OpenAI-compatible service on
    loopback ports, and tells a story in nine steps. Exit status 0 only if every claim held.
    """
    # Also when it is ended politely: nothing that was started is left.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if folder is None:
        folder = Path(tempfile.mkdtemp(prefix="epochgate-demo-"))
    folder.mkdir(parents=True, exist_ok=True)
    if staying:
        stay(folder.resolve(), count)
        return
    with contextlib.ExitStack() as stack:
        fleet = Fleet(folder.resolve())
        stack.enter_context(processes.ending(*fleet.processes))
        click.echo(f"files: {fleet.folder}")
        fleet.prepare()
        fleet.start()
        held = asyncio.run(tell(fleet))
        if keep and held:
            linger(fleet)
    if not held:
        click.echo(f"\nsomething did not hold; logs are in {fleet.folder}", err=True)
    sys.exit(text.OK if held else text.FAILURE)


async def tell(fleet: Fleet) -> bool:
    """Run every step, print each as it ends and the table at the end; whether all held."""
    rows: list[tuple[object, ...]] = []
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=REQUEST_S, sock_read=REQUEST_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        steps = Story(fleet, session).steps
        for number, (title, deed) in enumerate(steps, start=1):
            click.echo(f"[{number}/{len(steps)}] {title} ... ", nl=False)
            began = clock.now().boot
            try:
                seen, bound = await deed()
            except BrokenError as broken:
                click.echo("BROKEN")
                rows.append((number, title, str(broken), "-", "BROKEN"))
                break
            click.echo(f"ok ({(clock.now().boot - began) / 1e9:.1f} s)")
            rows.append((number, title, seen, bound, "ok"))
    click.echo()
    text.table(("", "step", "seen", "bound", "held"), rows)
    return all(row[-1] == "ok" for row in rows)


def linger(fleet: Fleet) -> None:
    """Keep everything running until interrupted, and say what to try."""
    fleet.sidecar.start()
    audit = fleet.journal
    click.echo(
        f"""
Still running. Try, in another terminal:
  curl -sN {fleet.url}/v1/chat/completions -H 'content-type: application/json' \\
    -d '{{"model":"demo","stream":true}}'
  epochgate status --url {fleet.status_url}
  epochgate audit tail {audit} -f
  cd {fleet.folder}    # commands.sh there holds every command the demo used
  kill -STOP {fleet.authority.pid}    # silence the authority; kill -CONT brings it back

Ctrl-C ends it."""
    )
    with contextlib.suppress(KeyboardInterrupt):
        fleet.sidecar.wait()
