"""What the peers hold now, and putting something new on them.

Rules:

* What is the newest epoch is known only after `r` peers answered: what `w` acknowledged is then
  among the answers. Guessing would sign a second epoch under a number that is taken.
* Every name is followed to a verified epoch. Two verified epochs with one number end the matter. An
  epoch from before a rotation is verified by the floor that root signed, where it is that floor.
* Trust documents that followed the one on this machine are walked first.
* A write counts per peer, all of it or nothing.

Source: protocol b.2, b.5; hardening A02.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sidecar.authority.ceremony import CeremonyError, open_epoch
from sidecar.authority.publisher import PeerLike
from sidecar.core import canonical, envelope, layout, routes
from sidecar.core.fault import PeerError
from sidecar.core.instant import WallMs
from sidecar.core.issued import DOCUMENTS_MAX
from sidecar.core.issuing import WriteCommand
from sidecar.core.objects import beat, halt
from sidecar.core.objects import epoch as epochs
from sidecar.core.objects.beat import Beat
from sidecar.core.objects.epoch import Epoch
from sidecar.core.objects.halt import NO_HALTS, Halts, Order
from sidecar.core.objects.trust import Role, Trust
from sidecar.core.reason import ProtocolError
from sidecar.core.routes import Routes

READ_MAX_BYTES = 4 * 1024 * 1024
HISTORY_MAX = 1024  # epochs; the bound of a sidecar's own walk

OK = "ok"


class TooFewPeersError(Exception):
    """Not enough peers answered; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Found:
    """What the peers hold.

    Attributes:
        newest: The highest verified epoch, or None.
        raw: Its envelope.
        halts: The union of their orders.
        results: Peer -> `ok`, or why it did not answer.
        notes: What is wrong on a peer and does not matter, one line each.
    """

    newest: Epoch | None
    raw: bytes
    halts: Halts
    results: Mapping[str, str]
    notes: tuple[str, ...] = ()


async def walk(peers: Sequence[PeerLike], under: Trust, now: WallMs) -> Trust:
    """The newest trust document that follows `under` on any peer.

    Args:
        peers: Whom to ask.
        under: Where to begin.
        now: Wall clock.

    Raises:
        CeremonyError: two documents follow one.
    """
    for _ in range(DOCUMENTS_MAX):
        key = layout.trust_key(under.domain, under.version + 1)
        answers, _ = await _read(peers, (key,), ())
        raws = {raw for found in answers.values() for raw in found.get(key, ())}
        found_next = [one for raw in sorted(raws) if (one := _next(under, raw, now))]
        following = {one.sha256: one for one in found_next}
        if len(following) > 1:
            raise CeremonyError(
                f"two trust documents carry number {under.version + 1}; root keys signed both: "
                "find out which is meant"
            )
        if not following:
            break
        (under,) = following.values()
    return under


def _next(under: Trust, raw: bytes, now: WallMs) -> Trust | None:
    try:
        return under.rotate(raw, now)
    except ProtocolError:
        return None


async def look(peers: Sequence[PeerLike], under: Trust, now: WallMs, need: int) -> Found:
    """Read and verify what the peers hold.

    Args:
        peers: Whom to ask.
        under: The trust document in force.
        now: Wall clock.
        need: How many must answer.

    Raises:
        TooFewPeersError: fewer answered.
        CeremonyError: two verified epochs carry one number.
    """
    head_key, halts_key = layout.head_key(under.domain), layout.halts_key(under.domain)
    answers, results = await _read(peers, (head_key,), (halts_key,))
    if len(answers) < need:
        why = ", ".join(f"{peer}: {result}" for peer, result in results.items() if result != OK)
        raise TooFewPeersError(f"{len(answers)} of {need} needed peers answered ({why})")
    notes: list[str] = []
    named = {
        raw.decode("ascii", "replace") for found in answers.values() for raw in found[head_key]
    }
    floor = under.body.floors.epoch
    if floor is not None:
        named.add(floor.sha256)
    epochs = await _epochs(peers, under, now, sorted(named), notes)
    newest, raw = _newest(epochs)
    return Found(newest, raw, _union(answers, under, now), results, tuple(notes))


