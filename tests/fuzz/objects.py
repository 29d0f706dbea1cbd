"""What holds for everything that is signed or stored: one value, one form in bytes.

Whatever is accepted, written again gives the bytes that were read. So no two byte strings pass as
one object, and nothing was read that the writer would not have written. Payloads are handed in
below the signatures, or signed on the way, so that the fuzzer gets past the first check.
"""

import json
from collections.abc import Callable
from typing import TypeVar

import msgspec

from sidecar.core import (
    canonical,
    envelope,
    issued,
    layout,
    lease,
    marks,
    policy,
    reply,
    routes,
    scoped,
    share,
)
from sidecar.core.envelope import Payload
from sidecar.core.follower import Follower, Setting
from sidecar.core.head import RequestHead
from sidecar.core.instant import BootNs
from sidecar.core.issued import Issued, State
from sidecar.core.lease import Lease, Terms
from sidecar.core.log import checkpoint, note, record
from sidecar.core.marks import Latch, Marks, ObjectMark
from sidecar.core.objects import beat, epoch, halt, report, trust
from sidecar.core.objects.trust import Role
from sidecar.core.policy import DENY_ALL
from sidecar.core.quorum import PeerId
from sidecar.core.reason import ProtocolError, Reason
from sidecar.core.snapshot import CLOSED, Hold, HoldKind, Snapshot
from sidecar.fence import check as fence
from sidecar.signer import sign
from tests import builders, covering
from tests.builders import DOMAIN, NOW, signer, signers

T = TypeVar("T")

TRUST = builders.make_trust()
EPOCH = builders.make_epoch(TRUST)
TERMS = Terms(ttl_ms=4000, skew_ms=500, drift_ppm=2000)
TOLD = builders.routes_bytes(attributes={"model": "x-model", "tenant": "x-tenant"})
SETTING = Setting("chat", "eu-1", (PeerId("a"), PeerId("b"), PeerId("c")), 2, TERMS, 250)
BEAT = builders.beat_bytes(TRUST, EPOCH)
ORDER = builders.order_bytes(TRUST)
# Everything that the keys of these tests ever signed: what a forgery is measured against.
GENUINE = {
    envelope.parse(raw, epoch.MAX_BYTES).unverified_payload
    for raw in (
        builders.trust_bytes(), builders.epoch_bytes(TRUST), BEAT, ORDER,
        builders.beat_bytes(TRUST, EPOCH, number=2), builders.order_bytes(TRUST, clears="a" * 32),
    )
}  # fmt: skip
COVERED = (canonical.digest(b"one"), canonical.digest(b"two"))  # reports
PATHS = (b"/", b"/v1/chat", b"/v1//chat", b"/v1/%2e", b"/health", b"/*", b"*")


def accepted(decode: Callable[[], T]) -> T | None:
    """What was decoded, or None for a `ProtocolError`; anything else gets through."""
    try:
        return decode()
    except ProtocolError as error:
        assert isinstance(error.reason, Reason)
        assert error.detail
        return None


def check_canonical(data: bytes) -> None:
    """Canonical JSON."""
    value = accepted(lambda: (canonical.parse(data, 65536),))
    if value is not None:
        assert canonical.encode(value[0]) == data
        assert json.loads(data) == value[0]


def check_envelope(data: bytes) -> None:
    """An envelope: reading it, and who signed it."""
    sealed = accepted(lambda: envelope.parse(data, 65536))
    if sealed is None:
        return
    again = envelope.seal(sealed.payload_type, sealed.unverified_payload, dict(sealed.signatures))
    reread = envelope.parse(again, 65536)
    assert reread.unverified_payload == sealed.unverified_payload
    assert sorted(reread.signatures) == sorted(sealed.signatures)
    for role in Role:
        payload = accepted(lambda: TRUST.open(sealed, role, sealed.payload_type, NOW))  # noqa: B023
        if payload is not None:
            assert payload.body in GENUINE, "a signature over bytes that nobody signed"
            assert len(payload.signers) >= TRUST.role(role).threshold


