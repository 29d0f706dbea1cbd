"""Rules of trust: the document in force, and who may sign under it.

T1 never an older document than one that was stored; T2 nothing is leaned on that was signed only by
keys without the role; T3 stored before used, on both sides.
"""

import msgspec

from sidecar.core import issued, marks
from sidecar.core.lease import Lease
from sidecar.core.objects import beat
from sidecar.core.objects.epoch import Epoch
from sidecar.core.objects.trust import Role
from tests.simulation.look import Look, violated
from tests.simulation.truth import Truth

_MARKS = msgspec.json.Decoder(marks.Marks)


def check_trust(look: Look) -> None:
    """What must hold of the document in force when a snapshot reaches the gate."""
    seen, version = look.seen, look.snapshot.trust_version
    if version < seen.stored_version:
        violated("T1", f"{look.name} is under trust {version}, has stored {seen.stored_version}")
    if version < seen.version:
        violated("T1", f"{look.name} goes back to trust {version} from {seen.version}")
    if version != seen.version:
        t3_stored_before_used(look, version)
        seen.adopted(look.truth.trusts[seen.version], look.truth.trusts[version], look.true_ns)
    t2_orders_were_signed_by_those_who_may(look)


def check_lease(look: Look, lease: Lease) -> None:
    """What must hold of the document in force when a lease does."""
    if look.snapshot.trust_version < look.seen.stored_version:
        violated("T1", f"{look.name} has stored trust {look.seen.stored_version}, grants under "
                 f"{look.snapshot.trust_version}")  # fmt: skip
    said = lease.beat.says.trust
    if (said.version, said.sha256) != (look.trust.version, look.trust.sha256):
        violated("T1", f"{look.name} leans on a beat under trust {said.version}")
    t2_signers_have_their_role(look, lease)


def t2_signers_have_their_role(look: Look, lease: Lease) -> None:
    """T2: who is behind a lease has the role, also when that has changed since."""
    if not look.trust.keys[Role.BEAT].keys() >= set(lease.issuers):
        violated("T2", f"{look.name} leans on a beat of a key without the role")
    if not may_enter(look, look.truth.by_sha[lease.epoch_sha256]):
        violated("T2", f"{look.name} serves epoch {lease.epoch_seq} without keys of role epoch")


def may_enter(look: Look, epoch: Epoch) -> bool:
    """Whether an epoch is signed by enough keys of the document in force, or known otherwise."""
    doc = look.trust
    floor = doc.body.floors.epoch
    if floor is not None and epoch.seq <= floor.seq:
        return epoch.sha256 == floor.sha256
    held = look.truth.signers[epoch.sha256] & doc.keys[Role.EPOCH].keys()
    return len(held) >= doc.role(Role.EPOCH).threshold or epoch.sha256 in look.seen.served


def t2_root_signed_it(truth: Truth, name: str, version: int, sha256: str) -> None:
    """T2: a document that is adopted is one that root made."""
    made = truth.trusts.get(version)
    if made is None or made.sha256 != sha256:
        violated("T2", f"{name} adopts trust {version} that root did not sign")


def t2_orders_were_signed_by_those_who_may(look: Look) -> None:
    """T2: an order that is taken is signed by keys that have the role here, or had it then."""
    seen = look.seen
    for order in look.snapshot.halts.orders:
        if order.sha256 not in seen.taken:
            seen.taken.add(order.sha256)
            judge = look.truth.permitted if look.clocks.wild else look.truth.readable
            if not judge(order, seen.since, seen.version):
                violated("T2", f"{look.name} takes an order of keys without the role")


def t3_stored_before_used(look: Look, version: int) -> None:
    """T3: a document is durable when it comes into force."""
    stored = None if look.disk is None else _MARKS.decode(look.disk[marks.DIGEST_LINE :])
    if stored is None or stored.trust.version < version:
        violated("T3", f"{look.name} uses trust {version} before it is stored")


def check_signing(truth: Truth, name: str, body: beat.Body, state: issued.State | None) -> None:
    """What must hold of trust when an authority is about to sign."""
    version = body.trust.version
    if truth.trusts[version].sha256 != body.trust.sha256:
        violated("T2", f"{name} signs under a document that root did not sign")
    if body.issuer not in truth.trusts[version].keys[Role.BEAT]:
        violated("T2", f"{name} signs without the role beat")
    a4_the_epoch_counts(truth, name, body)
    if state is None or state.trust is None or state.trust.version != version:
        violated("T3", f"{name} signs under trust {version}, which it has not stored")
    if body.issuer not in truth.restored and version < truth.versions_by.get(body.issuer, 0):
        violated("T1", f"{name} goes back to trust {version}")
    truth.versions_by[body.issuer] = version


def a4_the_epoch_counts(truth: Truth, name: str, body: beat.Body) -> None:
    """A4: whose epoch is vouched for had the role when it was taken up, or root names it."""
    doc, known = truth.trusts[body.trust.version], truth.vouched_by.setdefault(body.issuer, set())
    signers = truth.signers.get(body.epoch.sha256, frozenset())
    enough = len(signers & doc.keys[Role.EPOCH].keys()) >= doc.role(Role.EPOCH).threshold
    floor = doc.body.floors.epoch
    if not enough and body.epoch.sha256 not in known and floor != body.epoch:
        violated("A4", f"{name} vouches for an epoch of keys without the role")
    known.add(body.epoch.sha256)


def lowest(truth: Truth, body: beat.Body) -> int:
    """The lowest epoch number that an authority may vouch for now.

    Where a document replaced keys of role epoch, what they drove ahead falls back to its floor.
    """
    latest = truth.named_by.get(body.issuer, 0)
    floor = truth.trusts[body.trust.version].body.floors.epoch
    replaced = body.trust.version > 1 and any(
        truth.trusts[version].changed(truth.trusts[version + 1], Role.EPOCH)
        for version in range(1, body.trust.version)
    )
    return min(latest, floor.seq) if floor is not None and replaced else latest
