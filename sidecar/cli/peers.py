"""What `epoch`, `halt` and `clear` share: which peers, which trust document, which keys.

Peers come from `--config authority.yaml` or from `--peer` URLs; the trust document from `--trust`
or from the same configuration.
"""

import asyncio
import functools
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import click

from sidecar import clock, signer
from sidecar.authority.rollout import OK, TooFewPeersError
from sidecar.cli import text
from sidecar.cli.text import CliError
from sidecar.config import read, units
from sidecar.config.sections import PeerAddress
from sidecar.core.objects import trust as trust_object
from sidecar.core.objects.trust import Trust
from sidecar.core.reason import ProtocolError
from sidecar.signer import Signer
from sidecar.sync.peer import Peer

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., object])

FILE = click.Path(path_type=Path, dir_okay=False)
TIMEOUT_MS = 2_000
DAY_MS = 86_400_000


class Duration(click.ParamType[int]):
    """`500ms`, `4s`, `24h` or `365d` in milliseconds."""

    name = "duration"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Read the text; a number was read before."""
        if isinstance(value, int):
            return value
        said = str(value)
        try:
            if said.endswith("d"):
                return units.count(said[:-1]) * DAY_MS
            return units.duration(said)
        except ValueError:
            self.fail(f"{said!r} must be a duration like 500ms, 4s, 24h or 365d", param, ctx)


DURATION = Duration()


@dataclass(frozen=True, slots=True)
class Where:
    """Whom a command speaks to, under which trust document."""

    trust: Trust
    addresses: tuple[PeerAddress, ...]

    def run(self, job: Callable[[Sequence[Peer]], Awaitable[T]]) -> T:
        """Run one job with connected peers, and let go of them."""

        async def whole() -> T:
            peers = [Peer(address, TIMEOUT_MS) for address in self.addresses]
            try:
                return await job(peers)
            finally:
                for peer in peers:
                    peer.close()

        try:
            return asyncio.run(whole())
        except TooFewPeersError as error:
            raise CliError(
                f"cannot tell what is newest: {error}; start the peers, or name others with --peer",
                text.UNAVAILABLE,
            ) from None


@dataclass(frozen=True, slots=True)
class Choice:
    """What the options said, not resolved yet.

    Attributes:
        trust_file: --trust.
        config: --config.
        peers: Every --peer.
    """

    trust_file: Path | None
    config: Path | None
    peers: tuple[str, ...]

    def where(self) -> Where:
        """Resolve it.

        Raises:
            CliError: when the options do not say enough, or say it twice.
        """
        if self.config is not None and self.peers:
            raise CliError("peers: --config and --peer both name them; give one", text.USAGE)
        if self.config is not None:
            loaded = read.read_authority(self.config, os.environ).config
            return Where(load_trust(self.trust_file or loaded.trust_file), loaded.peers)
        if not self.peers:
            raise CliError("peers: none; give --config authority.yaml or --peer URL", text.USAGE)
        if self.trust_file is None:
            raise CliError("trust document: none named; give --trust trust.json", text.USAGE)
        addresses = tuple(_address(url) for url in self.peers)
        return Where(load_trust(self.trust_file), addresses)


def peer_options(command: Callable[..., None]) -> Callable[..., None]:
    """--trust, --config and --peer, handed to the command as `choice`."""

    @click.option("--trust", "trust_file", type=FILE, help="The trust document.")
    @click.option("--config", type=FILE, help="authority.yaml: peers and trust document.")
    @click.option("--peer", "peers", multiple=True, metavar="URL", help="redis://host:port/0.")
    @functools.wraps(command)
    def resolved(
        *,
        trust_file: Path | None,
        config: Path | None,
        peers: tuple[str, ...],
        **rest: object,
    ) -> None:
        command(choice=Choice(trust_file, config, peers), **rest)

    return resolved


def key_option(command: F) -> F:
    """--key, once per key, read back with `load_keys`."""
    return click.option(
        "--key", "keys", multiple=True, required=True, metavar="FILE|exec:COMMAND",
        help="Key file, or a program that signs; repeat it.",
    )(command)  # fmt: skip


def output_option(command: F) -> F:
    """-o json."""
    return click.option(
        "-o",
        "output",
        type=click.Choice(["table", "json"]),
        default="table",
        help="Form of output.",
    )(command)


def load_trust(path: Path) -> Trust:
    """Read and verify a trust document.

    Raises:
        CliError: when it is none.
    """
    try:
        return trust_object.parse(path.read_bytes().removesuffix(b"\n"), clock.now().wall)
    except ProtocolError as error:
        raise CliError(
            f"trust document: {path}: {error}; get a fresh copy", text.VERIFICATION_FAILED
        ) from None


def load_keys(said: Sequence[str]) -> list[Signer]:
    """Keys by what --key calls them; one given twice counts once."""
    held = {key.key_id: key for key in (signer.load_any(one) for one in said)}
    return list(held.values())


def show_acks(
    results: Mapping[str, str], need: int, output: str, said: Mapping[str, object],
    *, one_line: bool = False,
) -> int:  # fmt: skip
    """Print who took what was published.

    Args:
        results: Peer -> `ok`, or why not.
        need: How many are enough.
        output: `table` or `json`.
        said: What was published, for people and programs.
        one_line: JSON on one line, as more follows.

    Returns:
        How many peers took it.
    """
    acks = sum(result == OK for result in results.values())
    if output == "json":
        show = text.print_line if one_line else text.print_json
        show({**said, "acks": acks, "needed": need, "peers": dict(results)})
        return acks
    for name, value in said.items():
        click.echo(f"{name}: {value}")
    text.table(["peer", "result"], results.items())
    return acks


def _address(url: str) -> PeerAddress:
    try:
        said = units.peer_url(url)
    except ValueError as error:
        raise CliError(f"--peer: {error}", text.USAGE) from None  # the URL may hold a secret
    return PeerAddress(
        id=f"{said.host}:{said.port}", host=said.host, port=said.port, db=said.db,
        username=said.username, tls=said.tls,
    )  # fmt: skip
