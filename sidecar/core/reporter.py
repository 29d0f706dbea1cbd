"""The sidecar's side of its reports: made, sent, and found again under a signed beat.

Rules:

* At most one new report per poll, however many rounds hints bring forward: what is outstanding must
  outlast the way through an authority, and a peer that hints for ever must not shorten that.
* The clocks of a report are those from before anybody could see it.
* A beat covers a report when a proof leads from it to the root that the beat signs. A proof comes
  from a peer, so it is believed for nothing else.
* What an authority acknowledges only moves forward. A step back is told (EG502).
* So is a report in our name that this process never made (EG504), where nothing else can explain
  it: what the process before us made, what we made too long ago to remember, or one peer that
  serves the proof of somebody else's report.

Source: protocol b.3 steps 0 and 8, b.6, b.8 (validation 5).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec

from sidecar.core import canonical, layout
from sidecar.core.envelope import KeyId
from sidecar.core.events import Standing, WriteCommand
from sidecar.core.instant import NS_PER_MS, Now
from sidecar.core.objects import report
from sidecar.core.objects.beat import Beat
from sidecar.core.objects.halt import Halts
from sidecar.core.objects.report import Body, Lifecycle, Measured, Proof
from sidecar.core.objects.trust import Mark, TrustRef
from sidecar.core.reason import ProtocolError, Reason
from sidecar.core.snapshot import Snapshot

OUTSTANDING_MAX = 256  # reports remembered: far more than a ttl of them
BEATS_MAX = 64  # beats whose covering is remembered
DRILLS_MAX = 8  # challenges quoted
REASONS_MAX = 32

Seal = Callable[[str, bytes], bytes]  # payload type, payload -> envelope


@dataclass(frozen=True, slots=True)
class Identity:
    """Who reports.

    Attributes:
        instance: Name, ending with the id of its key.
        key_id: Of the instance's key.
        public: The same key, 32 bytes hex.
        boot_id: 16 random bytes of this process, hex.
        service: The service behind.
        region: Where it runs.
        build: Version of this program.
        seal: Signs with that key.
    """

    instance: str
    key_id: KeyId
    public: str
    boot_id: str
    service: str
    region: str
    build: str
    seal: Seal


@dataclass(frozen=True, slots=True)
class Said:
    """What a report says beyond who says it."""

    trust: TrustRef
    halts: Halts
    snapshot: Snapshot
    lifecycle: Lifecycle
    runtime: Measured
    standing: Standing


@dataclass(frozen=True, slots=True)
class _Sent:
    seq: int
    at: Now


class Reporter:
    """Reports of one process.

    Args:
        identity: Who reports.
        domain: Of the fleet.
        every_ms: From one report to the next.
    """

    def __init__(self, identity: Identity, domain: str, every_ms: int) -> None:
        self._identity = identity
        self._domain = domain
        self._every_ms = every_ms
        self._sent: dict[str, _Sent] = {}  # digest -> when it was made, oldest first
        self._latest: bytes | None = None
        self._prev: str | None = None
        self._covered: dict[str, Now] = {}  # digest of a beat -> when the report under it was made
        self._strange: dict[str, str] = {}  # issuer -> its beat that covers a report unknown here
        self._acked: dict[str, tuple[int, int]] = {}  # issuer -> its beat, our report: numbers
        self._acked_at: Now | None = None  # when the newest acknowledged report was made

    def write(self, nonce: bytes, said: Said, now: Now) -> tuple[WriteCommand, ...]:
        """What to write to every peer in this round: the latest report, a new one when it is due.

        Args:
            nonce: 32 bytes, drawn for this call.
            said: What to report.
            now: Both clocks, read before anybody sees the report.
        """
        last = self._sent[self._prev].at if self._prev is not None else None
        if last is None or now.boot - last.boot >= self._every_ms * NS_PER_MS:
            self._make(nonce, said, now)
        assert self._latest is not None, "made above"
        key = layout.reports_key(self._domain)
        return (("HSET", key, self._identity.instance, self._latest),)

    def hurry(self, every_ms: int) -> None:
        """Make reports so often from now on."""
        self._every_ms = every_ms

    def fields(self, issuers: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
        """Where the proofs of these issuers lie: key and field."""
        instance = self._identity.instance
        return tuple((layout.proofs_key(self._domain, issuer), instance) for issuer in issuers)

    def look(self, found: Mapping[str, tuple[bytes, ...]], beat: Beat) -> Reason | None:
        """Look whether a beat covers a report of ours; what is wrong with the proof, or None.

        Args:
            found: A peer's reply, untrusted.
            beat: Verified.
        """
        key = layout.proofs_key(self._domain, beat.issuer)
        raws = found.get(layout.field_name(key, self._identity.instance), ())
        if not raws or beat.sha256 in self._covered:
            return None
        try:
            proof = report.parse_proof(raws[0])
            if proof.beat != beat.sha256:
                return None  # of the beat before or after; its own reply brings it
            report.verify_proof(proof, beat.says.fleet.size, beat.says.fleet.root)
        except ProtocolError as error:
            over = error.reason is Reason.OVERSIZE
            return error.reason if over else Reason.NONCE_PROOF_INVALID
        return self._acknowledge(proof, beat)

    def covering(self, beat: Beat) -> Now | None:
        """When the report was made that a beat covers, or None."""
        return self._covered.get(beat.sha256)

    def unacked_ms(self, now: Now) -> int | None:
        """Age of the newest acknowledged report; None when there is none yet."""
        return None if self._acked_at is None else (now.boot - self._acked_at.boot) // NS_PER_MS

    def _acknowledge(self, proof: Proof, beat: Beat) -> Reason | None:
        sent = self._sent.get(proof.report)
        before = self._acked.get(beat.issuer)
        if sent is None:
            return self._mismatch(beat)
        self._covered[beat.sha256] = sent.at
        if len(self._covered) > BEATS_MAX:
            del self._covered[next(iter(self._covered))]
        if self._acked_at is None or sent.at.boot > self._acked_at.boot:
            self._acked_at = sent.at
        if before is not None and beat.seq <= before[0]:
            return None
        self._acked[beat.issuer] = (beat.seq, sent.seq)
        return Reason.TELEMETRY_GAP if before is not None and sent.seq < before[1] else None

    def _mismatch(self, beat: Beat) -> Reason | None:
        # One peer may lie: if another serves our proof, this beat will not be looked at again.
        again = self._strange.get(beat.issuer) == beat.sha256
        self._strange[beat.issuer] = beat.sha256
        # Before its first look an authority may still hold what the process before us reported.
        before = self._acked.get(beat.issuer)
        if not again or before is None or beat.seq <= before[0]:
            return None
        remembered = next(iter(self._sent.values())).seq <= before[1] + 1
        return Reason.REPORT_MISMATCH if remembered else None

    def _make(self, nonce: bytes, said: Said, now: Now) -> None:
        seq = 1 if self._prev is None else self._sent[self._prev].seq + 1
        body = self._body(seq, nonce, said, now)
        payload = canonical.dump(body)
        if len(payload) > report.MAX_BYTES:
            # A report that is too long is read by nobody, and then nothing proves us fresh.
            short = msgspec.structs.replace(body.runtime, models={})
            payload = canonical.dump(msgspec.structs.replace(body, runtime=short))
        self._latest = self._identity.seal(report.PAYLOAD_TYPE, payload)
        self._prev = canonical.digest(payload)
        self._sent[self._prev] = _Sent(seq, now)
        if len(self._sent) > OUTSTANDING_MAX:
            del self._sent[next(iter(self._sent))]

    def _body(self, seq: int, nonce: bytes, said: Said, now: Now) -> Body:
        who, snapshot = self._identity, said.snapshot
        lease, epoch = snapshot.lease, snapshot.epoch
        left_ms = 0 if lease is None else (lease.deadline - now.boot) // NS_PER_MS
        return Body(
            type=report.TYPE,
            domain=self._domain,
            instance=who.instance,
            public=who.public,
            boot_id=who.boot_id,
            seq=seq,
            prev_sha256=self._prev,
            nonce=nonce.hex(),
            sent_at=max(0, now.wall),
            state=snapshot.state(now).value,
            reasons=tuple(reason.code for reason in snapshot.reasons(now)[:REASONS_MAX]),
            lifecycle=said.lifecycle,
            trust=said.trust,
            epoch=None if epoch is None else Mark(seq=epoch.seq, sha256=epoch.sha256),
            beat=None
            if lease is None
            else report.BeatRef(
                issuer=lease.beat.issuer, seq=lease.beat.seq, sha256=lease.beat.sha256
            ),
            lease_ms_left=max(0, left_ms),
            policy_sha256=snapshot.policy.sha256 or None,
            routes_sha256=snapshot.routes.sha256 or None,
            runtime=said.runtime,
            counters=dict(said.standing.counters),
            halts=Mark(seq=said.halts.seq, sha256=said.halts.sha256),
            drills=_challenges(said.halts),
            audit=said.standing.audit,
            region=who.region,
            service=who.service,
            build=who.build,
        )


def _challenges(halts: Halts) -> tuple[str, ...]:
    """The newest challenges of drills: quoting one proves that a halt would have been read."""
    drills = [
        (order.says.issued_at, order.says.challenge)
        for order in halts.orders
        if order.says.scope.kind == "drill" and order.says.challenge is not None
    ]
    quotable = [(at, text) for at, text in drills if report.challenge(text)]
    return tuple(text for _, text in sorted(quotable)[-DRILLS_MAX:])