def check_trust(data: bytes) -> None:
    """A trust document, signed by two of the usual root keys."""
    raw = sign(trust.PAYLOAD_TYPE, data, *signers(Role.ROOT, 2))
    read = accepted(lambda: trust.parse(raw, NOW))
    if read is not None:
        assert canonical.dump(read.body) == data
        assert all(set(read.role(role).keyids) >= set(read.keys[role]) for role in Role)
        assert not read.revoked & {key for role in Role for key in read.keys[role]}
        read.expired(NOW)
        Follower(read, SETTING, None)


def check_rotate(data: bytes) -> None:
    """A trust document after the usual one, signed by two of its root keys."""
    raw = sign(trust.PAYLOAD_TYPE, data, *signers(Role.ROOT, 2))
    read = accepted(lambda: TRUST.rotate(raw, NOW))
    if read is not None:
        assert canonical.dump(read.body) == data
        assert (read.version, read.body.prev_sha256) == (TRUST.version + 1, TRUST.sha256)
        assert read.domain == TRUST.domain
        assert read.body.issued_at >= TRUST.body.issued_at
        held = {key.key_id for key in signers(Role.ROOT, 2)}
        assert len(held & read.keys[Role.ROOT].keys()) >= read.role(Role.ROOT).threshold
        assert trust.parse(read.raw, NOW) == read


def check_report(data: bytes) -> None:
    """A report, signed by the instance that the usual one is of."""
    key = builders.instance_key()
    raw = sign(report.PAYLOAD_TYPE, data, key)
    read = accepted(lambda: report.open_report(raw, DOMAIN))
    if read is not None:
        assert canonical.dump(read.says) == data
        assert read.key_id == key.key_id, "of another instance"
        assert read.says.instance.endswith(f"-{key.key_id[: report.NAME_DIGITS]}")


def check_proof(data: bytes) -> None:
    """A proof that a beat covers one of two reports."""
    read = accepted(lambda: report.parse_proof(data))
    if read is None:
        return
    assert canonical.dump(read) == data
    fleet = covering.fleet(COVERED)

    def proved() -> bool:
        report.verify_proof(read, fleet.size, fleet.root)
        return True

    if accepted(proved):
        assert COVERED[read.index] == read.report, "a report that the tree does not hold"
        assert len(read.path) == 1


def check_epoch(data: bytes) -> None:
    """An epoch, below its signatures."""
    payload = Payload(data, epoch.PAYLOAD_TYPE, canonical.digest(data), ())
    read = accepted(lambda: epoch.parse(payload))
    if read is not None:
        assert epoch.statement(read.says) == data
        wrong = epoch.inadmissible(read, "chat", "eu-1", NOW)
        assert wrong is None or isinstance(wrong, Reason)


def check_beat(data: bytes) -> None:
    """A beat, below its signature."""
    keys = (signer(Role.BEAT, 1).key_id, signer(Role.BEAT, 2).key_id)
    payload = Payload(data, beat.PAYLOAD_TYPE, canonical.digest(data), keys)
    read = accepted(lambda: beat.parse(payload))
    if read is not None:
        assert canonical.dump(read.says) == data
        assert read.issuer in keys
        wrong = lease.judge(read, TERMS, NOW)
        assert wrong is None or isinstance(wrong, Reason)


def check_halt(data: bytes) -> None:
    """A halt or a clear, signed by keys that may do both."""
    keys = [signer(Role.HALT, 1), *signers(Role.RESUME, 2)]
    raw = sign(halt.PAYLOAD_TYPE, data, *keys)
    read = accepted(lambda: halt.open_order(raw, TRUST, NOW))
    if read is not None:
        assert canonical.dump(read.says) == data
        assert halt.reread(raw) == read
        halts = halt.NO_HALTS.union([read, builders.make_order(TRUST)])
        assert halts.union([read]) == halts
        assert all(order.says.action == "halt" for order in halts.active)
        compiled = scoped.compiled(halts, None, DENY_ALL, None)
        assert compiled == scoped.compiled(halts.union([read]), None, DENY_ALL, compiled)
        stopped = scoped.stops(read.says.scope, "chat", "chat-1")
        assert stopped in (None, Reason.HALT_GLOBAL, Reason.HALT_SCOPED)