async def orders(
    peers: Sequence[PeerLike], under: Trust, now: WallMs
) -> tuple[Halts, Mapping[str, str]]:
    """The union of the orders that the peers hold, each verified; and who answered.

    Args:
        peers: Whom to ask.
        under: The trust document in force.
        now: Wall clock.

    Returns:
        The orders, and peer -> `ok`, or why it did not answer.
    """
    answers, results = await _read(peers, (), (layout.halts_key(under.domain),))
    return _union(answers, under, now), results


async def route_table(peers: Sequence[PeerLike], under: Trust, made: Epoch) -> Routes | None:
    """The route table that an epoch names; None when no peer that answers has it."""
    sha256 = made.says.routes.sha256
    raw = (await fetch(peers, under, (sha256,))).get(sha256)
    try:
        return None if raw is None else routes.parse(raw)
    except ProtocolError:
        return None


async def history(
    peers: Sequence[PeerLike], under: Trust, newest: Epoch, now: WallMs, limit: int
) -> list[Epoch]:
    """The chain back from `newest`, newest first, as far as the peers hold it.

    Args:
        peers: Whom to ask.
        under: The trust document in force.
        newest: Where to begin.
        now: Wall clock.
        limit: At most so many.
    """
    chain = [newest]
    while chain[-1].says.prev_sha256 is not None and len(chain) < min(limit, HISTORY_MAX):
        found = await _epochs(peers, under, now, [chain[-1].says.prev_sha256], [])
        if not found or found[0][0].seq != chain[-1].seq - 1:
            break
        chain.append(found[0][0])
    return chain


async def blobs(
    peers: Sequence[PeerLike], under: Trust, of: Epoch
) -> tuple[bytes | None, bytes | None]:
    """Policy and route table of an epoch, by their digests; None where no peer has them."""
    policy, routes = of.says.policy.sha256, of.says.routes.sha256
    found = await fetch(peers, under, (policy, routes))
    return found.get(policy), found.get(routes)


async def profile(peers: Sequence[PeerLike], under: Trust, of: Epoch) -> bytes | None:
    """The profile of an epoch; None: the one that is built in.

    Raises:
        CeremonyError: no peer has it.
    """
    said = of.says.profile
    if said == epochs.BASELINE:
        return None
    found = await fetch(peers, under, (said.sha256,))
    if said.sha256 not in found:
        raise CeremonyError(
            f"the profile of epoch {of.seq}, {said.name} ({said.sha256}), is on no peer, so nobody "
            "can say what the next one changes; put it back (epochgate policy publish FILE), or "
            "let a running authority do it"
        )
    return found[said.sha256]


async def fetch(
    peers: Sequence[PeerLike], under: Trust, digests: Sequence[str]
) -> dict[str, bytes]:
    """The blobs with these SHA-256 digests, hex, each verified; without those that no peer has."""
    keys = {layout.blob_key(under.domain, sha256): sha256 for sha256 in digests}
    answers, _ = await _read(peers, tuple(keys), ())
    return {
        sha256: raw
        for key, sha256 in keys.items()
        for found in answers.values()
        for raw in found.get(key, ())
        if canonical.digest(raw) == sha256
    }


async def beats(peers: Sequence[PeerLike], under: Trust, now: WallMs) -> list[Beat]:
    """The live beats that peers hold, each verified; those of an authority that is gone are not."""
    keys = tuple(layout.beat_key(under.domain, issuer) for issuer in under.keys[Role.BEAT])
    answers, _ = await _read(peers, keys, ())
    raws = {raw for found in answers.values() for values in found.values() for raw in values}
    opened = (_beat(raw, under, now) for raw in sorted(raws))
    slack_ms = under.body.limits.skew_max_ms
    return [
        one
        for one in opened
        if one is not None and now < one.says.issued_at + one.says.ttl_ms + slack_ms
    ]


def _beat(raw: bytes, under: Trust, now: WallMs) -> Beat | None:
    try:
        sealed = envelope.parse(raw, beat.MAX_BYTES)
        return beat.parse(under.open_single(sealed, Role.BEAT, beat.PAYLOAD_TYPE, now))
    except ProtocolError:
        return None


async def publish(peers: Sequence[PeerLike], commands: Sequence[WriteCommand]) -> dict[str, str]:
    """Run the same commands on every peer at once. Returns peer -> `ok`, or why not."""

    async def one(peer: PeerLike) -> str:
        try:
            await peer.write(commands, _tag(*(part for line in commands for part in line)))
        except PeerError as error:
            return str(error)
        return OK

    results = await asyncio.gather(*(one(peer) for peer in peers))
    return {peer.id: result for peer, result in zip(peers, results, strict=True)}


