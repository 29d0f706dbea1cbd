"""Signs what no command and no authority would: a second authority in the hands of who tests.

It holds the deployment's own keys, as a thief would, and has a beat key and so a stream of its own.
While it works the deployment's authority stands still, and every beat that a sidecar gets is one
that a check asked for.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from sidecar import clock, signer
from sidecar.authority import ceremony
from sidecar.cli.conformance.check import expect
from sidecar.cli.conformance.parts import Peer
from sidecar.core import canonical, envelope, layout
from sidecar.core.log import merkle
from sidecar.core.objects import beat, epoch, report
from sidecar.core.objects.epoch import Epoch
from sidecar.core.objects.report import Report
from sidecar.core.objects.trust import Mark, TrustRef, parse
from sidecar.core.reason import ProtocolError
from sidecar.signer import sign

BEAT_S = 0.1
DAY_MS = 86_400_000
LEASE = epoch.Activation(mode="lease", supersedes=True)
NO_FLEET = beat.Fleet(root=merkle.EMPTY_ROOT.hex(), size=0, expected=0, diverged=0)

Show = Callable[[int, bytes], bytes | None]  # number of a peer, a beat -> what it gets


class Hand:
    """Signs, and decides which peer gets what.

    Args:
        keys: Folder of the key files; the trust document lies beside it.
        peers: Where things are put.

    Attributes:
        vouched: The epoch that its beats name; None: the newest there is.
        changes: Fields of its beats to replace.
        speaks: Whether it beats by itself.
        show: What each peer gets of a beat.
        acknowledges: Which of the reports that it has seen of an instance a beat covers: newest
            last; None: none is.
        diverged: What its beats say of the fleet.
        seq: Number of its latest beat.
    """

    def __init__(self, keys: Path, peers: Sequence[Peer]) -> None:
        self.trust = parse((keys.parent / "trust.json").read_bytes().rstrip(), clock.now().wall)
        self._keys, self._peers = keys, peers
        self._key = signer.load(keys / "beat-2.key")
        self.seq = 0
        self._reports: dict[str, list[Report]] = {}
        self.reset()

    def reset(self) -> None:
        """Be honest again, under the newest trust document that the first peer holds."""
        while raw := self._peers[0].get(self._successor_key):
            self.trust = self.trust.rotate(raw, clock.now().wall)
        self.vouched: Epoch | None = None
        self.changes: dict[str, Any] = {}
        self.speaks = True
        self.show: Show = lambda _, raw: raw
        self.acknowledges: Callable[[Sequence[Report]], Report | None] = lambda seen: seen[-1]
        self.diverged = 0

    @property
    def beat_key(self) -> str:
        """Where its beats lie."""
        return layout.beat_key(self.trust.domain, self._key.key_id)

    @property
    def _successor_key(self) -> str:
        return layout.trust_key(self.trust.domain, self.trust.version + 1)

    @property
    def _under(self) -> TrustRef:
        return TrustRef(version=self.trust.version, sha256=self.trust.sha256)

    @property
    def proofs_key(self) -> str:
        """Where its proofs lie."""
        return layout.proofs_key(self.trust.domain, self._key.key_id)

    def newest(self) -> Epoch:
        """The newest epoch, as the first peer's hint names it."""
        named = self._peers[0].get(layout.head_key(self.trust.domain)) or b""
        raw = self._peers[0].get(layout.epoch_key(self.trust.domain, named.decode())) or b""
        return ceremony.open_epoch(raw, self.trust, clock.now().wall)

    def sign_epoch(self, *, keys: int = 2, **changes: Any) -> tuple[str, bytes, Epoch]:  # noqa: ANN401
        """The epoch after the newest, with these fields of its predicate.

        Args:
            keys: How many epoch keys sign.
            **changes: Fields to replace.

        Returns:
            Digest, envelope as signed by so many keys, and the epoch as two would have signed it.
        """
        before, now = self.newest(), clock.now().wall
        said = {
            "seq": before.seq + 1, "prev_sha256": before.sha256, "issued_at": now,
            "trust": self._under, "not_before": now - 60_000, "not_after": now + DAY_MS,
            "reason": "conformance", "activation": LEASE, **changes,
        }  # fmt: skip
        body = epoch.statement(msgspec.structs.replace(before.says, **said))
        held = [signer.load(self._keys / f"epoch-{number}.key") for number in (1, 2)]
        whole = sign(epoch.PAYLOAD_TYPE, body, *held)
        made = ceremony.open_epoch(whole, self.trust, now)
        return made.sha256, sign(epoch.PAYLOAD_TYPE, body, *held[:keys]), made

    def put_epoch(self, *, head: bool = True, keys: int = 2, **changes: Any) -> Epoch:  # noqa: ANN401
        """Sign the next epoch, give it to every peer, and vouch for it.

        Args:
            head: Whether it becomes the newest for everybody; not, when it must not be one.
            keys: How many epoch keys sign.
            **changes: Fields of its predicate to replace.
        """
        sha256, raw, made = self.sign_epoch(keys=keys, **changes)
        for peer in self._peers:
            peer.put(layout.epoch_key(self.trust.domain, sha256), raw)
            if head:
                peer.put(layout.head_key(self.trust.domain), sha256)
        self.vouched = made
        return made

    def put_blob(self, sha256: str, body: bytes) -> None:
        """Put bytes where a policy or route table of that digest is looked for, on every peer."""
        for peer in self._peers:
            peer.put(layout.blob_key(self.trust.domain, sha256), body)

    def blob(self, sha256: str) -> bytes:
        """A policy or route table that the peers hold."""
        return self._peers[0].get(layout.blob_key(self.trust.domain, sha256)) or b""

    def sign_beat(self, **changes: Any) -> bytes:  # noqa: ANN401
        """Sign the next beat: as the authority's latest, with these fields."""
        self.seq = changes.get("seq", self.seq + 1)
        vouched = self.vouched or self.newest()
        said = {
            "issuer": self._key.key_id, "seq": self.seq, "prev_sha256": None,
            "issued_at": clock.now().wall, "fleet": NO_FLEET, "trust": self._under,
            "epoch": Mark(seq=vouched.seq, sha256=vouched.sha256), **changes,
        }  # fmt: skip
        body = canonical.dump(msgspec.structs.replace(self._authority(), **said))
        return sign(beat.PAYLOAD_TYPE, body, self._key)

    def give(self, raw: bytes, *numbers: int, proofs: Mapping[str, bytes] | None = None) -> None:
        """Give a beat to these peers, numbered from 0; to all when none is named.

        Args:
            raw: Its envelope.
            *numbers: Of the peers.
            proofs: By instance. With the beat at once, or a busy machine would rarely see both.
        """
        for number in numbers or range(len(self._peers)):
            shown = self.show(number, raw)
            if shown is None:
                self._peers[number].delete(self.beat_key)
            else:
                self._peers[number].put(self.beat_key, shown, self.proofs_key, proofs)

    def tell(self) -> None:
        """Sign one beat over the reports that there are, and give it to the peers."""
        covered = self._covered()
        tree = merkle.levels([report.leaf(one.sha256) for one in covered])
        root = tree[-1][0] if covered else merkle.EMPTY_ROOT
        size = len(covered)
        fleet = beat.Fleet(root=root.hex(), size=size, expected=size, diverged=self.diverged)
        raw = self.sign_beat(**{"fleet": fleet, **self.changes})
        named = canonical.digest(envelope.parse(raw, beat.MAX_BYTES).unverified_payload)
        proofs = {}
        for index, one in enumerate(covered):
            steps = tuple(item.hex() for item in merkle.path(tree, index))
            proof = report.Proof(beat=named, report=one.sha256, index=index, path=steps)
            proofs[one.says.instance] = canonical.dump(proof)
        self.give(raw, proofs=proofs)

    def heard(self) -> list[int]:
        """How many reports it has seen of each instance."""
        return [len(seen) for seen in self._reports.values()]

    @contextlib.asynccontextmanager
    async def working(self) -> AsyncIterator["Hand"]:
        """Beat ten times a second meanwhile; honest at first, and gone afterwards."""
        self.reset()
        self._reports.clear()
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self._beat_on())
            try:
                yield self
            finally:
                task.cancel()
                for peer in self._peers:
                    peer.delete(self.beat_key, self.proofs_key)
                self.reset()

    async def _beat_on(self) -> None:
        while True:
            if self.speaks:
                self.tell()
            await asyncio.sleep(BEAT_S)

    def _authority(self) -> beat.Body:
        domain = self.trust.domain
        known = signer.load(self._keys / "beat-1.key").key_id
        raw = self._peers[0].get(layout.beat_key(domain, known))
        expect(raw, "the first peer has no beat of the authority")
        assert raw is not None
        body = envelope.parse(raw, beat.MAX_BYTES).unverified_payload
        return canonical.load(body, beat.Body, beat.MAX_BYTES)

    def _covered(self) -> list[Report]:
        """The report of each instance that the next beat shall cover, by name."""
        for name, raw in self._peers[0].hash(layout.reports_key(self.trust.domain)).items():
            seen = self._reports.setdefault(name, [])
            with contextlib.suppress(ProtocolError):
                found = report.open_report(raw, self.trust.domain)
                if not seen or seen[-1].sha256 != found.sha256:
                    seen.append(found)
        chosen = {name: self.acknowledges(seen) for name, seen in self._reports.items() if seen}
        return [one for name in sorted(chosen) if (one := chosen[name]) is not None]
