"""`FILE|sha256:DIGEST`: a policy, route table or profile, from a file or from the peers.

A file is built here. What comes from a peer is believed for nothing but its digest, and has to be
of the kind that was asked for.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from sidecar.authority import rollout
from sidecar.authority.ceremony import CeremonyError
from sidecar.authority.publisher import PeerLike
from sidecar.cli import source
from sidecar.core import policy, profile, routes
from sidecar.core.objects.trust import Trust
from sidecar.core.profile import BASELINE
from sidecar.core.reason import ProtocolError

PREFIX = "sha256:"
METAVAR = "FILE|sha256:DIGEST"

_DIGEST = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of artefact.

    Attributes:
        name: For people, and of the option.
        build: From a file to canonical bytes.
        check: Raises ProtocolError for bytes of another kind.
    """

    name: str
    build: Callable[[Path], bytes]
    check: Callable[[bytes], object]


POLICY = Kind("policy", source.load_policy, policy.parse)
ROUTES = Kind("routes", source.load_routes, routes.parse)
PROFILE = Kind("profile", source.load_profile, profile.parse)

Named = Path | str  # a file, a digest in hex, or the name of the profile that is built in
Wanted = bytes | str | None  # canonical bytes, a digest in hex, or nothing said


class _Artefact(click.ParamType[Named]):
    name = "artefact"

    def __init__(self, word: str = "") -> None:
        self._word = word  # means neither a file nor a digest

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> Named:
        if isinstance(value, Path):
            return value
        said = str(value)
        if said == self._word:
            return said
        if not said.startswith(PREFIX):
            return Path(said)
        digest = said.removeprefix(PREFIX)
        if not _DIGEST.fullmatch(digest):
            self.fail(f"{said[:80]!r} must be sha256: and 64 digits 0-9 a-f", param, ctx)
        return digest


ARTEFACT = _Artefact()
PROFILE_ARTEFACT = _Artefact(BASELINE.name)


def built(kind: Kind, named: Named | None) -> Wanted:
    """Build what is a file; a digest, and None, stay what they are.

    Raises:
        ResourceError: with everything that is wrong with the file.
        OSError: The file cannot be read.
    """
    return kind.build(named) if isinstance(named, Path) else named


async def fetched(peers: Sequence[PeerLike], under: Trust, kind: Kind, sha256: str) -> bytes:
    """What the peers hold under a digest, hex.

    Raises:
        CeremonyError: nobody has it, or it is something else.
    """
    raw = (await rollout.fetch(peers, under, (sha256,))).get(sha256)
    if raw is None:
        raise CeremonyError(
            f"no peer has {PREFIX}{sha256}; put it there (epochgate policy publish FILE), or name "
            f"the file: --{kind.name} FILE"
        )
    try:
        kind.check(raw)
    except ProtocolError as error:
        raise CeremonyError(
            f"{PREFIX}{sha256} cannot be the {kind.name} of an epoch: {error.detail}"
        ) from None
    return raw