def epoch_commands(
    under: Trust, made: Epoch, raw: bytes, blobs: Sequence[bytes]
) -> list[WriteCommand]:
    """What puts an epoch on a peer: what it names first, its name last."""
    said = made.says
    assert set(epochs.blobs(said)) <= {canonical.digest(raw) for raw in blobs}
    return [
        *blob_commands(under, blobs),
        ("SET", layout.epoch_key(under.domain, made.sha256), raw),
        ("SET", layout.head_key(under.domain), made.sha256),
        ("PUBLISH", layout.push_channel(under.domain), b""),
    ]


def blob_commands(under: Trust, blobs: Sequence[bytes]) -> list[WriteCommand]:
    """What puts blobs on a peer under their digests; no epoch names them by that."""
    return [("SET", layout.blob_key(under.domain, canonical.digest(raw)), raw) for raw in blobs]


def order_commands(under: Trust, order: Order) -> list[WriteCommand]:
    """What puts a halt or a clear on a peer."""
    field = layout.order_field(order.sha256)
    return [
        ("HSET", layout.halts_key(under.domain), field, order.raw),
        ("PUBLISH", layout.push_channel(under.domain), b""),
    ]


async def _read(
    peers: Sequence[PeerLike], strings: tuple[str, ...], hashes: tuple[str, ...]
) -> tuple[dict[str, Mapping[str, tuple[bytes, ...]]], dict[str, str]]:
    async def one(peer: PeerLike) -> Mapping[str, tuple[bytes, ...]] | str:
        try:
            return await peer.read(strings, hashes, READ_MAX_BYTES, _tag(*strings, *hashes))
        except PeerError as error:
            return str(error)

    replies = await asyncio.gather(*(one(peer) for peer in peers))
    pairs = [(peer.id, reply) for peer, reply in zip(peers, replies, strict=True)]
    answers = {peer: reply for peer, reply in pairs if not isinstance(reply, str)}
    return answers, {peer: reply if isinstance(reply, str) else OK for peer, reply in pairs}


async def _epochs(
    peers: Sequence[PeerLike], under: Trust, now: WallMs, named: Sequence[str], notes: list[str]
) -> list[tuple[Epoch, bytes]]:
    keys = {layout.epoch_key(under.domain, sha256): sha256 for sha256 in named}
    if not keys:
        return []
    answers, _ = await _read(peers, tuple(keys), ())
    found: list[tuple[Epoch, bytes]] = []
    for key, sha256 in keys.items():
        raws = {raw for answer in answers.values() for raw in answer.get(key, ())}
        good = [made for raw in sorted(raws) if (made := _epoch(raw, sha256, under, now))]
        found += good[:1]
        if not good:
            notes.append(f"head {sha256[:16]!r} names no epoch that verifies")
    return found


def _epoch(raw: bytes, sha256: str, under: Trust, now: WallMs) -> tuple[Epoch, bytes] | None:
    try:
        made = open_epoch(raw, under, now)
    except ProtocolError:
        return None
    return (made, raw) if made.sha256 == sha256 else None


def _newest(epochs: Sequence[tuple[Epoch, bytes]]) -> tuple[Epoch | None, bytes]:
    if not epochs:
        return None, b""
    newest, raw = max(epochs, key=lambda pair: pair[0].seq)
    for other, _ in epochs:
        if other.seq == newest.seq and other.sha256 != newest.sha256:
            raise CeremonyError(
                f"two epochs carry number {newest.seq}: {newest.sha256} and {other.sha256}; epoch "
                "keys signed both: find out which is meant, and set head on the peers to it"
            )
    return newest, raw


def _union(
    answers: Mapping[str, Mapping[str, tuple[bytes, ...]]], under: Trust, now: WallMs
) -> Halts:
    key = layout.halts_key(under.domain)
    raws = (raw for found in answers.values() for raw in found.get(key, ()))
    return NO_HALTS.union(order for raw in raws if (order := _order(raw, under, now)) is not None)


def _order(raw: bytes, under: Trust, now: WallMs) -> Order | None:
    try:
        return halt.open_order(raw, under, now)
    except ProtocolError:
        return None


def _tag(*parts: str | bytes) -> bytes:
    # Equal batches may share a tag: their answers say the same.
    text = [part.encode() if isinstance(part, str) else part for part in parts]
    return canonical.digest(b"\n".join(text)).encode()
