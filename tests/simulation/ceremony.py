"""Root rotates trust, as its real ceremony does: keys come and go, floors are filled.

* One version or several in a row, at any time. A key is retired, or revoked because it was stolen;
  its successor is handed to whoever held it, a while later.
* Recovery: every stolen key is revoked, the epoch floor names the epoch that was last meant, and
  people issue the next one. After that the fleet has to live again, whatever the thief drove ahead.
"""

from collections.abc import Sequence

import msgspec

from sidecar.authority import edits
from sidecar.authority.floors import Present, floors
from sidecar.core import canonical, layout
from sidecar.core.envelope import KeyId
from sidecar.core.instant import NS_PER_MS
from sidecar.core.objects import trust
from sidecar.core.objects.trust import Body, Role
from sidecar.signer import FileSigner, sign
from tests import builders
from tests.simulation.authority import SimulatedAuthority
from tests.simulation.office import Office, wall_of
from tests.simulation.peers import SimulatedPeer
from tests.simulation.scenario import Scenario
from tests.simulation.thief import Thief
from tests.simulation.truth import Truth
from tests.simulation.world import World

NEW_FROM = 100  # keys that come are numbered apart from the first ones
ROLES = {
    "beat": (Role.BEAT,), "epoch": (Role.EPOCH,), "root": (Role.ROOT,), "halt": (Role.HALT,),
    "any": (Role.BEAT, Role.EPOCH, Role.ROOT, Role.HALT, Role.RESUME),
}  # fmt: skip


class Root:
    """Those who hold the root keys.

    Args:
        world: Time and randomness.
        scenario: What is rotated.
        truth: Learns each document.
        office: Publishes them.
        authorities: Get new keys.
        thief: Whose loot is revoked.
    """

    def __init__(
        self,
        world: World,
        scenario: Scenario,
        truth: Truth,
        office: Office,
        authorities: Sequence[SimulatedAuthority],
        thief: Thief,
    ) -> None:
        self._world = world
        self._scenario = scenario
        self._truth = truth
        self._office = office
        self._authorities = authorities
        self._thief = thief
        self._made = NEW_FROM

    def rotate(self) -> None:
        """One version, or several in a row."""
        rng = self._world.rng
        for _ in range(rng.choice((1, 1, 1, 2, 3))):
            role = rng.choice(ROLES[self._scenario.rotated])
            stolen = rng.random() < self._scenario.revoke_rate
            key = rng.choice(self._truth.held[role])
            loot = [item for item in self._thief.loot if item in self._truth.held[role]]
            self._replace({role: loot if stolen and loot else [key]}, stolen=stolen)

    def recover(self) -> None:
        """Revoke what the thief has used, if it has."""
        held = self._truth.held
        loot = {
            role: [key for key in self._thief.loot if key in held[role]]
            for role in (Role.BEAT, Role.EPOCH, Role.HALT)
        }
        if self._thief.struck and any(loot.values()):
            self._replace({role: keys for role, keys in loot.items() if keys}, stolen=True)

    def _replace(self, leaving: dict[Role, list[FileSigner]], *, stolen: bool) -> None:
        truth = self._truth
        before, body = dict(truth.held), truth.trust.body
        for role, keys in leaving.items():
            coming = [self._new(role) for _ in keys]
            pairs = dict(zip([key.key_id for key in keys], coming, strict=True))
            truth.held[role] = [pairs.get(key.key_id, key) for key in truth.held[role]]
            truth.ever[role] += coming
            body = self._edited(body, role, keys, coming, stolen=stolen)
        roots = {key.key_id: key for key in (*before[Role.ROOT][:2], *truth.held[Role.ROOT][:2])}
        self._publish(body, list(roots.values()))
        what = ", ".join(role.value for role in leaving)
        self._world.say("root", f"trust {truth.trust.version}: {what}, stolen: {stolen}")
        delay_ms = self._world.rng.random() * self._scenario.ttl_ms
        self._world.after(int(delay_ms * NS_PER_MS), self.hand_over)
        if stolen and Role.EPOCH in leaving:
            self._office.advance()

    def _new(self, role: Role) -> FileSigner:
        self._made += 1
        return builders.signer(role, self._made)

    def _edited(
        self,
        body: Body,
        role: Role,
        keys: list[FileSigner],
        coming: list[FileSigner],
        *,
        stolen: bool,
    ) -> Body:
        body = edits.add_keys(body, role, [key.public for key in coming])
        for key in keys:
            if stolen:
                body = edits.revoke_key(body, key.key_id, "stolen", wall_of(self._world))
            else:
                body = edits.retire_keys(body, role, (key.key_id,))
        return body

    def _publish(self, body: Body, roots: list[FileSigner]) -> None:
        truth, now = self._truth, wall_of(self._world)
        body = msgspec.structs.replace(
            body, version=truth.trust.version + 1, prev_sha256=truth.trust.sha256, issued_at=now
        )
        body = edits.set_floors(body, self._floors(body))
        raw = sign(trust.PAYLOAD_TYPE, canonical.dump(body), *roots)
        key = layout.trust_key(truth.trust.domain, body.version)
        truth.trust_signed(raw, self._world.now_ns)

        def change(peer: SimulatedPeer) -> None:
            peer.put(key, raw)
            peer.published(peer.name)

        self._office.publish(change)

    def _floors(self, body: Body) -> trust.Floors:
        truth = self._truth
        newest = truth.epochs[max(truth.epochs)]
        _, raw = truth.epochs_by_key[layout.epoch_key(truth.trust.domain, newest.sha256)]
        beats: dict[KeyId, int] = {}
        for said, seq in truth.numbers:
            issuer = KeyId(said)
            beats[issuer] = max(seq, beats.get(issuer, 0))
        present = Present(newest, raw, beats, truth.pinned.orders)
        after = trust.unsigned(body)
        return floors(present, truth.trust.body.floors, after, wall_of(self._world))

    def hand_over(self) -> None:
        """Whoever runs an authority whose key has left learns of it, and brings the next one."""
        for authority, key in zip(self._authorities, self._truth.held[Role.BEAT], strict=False):
            if authority.key_id != key.key_id:
                authority.hand(key)
