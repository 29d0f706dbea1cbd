"""The lowest numbers that the next trust document demands, from what the peers hold now.

Rules:

* A floor only names what was verified under the document in force, and what its successor can
  still verify: a halt whose key leaves does not count, or a new sidecar would wait for ever
  for an order that it cannot read.
* A floor never sinks because peers have forgotten; only a person lowers it, by `--floor-epoch`.
* Enough peers must have answered (`rollout.look`); a floor from one peer could be an old one.

Source: TUF 5.3.11, fast-forward recovery; protocol b.11.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sidecar.authority import rollout
from sidecar.authority.ceremony import open_epoch
from sidecar.authority.publisher import PeerLike
from sidecar.core import canonical, envelope, layout
from sidecar.core.envelope import KeyId
from sidecar.core.fault import PeerError
from sidecar.core.instant import WallMs
from sidecar.core.objects import beat, halt
from sidecar.core.objects.epoch import Epoch
from sidecar.core.objects.halt import Order
from sidecar.core.objects.trust import Floors, Mark, Role, Trust
from sidecar.core.reason import ProtocolError


@dataclass(frozen=True, slots=True)
class Present:
    """What a fleet has come to.

    Attributes:
        epoch: The newest verified epoch, or None.
        epoch_raw: Its envelope.
        beats: Beat key id -> the highest number it has signed.
        orders: Every verified halt and clear.
    """

    epoch: Epoch | None
    epoch_raw: bytes
    beats: Mapping[KeyId, int]
    orders: tuple[Order, ...]


async def survey(peers: Sequence[PeerLike], under: Trust, now: WallMs) -> Present:
    """Read and verify what the peers hold under the document in force.

    Raises:
        TooFewPeersError: fewer answered than must agree.
        CeremonyError: two verified epochs carry one number.
    """
    found = await rollout.look(peers, under, now, under.body.quorum.r)
    beats: dict[KeyId, int] = {}
    for answer in await asyncio.gather(*(beats_on(peer, under, now) for peer in peers)):
        for heard in answer:
            beats[heard.issuer] = max(heard.seq, beats.get(heard.issuer, 0))
    return Present(found.newest, found.raw, beats, found.halts.orders)


def floors(present: Present, before: Floors, after: Trust, now: WallMs) -> Floors:
    """The floors for a document that would be `after` once signed.

    Args:
        present: What the peers hold.
        before: Floors so far: peers that forgot lower none of them.
        after: The document they are for.
        now: Wall clock.
    """
    newest = present.epoch
    mark = None if newest is None else Mark(seq=newest.seq, sha256=newest.sha256)
    if mark is None or (before.epoch is not None and mark.seq < before.epoch.seq):
        mark = before.epoch
    keys = after.keys[Role.BEAT]
    beats: dict[str, int] = {
        key: max(before.beat.get(key, 0), present.beats.get(key, 0))
        for key in keys
        if key in before.beat or key in present.beats
    }
    lost = _lost(present, after, now)
    return Floors(epoch=mark, beat=beats, halt=max(len(present.orders), before.halt) - lost)


def cautions(present: Present, after: Trust, now: WallMs) -> list[str]:
    """What would stop when `after` comes into force, one line each."""
    said: list[str] = []
    newest = present.epoch
    if newest is not None and not _opens(present.epoch_raw, after, now):
        said.append(
            f"epoch {newest.seq} is not signed by enough epoch keys of version {after.version}: "
            "new sidecars stay contained until you issue the next one. To go without a gap, add "
            "the new keys first, issue an epoch with them, then retire the old"
        )
    lost = _lost(present, after, now)
    if lost:
        said.append(
            f"{lost} halts or clears were signed by keys that version {after.version} has no more: "
            "new sidecars cannot read them and stay contained (EG907) until each was cleared, or "
            "cleared again, by resume keys of that version"
        )
    return said


async def beats_on(peer: PeerLike, under: Trust, now: WallMs) -> list[beat.Beat]:
    """The verified beats that a peer holds, one of each key; none when it does not answer."""
    keys = tuple(layout.beat_key(under.domain, key) for key in under.keys[Role.BEAT])
    if not keys:
        return []
    tag = canonical.digest("\n".join(keys).encode()).encode()
    try:
        answer = await peer.read(keys, (), rollout.READ_MAX_BYTES, tag)
    except PeerError:
        return []  # one that answered `look` and is gone: others have what was committed
    raws = [raw for key in keys for raw in answer.get(key, ())]
    return [heard for raw in raws if (heard := _beat(raw, under, now)) is not None]


def _beat(raw: bytes, under: Trust, now: WallMs) -> beat.Beat | None:
    try:
        sealed = envelope.parse(raw, beat.MAX_BYTES)
        heard = beat.parse(under.open_single(sealed, Role.BEAT, beat.PAYLOAD_TYPE, now))
    except ProtocolError:
        return None
    return heard if heard.says.domain == under.domain else None


def _lost(present: Present, after: Trust, now: WallMs) -> int:
    return sum(not _readable(order, after, now) for order in present.orders)


def _readable(order: Order, after: Trust, now: WallMs) -> bool:
    try:
        halt.open_order(order.raw, after, now)
    except ProtocolError:
        return False
    return True


def _opens(raw: bytes, after: Trust, now: WallMs) -> bool:
    try:
        open_epoch(raw, after, now)
    except ProtocolError:
        return False
    return True
