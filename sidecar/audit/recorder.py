r"""Writes down each decision before it takes effect: the one part of the log on the hot path.

Rules:

* `decision` returns the id of a record that the kernel has, or None: then nothing may be forwarded,
  and a latched hold says so. The hold is placed before the answer is returned.
* Never recorded: query, bodies, headers but the trace id and those that the signed policy lists or
  makes an annotation of. A path is cut, and what is not ASCII in it is written as `\xNN`, so that a
  record cannot play tricks on a terminal. Who asked, and for whom, is a keyed digest.
* Each permit gets exactly one outcome, when its exchange has ended.
* What does not change from request to request is put together once per snapshot.

Source: DESIGN, Audit before effect; hardening P10, P11, E-J3.
"""

from base64 import b64encode
from collections.abc import Callable, Mapping

import msgspec
from msgspec import UNSET, UnsetType

from sidecar.audit.journal import Journal
from sidecar.core import bounds, canonical, recording
from sidecar.core.canonical import Json
from sidecar.core.gate import Denial, Permit
from sidecar.core.head import RequestHead, one_value
from sidecar.core.instant import NS_PER_MS, NS_PER_US, Now
from sidecar.core.lease import Lease
from sidecar.core.log import record
from sidecar.core.log.merkle import leaf_hash
from sidecar.core.log.record import (
    BeatRef,
    Decision,
    EpochRef,
    Outcome,
    OutcomeKind,
    StateChange,
    StateType,
)
from sidecar.core.policy import Verdict
from sidecar.core.reason import ProtocolError, Reason
from sidecar.core.routes import Route
from sidecar.core.snapshot import CLOSED, Hold, HoldKind, Snapshot

METHOD_MAX_BYTES = 32
TRACE_ID_MAX = 64  # characters; a W3C trace id has 32

UNWRITABLE = Hold(Reason.AUDIT_UNWRITABLE, HoldKind.LATCHED)

# Of a request, for a policy that asks: listed headers, who asked, for whom.
Told = tuple[dict[str, str] | UnsetType, str | None, str | UnsetType]
NOTHING_TOLD: Told = (UNSET, None, UNSET)

# Of a policy with expressions: its annotations, and the clause that denied.
Said = tuple[dict[str, str] | UnsetType, str | UnsetType]
NOTHING_ASKED: Said = (UNSET, UNSET)

_encode = msgspec.json.Encoder().encode
_path_max = record.PATH_MAX_BYTES