def check_reply(data: bytes) -> None:
    """What a peer serves as a beat and as an order: only what was signed is ever heard."""
    verifier = reply.Verifier(TRUST, TERMS)
    found = {
        layout.beat_key(DOMAIN, signer(Role.BEAT, 1).key_id): (data, BEAT),
        layout.halts_key(DOMAIN): (data, ORDER),
    }
    heard = verifier.hear(found, NOW)
    assert {item.sha256 for item, _ in (*heard.beats, *heard.stale)} <= GENUINE_DIGESTS
    assert {order.sha256 for order in heard.orders} <= GENUINE_DIGESTS
    # The forgery beside them must not take the genuine ones away.
    assert BEAT in {raw for _, raw in heard.beats}
    assert ORDER in {order.raw for order in heard.orders}


GENUINE_DIGESTS = {canonical.digest(body) for body in GENUINE}


def check_marks(data: bytes) -> None:
    """Stored marks, with their digest line as it stands and with one that fits."""
    fitting = canonical.digest(data).encode() + b"\n" + data
    for raw in (data, fitting):
        read = accepted(lambda: marks.decode(raw, DOMAIN))  # noqa: B023
        if read is None:
            continue
        assert marks.encode(read) == raw
        accepted(lambda: marks.in_force(read, TRUST, NOW))  # noqa: B023
        accepted(lambda: Follower(TRUST, SETTING, read))  # noqa: B023


def check_issued(data: bytes) -> None:
    """What an authority stores, with its digest line as it stands and with one that fits."""
    issuer = signer(Role.BEAT).key_id
    fitting = canonical.digest(data).encode() + b"\n" + data
    for raw in (data, fitting):
        read = accepted(lambda: issued.decode(raw, DOMAIN, issuer))  # noqa: B023
        if read is None:
            continue
        # Not the same bytes: files of an earlier version lack what has a default.
        assert issued.decode(issued.encode(read), DOMAIN, issuer) == read
        accepted(lambda: Issued(TRUST, issuer, read))  # noqa: B023


def stored() -> tuple[Marks, State]:
    """Marks and state of an issuer with everything in them."""
    raw = builders.epoch_bytes(TRUST).decode()
    epoch_mark = ObjectMark(seq=1, sha256=EPOCH.sha256, envelope=raw)
    beat_mark = ObjectMark(
        seq=1, sha256=builders.open_beat(BEAT, TRUST).sha256, envelope=BEAT.decode()
    )
    issuer = signer(Role.BEAT).key_id
    return Marks(
        type=marks.TYPE, domain=DOMAIN, generation=7, trust=builders.trust_ref(TRUST),
        trust_envelope=None, epoch=epoch_mark, beats={issuer: beat_mark}, halts=(ORDER.decode(),),
        latches=(Latch(reason="EG803", evidence="cd" * 16, envelopes=("x", "y")),),
        routes=builders.ROUTES.decode(), last_wall=5,
    ), State(
        type=issued.TYPE, domain=DOMAIN, issuer=issuer, generation=7, reserved=9,
        epoch=epoch_mark, halts=(ORDER.decode(),),
    )  # fmt: skip


def check_record(data: bytes) -> None:
    """A line of the journal."""
    read = accepted(lambda: record.parse(data))
    if read is not None:
        assert canonical.encode(msgspec.to_builtins(read)) == data


def check_note(data: bytes) -> None:
    """A signed note, a checkpoint and a verifier key."""
    known = note.NoteKey("log", signer(Role.LOG).public)
    text = accepted(lambda: note.open_note(data, {"log": known}))
    if text is not None:
        assert text in NOTES, "a note that nobody signed"
    words = accepted(lambda: data.decode("utf-8")) if data.isascii() else None
    if words is not None:
        made = accepted(lambda: checkpoint.parse(words))
        assert made is None or made.text() == words
        key = accepted(lambda: note.parse_key(words))
        assert key is None or str(key) == words


CHECKPOINT = checkpoint.Checkpoint("log", 4, bytes(32)).text()
NOTES = (CHECKPOINT, "text\n\nmore\n")


def signed_notes() -> list[bytes]:
    """The notes that the key of the log has signed."""
    who = signer(Role.LOG)
    key = note.NoteKey("log", who.public)
    return [note.seal(text, key, who.sign(text.encode())).encode() for text in NOTES]


