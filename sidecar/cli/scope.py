"""Scopes of halts as people write them: `KIND[:NAME]`; what they stop; if there is such a part.

A name that nothing has stops nothing, and a halt is ordered in a hurry. So a name that cannot be
one is refused before anything is signed, and one that is none in the newest epoch is said
afterwards: looking it up must not keep a halt from the peers.
"""

import re
from collections.abc import Sequence
from typing import get_args

from sidecar.authority import rollout
from sidecar.authority.ceremony import CeremonyError, ScopeKind
from sidecar.authority.publisher import PeerLike
from sidecar.authority.rollout import TooFewPeersError
from sidecar.cli import text
from sidecar.cli.resource import NAME_RULE
from sidecar.cli.text import CliError
from sidecar.core.instant import WallMs
from sidecar.core.objects.trust import Trust
from sidecar.core.routes import Routes

KINDS: tuple[ScopeKind, ...] = get_args(ScopeKind)
UNNAMED = ("global", "drill")  # kinds that name no part

_NAME = (re.compile(r"[a-z0-9][a-z0-9._-]{0,62}"), NAME_RULE)
_INSTANCE = (
    re.compile(r"[a-z0-9][a-z0-9._-]{0,62}-[0-9a-f]{16}"),
    "a service's name, - and 16 hex digits, as epochgate status shows it",
)
_VALUE = (
    re.compile(r"[\x21-\x2b\x2d-\x7e](?:[\x20-\x2b\x2d-\x7e]{0,254}[\x21-\x2b\x2d-\x7e])?"),
    "printable ASCII without commas, at most 256, as it stands in the header",
)
_RULES = {
    "service": _NAME, "route": _NAME, "instance": _INSTANCE, "model": _VALUE, "tenant": _VALUE,
}  # fmt: skip
_STOPS = {
    "global": "every sidecar",
    "service": "every sidecar of service {}",
    "instance": "the sidecar {}",
    "route": "requests that take route {}",
    "model": "requests for model {}, and those whose model cannot be told",
    "tenant": "requests of tenant {}, and those whose tenant cannot be told",
    "drill": "nothing",
}


def parse(said: str) -> tuple[ScopeKind, str]:
    """Kind and name from `KIND` or `KIND:NAME`.

    Raises:
        CliError: it is no scope, or the name can be none of that kind.
    """
    word, colon, value = said.partition(":")
    kind = next((kind for kind in KINDS if kind == word), None)
    if kind is None or (kind == "global" and colon) or (kind not in UNNAMED and not value):
        known = ", ".join(kind if kind in UNNAMED else f"{kind}:NAME" for kind in KINDS)
        raise CliError(f"--scope {said}: must be one of {known}", text.USAGE)
    if kind in _RULES:
        pattern, rule = _RULES[kind]
        if not pattern.fullmatch(value):
            raise CliError(f"--scope {said}: the name must be {rule}", text.USAGE)
    return kind, value


def stops(kind: ScopeKind, value: str) -> str:
    """What a halt with this scope stops, in words."""
    return _STOPS[kind].format(value)


async def doubt(
    peers: Sequence[PeerLike], under: Trust, kind: ScopeKind, value: str, now: WallMs
) -> str | None:
    """Why a halt of some requests may stop others than was meant, or None.

    Args:
        peers: Whom to ask for the newest epoch and its route table.
        under: The trust document in force.
        kind: Of the scope.
        value: Its name.
        now: Wall clock.
    """
    if kind not in ("route", "model", "tenant"):
        return None
    unread = f"nobody looked whether there is a {kind} {value}: the route table cannot be read"
    try:
        newest = (await rollout.look(peers, under, now, 1)).newest
    except (TooFewPeersError, CeremonyError):
        return unread
    table = None if newest is None else await rollout.route_table(peers, under, newest)
    if newest is None or table is None:
        return unread
    return _doubt(table, newest.seq, kind, value)


def _doubt(table: Routes, epoch: int, kind: ScopeKind, value: str) -> str | None:
    if kind == "route":
        if value in table.names:
            return None
        known = ", ".join(table.names) or "none"
        return f"epoch {epoch} has no route {value}, so nothing is stopped there; it has {known}"
    header = table.model_header if kind == "model" else table.tenant_header
    if header is not None:
        return None
    return (
        f"epoch {epoch} does not say where the {kind} of a request stands (attributes in its route "
        "table), so every request is stopped there"
    )