class Recorder:
    """The hand-over from gate to journal.

    Args:
        journal: Recovered; one that is not behaves like one that failed.
        boot_id: 8 random bytes, hex; new for each process.
        instance: Name of this log, as receipts and records say it.
        place: Places a hold at the gate.
        later: Calls a function at the end of the loop's turn.
        digest_key: Of the digests of subjects and tenants.

    Raises:
        ProtocolError: boot id or instance cannot stand in a record.
    """

    __slots__ = (
        "_beat", "_boot", "_digest_key", "_epoch", "_instance", "_journal", "_later", "_parents",
        "_place", "_policy_sha", "_receipts", "_recording", "_rollout", "_settling", "_snapshot",
        "_trust",
    )  # fmt: skip

    def __init__(
        self,
        journal: Journal,
        boot_id: str,
        instance: str,
        place: Callable[[Hold], None],
        later: Callable[[Callable[[], None]], object],
        digest_key: bytes,
    ) -> None:
        self._journal = journal
        self._digest_key = digest_key
        self._receipts: dict[str, bytes] = {}  # decision id -> leaf, until it was told or is over
        self._boot = boot_id
        self._instance = instance
        self._place = place
        self._remember(CLOSED)
        self._later = later
        self._settling = False
        # Refused now, not when a journal is read back.
        record.parse(canonical.dump(_sample(boot_id, instance)))

    def decision(
        self,
        decision: Permit | Denial,
        head: RequestHead | None,
        trace_id: str | None,
        now: Now,
    ) -> str | None:
        """Write down a decision.

        Args:
            decision: What the gate said.
            head: The request, or None when it could not be parsed.
            trace_id: W3C trace id of the request, or None.
            now: The clocks that the decision was made with.

        Returns:
            The decision id, or None: it could not be written, and nothing may go upstream.
        """
        snapshot = decision.snapshot
        if snapshot is not self._snapshot:
            self._remember(snapshot)
        journal = self._journal
        seq = journal.seq
        decision_id = record.decision_id(self._boot, seq)
        route, reason = _verdict(decision)
        rule, lease, asked = decision.rule, snapshot.lease, self._recording
        headers, subject, tenant = self._told(head) if asked.tells and head else NOTHING_TOLD
        annotations, clause = NOTHING_ASKED if decision.verdict is None else _said(decision.verdict)
        line = _encode(
            Decision(
                annotations=annotations, beat=self._beat, boot=self._boot, clause=clause,
                decision="deny" if route is None else "permit",
                decision_id=decision_id,
                epoch=self._epoch,
                headers=headers,
                inst=self._instance,
                lease_ms_left=None if lease is None else _left_ms(lease, now),
                method="" if head is None else _text(head.method, METHOD_MAX_BYTES),
                parent_id=head.parent.decision_id or None if self._parents and head else None,
                path=_text(head.path, _path_max) if head is not None and asked.paths else "",
                policy_sha=self._policy_sha,
                prev=journal.prev,
                reason=None if reason is None else reason.code,
                req_h=None,
                rollout=self._rollout,
                route=None if route is None else route.name,
                rule=None if rule is None else rule.name,
                seq=seq, subject_h=subject, tenant_h=tenant, trace_id=_trace(trace_id),
                trust_v=self._trust, ts=now.wall, type="decision",
                upstream=None if route is None else route.upstream.name,
                v=1,
            )
        )  # fmt: skip
        if asked.receipts:
            self._receipts[decision_id] = leaf_hash(line)
        return decision_id if self._write(line) else None

    def receipt(self, decision_id: str) -> bytes:
        """What a client can hold against this log: its name, the record's index, its leaf hash.

        Args:
            decision_id: Of a decision under a policy that grants receipts; asked for once.

        Returns:
            `name index base64`, or nothing: there is no receipt.
        """
        leaf = self._receipts.pop(decision_id, None)
        if leaf is None:
            return b""
        index = decision_id.rpartition("-")[2]
        return f"{self._instance} {index} {b64encode(leaf).decode()}".encode()

    def when_durable(self, then: Callable[[], None]) -> None:
        """Call `then` once all records so far are on the disk; never, when that fails."""
        self._journal.when_durable(then)

    def outcome(
        self,
        decision_id: str,
        kind: OutcomeKind,
        reason: Reason | None,
        now: Now,
        *,
        dur_ns: int,
        sent: bool,
        status: int,
    ) -> None:
        """Say what became of a permit; once for each.

        One that had no effect or came too late is written at once, as proof that nobody profited.
        The others wait for the end of the loop's turn, or for the next decision.

        Args:
            decision_id: Of the permit.
            kind: How it ended.
            reason: Why, if there is one.
            now: Both clocks.
            dur_ns: From the decision to the end.
            sent: Whether anything was written upstream.
            status: What the client was told, or 0.
        """
        journal = self._journal
        self._receipts.pop(decision_id, None)
        line = _encode(
            Outcome(
                boot=self._boot,
                decision_id=decision_id,
                dur_us=dur_ns // NS_PER_US,
                inst=self._instance,
                outcome=kind,
                prev=journal.prev,
                reason=None if reason is None else reason.code,
                resp_h=None,
                sent=sent,
                seq=journal.seq,
                status=status,
                ts=now.wall,
                type="outcome",
                v=1,
            )
        )
        if kind == "late" or not sent:
            self._write(line)
        else:
            self._defer(line)

    def state(self, type: StateType, detail: Mapping[str, Json], now: Now) -> bool:  # noqa: A002
        """Write down a change of state.

        Args:
            type: What kind.
            detail: What changed; encoded at most `record.MAX_BYTES` with the rest of the record.
            now: Both clocks.

        Returns:
            Whether it was written; if not, the gate is held.

        Raises:
            ProtocolError: NONCANONICAL or OVERSIZE: such a detail can never be read back. Nothing
                was written.
        """
        line = self._state(type, detail, now.wall)
        if len(line) > record.MAX_BYTES:
            raise ProtocolError(Reason.OVERSIZE, f"{type} record of {len(line)} bytes")
        return self._write(line)

    def _state(self, kind: StateType, detail: Mapping[str, Json], wall_ms: int) -> bytes:
        return canonical.dump(
            StateChange(
                boot=self._boot,
                detail=dict(detail),
                inst=self._instance,
                prev=self._journal.prev,
                seq=self._journal.seq,
                ts=wall_ms,
                type=kind,
                v=1,
            )
        )

    def _write(self, line: bytes) -> bool:
        try:
            self._journal.append(line)
        except OSError:
            self._place(UNWRITABLE)
            return False
        return True

    def _defer(self, line: bytes) -> None:
        try:
            self._journal.defer(line)
        except OSError:
            self._place(UNWRITABLE)
            return
        if not self._settling:
            self._settling = True
            self._later(self._settle)

    def _settle(self) -> None:
        self._settling = False
        try:
            self._journal.settle()
        except OSError:
            self._place(UNWRITABLE)

    def _remember(self, snapshot: Snapshot) -> None:
        lease, epoch = snapshot.lease, snapshot.epoch
        self._snapshot = snapshot
        self._trust = snapshot.trust_version or None
        self._policy_sha = snapshot.policy.sha256 or None
        self._recording = bounds.recording(snapshot.policy.recording, snapshot.profile)
        self._rollout = snapshot.policy.half or UNSET
        self._parents = snapshot.parent is not None
        self._beat: BeatRef | None = None
        self._epoch: EpochRef | None = None
        if lease is not None:
            self._epoch = EpochRef(seq=lease.epoch_seq, sha=lease.epoch_sha256)
            beat = lease.beat
            self._beat = BeatRef(issuer=beat.issuer, seq=beat.seq, sha=beat.sha256)
        elif epoch is not None:
            self._epoch = EpochRef(seq=epoch.seq, sha=epoch.sha256)

    def _told(self, head: RequestHead) -> Told:
        asked = self._recording
        return (
            _listed(head, asked.headers) if asked.headers else UNSET,
            self._digest(b"subject", head, asked.subject),
            self._digest(b"tenant", head, asked.tenant) or UNSET,
        )

    def _digest(self, what: bytes, head: RequestHead, header: bytes | None) -> str | None:
        value = None if header is None else one_value(head.headers, header)
        return None if value is None else recording.digest(self._digest_key, what, value)