def check_policy(data: bytes) -> None:
    """A policy bundle, and requests under it."""
    read = accepted(lambda: policy.parse(data))
    if read is None:
        return
    body = canonical.load(data, policy.Body, policy.MAX_BYTES)
    assert canonical.dump(body) == data
    for path in PATHS:
        for method in (b"GET", b"POST"):
            rule = read.match(RequestHead(method, path, path, ((b"host", b"a"),)))
            assert rule is None or not rule.methods or method in rule.methods


def check_routes(data: bytes) -> None:
    """A route table, and paths under it."""
    read = accepted(lambda: routes.parse(data))
    if read is None:
        return
    body = canonical.load(data, routes.Body, routes.MAX_BYTES)
    assert canonical.dump(body) == data
    assert all(target.startswith(b"/") and b"*" not in target for target in read.exempt)
    for path in PATHS:
        route = read.match(path)
        assert route is None or route.upstream.name in body.upstreams


def snapshot() -> Snapshot:
    """A snapshot with everything in it that is shared."""
    heard = builders.open_beat(BEAT, TRUST)
    held = Lease(
        EPOCH.seq, EPOCH.sha256, heard, (PeerId("a"), PeerId("b")), BootNs(10**15), NOW, "clock"
    )
    return Snapshot(
        lease=held, epoch=EPOCH, trust_version=1, policy=policy.parse(builders.POLICY),
        routes=routes.parse(TOLD), faults=(Reason.QUORUM_LOST,),
        scoped=scoped.Scoped(models=frozenset({b"big"}), served=frozenset({b"acme"})),
        holds=(Hold(Reason.HALT_GLOBAL, HoldKind.STICKY, "a" * 32),),
    )  # fmt: skip


def check_share(data: bytes) -> None:
    """What processes of one sidecar share, and the frame around it."""
    read = accepted(lambda: share.decode(data, CLOSED))
    if read is not None:
        again = share.decode(share.encode(read), CLOSED)
        assert (again.lease, again.epoch, again.absent) == (read.lease, read.epoch, read.absent)
        assert (again.holds, again.faults) == (read.holds[: share.HOLDS_MAX], read.faults)
        assert again.scoped == read.scoped
        assert again.policy.sha256 == read.policy.sha256
        assert again.routes.sha256 == read.routes.sha256
    framed = share.frame(7, data)
    head, body = framed[: share.FRAME_BYTES], framed[share.FRAME_BYTES :]
    assert share.unframe(head, body) == (7, data)
    assert share.unframe(head, body[1:]) == (None if data else (7, b""))
    if len(data) >= share.FRAME_BYTES:
        assert share.unframe(data[: share.FRAME_BYTES], data[share.FRAME_BYTES :]) is None


KEY = bytes(range(fence.KEY_BYTES))
ASKED = (b"POST", b"/v1/chat?a=b")
SEALED = (b"0123456789abcdef-7", b"1", b"1800000004000;boot=1000004")
CLOCKS = fence.Clocks(boot_ms=1_000_000, wall_ms=NOW)


def fence_lines() -> bytes:
    """The header lines of a request that passes."""
    mac = fence.mac(KEY, *ASKED, *SEALED)
    names = (fence.DECISION_ID, fence.EPOCH, fence.NOT_AFTER, fence.FENCE)
    return b"\n".join(b"%b:%b" % pair for pair in zip(names, (*SEALED, mac), strict=True))


def check_fence(data: bytes) -> None:
    """Header lines in front of the service: only the ones that were made pass."""
    lines = [line.partition(b":") for line in data.split(b"\n")]
    headers = [(name, value) for name, _, value in lines]
    refusal = accepted(lambda: (fence.verify(KEY, *ASKED, headers, CLOCKS),))
    assert refusal is not None
    if refusal[0] is None:
        said = {name.lower(): value for name, value in headers}
        assert (said[fence.DECISION_ID], said[fence.EPOCH], said[fence.NOT_AFTER]) == SEALED
    else:
        assert refusal[0].status >= 400
    key = fence.parse_key(data)
    assert key is None or key.hex().encode() + b"\n" == data
