"""A sidecar under a profile that we ship, over as many peers as it asks for, without processes.

What it says of itself locally is loose in every respect: what is seen is what the profile demands.
"""

from collections.abc import Sequence
from pathlib import Path

from sidecar.cli import source
from sidecar.core import canonical, layout, profile
from sidecar.core import events as ev
from sidecar.core.follower import Follower
from sidecar.core.lease import Terms
from sidecar.core.objects import report
from sidecar.core.objects.trust import Limits, Quorum, Role
from sidecar.core.quorum import PeerId
from sidecar.core.setting import Setting
from sidecar.core.snapshot import Snapshot
from tests import builders, covering

ROOT = Path(__file__).resolve().parent.parent.parent / "policies" / "profiles"
LOOSE = Terms(60_000, 100, 2000, "clock")
POLL_MS = 2000
WHO = covering.identity()


class Context:
    """One context; each round begins where the last one ended.

    Args:
        name: Of the profile's folder.
        witnesses: How many keys have the role in the trust document.
    """

    def __init__(self, name: str, witnesses: int = 2) -> None:
        raw = source.load_profile(ROOT / name / "profile.yaml")
        rules = source.load_policy(ROOT / name / "policy.yaml")
        table = source.load_routes(ROOT / name / "routes.yaml")
        self.profile = profile.parse(raw)
        self.peers = [PeerId(f"p{number}") for number in range(self.profile.peers)]
        self.trust = builders.make_trust(
            limits=Limits(ttl_max_ms=60_000, skew_max_ms=100, drift_ppm=2000),
            quorum=Quorum(n=len(self.peers), r=2, w=len(self.peers) - 1),
            roles={**builders.ROLES, Role.WITNESS: (witnesses, 1)},
        )
        sealed = builders.epoch_bytes(
            self.trust, policy_blob=rules, routes_blob=table,
            profile=builders.profile_ref(raw, name),
        )  # fmt: skip
        self.epoch = builders.open_epoch(sealed, self.trust)
        self.objects = {
            layout.blob_key("test", canonical.digest(blob)): blob for blob in (raw, rules, table)
        }
        self.objects[layout.epoch_key("test", self.epoch.sha256)] = sealed
        setting = Setting(
            "model", "here", tuple(self.peers), 2, LOOSE, POLL_MS, identity=WHO, parent_key=True
        )
        self.follower = Follower(self.trust, setting, None)
        self.gate: Snapshot = self.follower.snapshot
        self.pause_ms = 0
        self._round = 0

    def serve(self, ms: int, *, covered: bool = True, peers: int | None = None) -> Snapshot:
        """A round in which so many peers serve a beat that was issued at its begin."""
        self._round += 1
        reads = self._feed(ev.RoundDue(0.5, bytes(32)), ms)
        raw, proof = self._beat(ms, reads if covered else ())
        key = layout.beat_key("test", builders.signer(Role.BEAT).key_id)
        found = {key: (raw,), layout.halts_key("test"): ()}
        if proof is not None:
            proofs = layout.proofs_key("test", builders.signer(Role.BEAT).key_id)
            found[layout.field_name(proofs, WHO.instance)] = (proof,)
        for number, peer in enumerate(self.peers):
            served = peers is None or number < peers
            answer = (
                ev.PeerReplied(peer, self._round, found, wrote=True)
                if served
                else ev.PeerFailed(peer, self._round, "timeout")
            )
            self._feed(answer, ms)
        return self.gate

    def _beat(self, ms: int, reads: Sequence[ev.ReadPeer]) -> tuple[bytes, bytes | None]:
        writes = [write[3] for read in reads for write in read.writes]
        raws = [raw for raw in writes if isinstance(raw, bytes)]
        made = report.open_report(raws[0], "test") if raws else None
        reports = [] if made is None else [made.sha256]
        said = {"seq": self._round, "issued_at": builders.now(ms).wall, "ttl_ms": 60_000}
        fleet = covering.fleet(reports)
        raw = builders.beat_bytes(self.trust, self.epoch, fleet=fleet, **said)
        if made is None:
            return raw, None
        named = builders.open_beat(raw, self.trust).sha256
        return raw, covering.proof(named, reports, made.sha256)

    def _feed(self, event: ev.Event, ms: int) -> list[ev.ReadPeer]:
        """One event, and what follows from it; the reads that it asked for."""
        reads = []
        for command in self.follower.handle(event, builders.now(ms)):
            match command:
                case ev.Publish(snapshot=snapshot):
                    self.gate = snapshot
                case ev.ReadPeer(strings=(key,), hashes=()):
                    found = {key: (self.objects[key],)} if key in self.objects else {}
                    self._feed(ev.PeerReplied(command.peer, command.round, found), ms)
                case ev.ReadPeer():
                    reads.append(command)
                case ev.Store():
                    self._feed(ev.Stored(command.generation), ms)
                case ev.WakeAfter():
                    self.pause_ms = command.delay_ms
                case _:
                    pass
        return reads