def _verdict(decision: Permit | Denial) -> tuple[Route | None, Reason | None]:
    if isinstance(decision, Permit):
        return decision.route, decision.observed
    return None, decision.reason


def _said(verdict: Verdict) -> Said:
    return verdict.annotations or UNSET, UNSET if verdict.clause is None else verdict.clause.name


def _listed(head: RequestHead, names: tuple[bytes, ...]) -> dict[str, str]:
    # Sorted, as the canonical form has it; of several lines the first.
    found = {name: value for name, value in reversed(head.headers) if name in names}
    return {name.decode(): _text(found[name], recording.VALUE_MAX_BYTES) for name in sorted(found)}


def _sample(boot_id: str, instance: str) -> Outcome:
    return Outcome(
        boot=boot_id,
        decision_id="",
        dur_us=0,
        inst=instance,
        outcome="permit",
        prev=record.FIRST_PREV,
        reason=None,
        resp_h=None,
        sent=False,
        seq=0,
        status=0,
        ts=0,
        type="outcome",
        v=1,
    )


def _left_ms(lease: Lease, now: Now) -> int:
    return min((lease.deadline - now.boot) // NS_PER_MS, lease.wall_deadline - now.wall)


def _text(raw: bytes, max_bytes: int) -> str:
    return raw[:max_bytes].decode("ascii", "backslashreplace")


def _trace(trace_id: str | None) -> str | None:
    # Comes from a client's header; anything but a short ASCII word would be its doing, not ours.
    if trace_id is None or not trace_id.isascii():
        return None
    return trace_id[:TRACE_ID_MAX]
