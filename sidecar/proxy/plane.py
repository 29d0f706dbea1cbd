"""What all connections of the data plane share, and whom they tell.

Source: DESIGN 2 (audit before effect); hardening E-H11.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from sidecar.clock import Clock
from sidecar.config.sections import Address as Destination
from sidecar.config.sections import Limits, Timeouts
from sidecar.core.gate import Decision, Denial, Exempt, Gate, Permit, decide, lapsed
from sidecar.core.head import RequestHead
from sidecar.core.instant import Now
from sidecar.core.log.record import OutcomeKind
from sidecar.core.parent import UNCHECKED, Tokens, Verdict
from sidecar.core.reason import Reason
from sidecar.core.routes import Upstream as Address
from sidecar.core.snapshot import CLOSED, Snapshot
from sidecar.proxy import denial, fence
from sidecar.proxy.answer import AnswerShell
from sidecar.proxy.body import Bounds
from sidecar.proxy.fence import Fence
from sidecar.proxy.listener import Inbound
from sidecar.proxy.shell import Shell
from sidecar.proxy.upstream import Owner, Pool, Upstream

TRIES_MAX = 2  # upstream connections of one exchange that may end before use

Outcome = Literal["permit", "exempt", "deny", "cut", "late", "abort", "failed", "gone"]

# How the exchange of a permit ended, as it is recorded. A `deny` after a permit is ours: what the
# client sent later could not be read.
RECORDED: dict[Outcome, OutcomeKind] = {
    "permit": "permit",
    "cut": "abort",
    "gone": "abort",
    "abort": "abort",
    "deny": "abort",
    "failed": "error",
    "late": "late",
}


class Recorder(Protocol):
    """Where decisions are journalled before they take effect."""

    def decision(
        self, decision: Permit | Denial, head: RequestHead | None, trace_id: str | None, now: Now
    ) -> str | None:
        """Hand a decision to the kernel; its id, or None when that failed."""
        ...

    def receipt(self, decision_id: str) -> bytes:
        """What a client can hold against the log; empty: the policy grants no receipts."""
        ...

    def when_durable(self, then: Callable[[], None]) -> None:
        """Call `then` once all records so far are on the disk; never, when that fails."""
        ...

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
        """Record what became of a permit; once for each."""
        ...


class Observer(Protocol):
    """Who counts. Called in the hot path: plain values, no waiting, no exceptions."""

    def finished(
        self,
        outcome: Outcome,
        reason: Reason | None,
        status: int,
        duration_ns: int,
        overhead_ns: int,
        first_byte_ns: int,
        *,
        observed: Reason | None = None,
    ) -> None:
        """One request came to its end.

        Args:
            outcome: permit or exempt: relayed to its end. deny: answered by us. cut: ended while
                running. late, abort: a permit taken back. failed: the service behind. gone: the
                client.
            reason: Why, unless it was relayed to its end.
            status: What the client was told, or 0.
            duration_ns: From the decision to the end.
            overhead_ns: From the decision to the write upstream, or 0.
            first_byte_ns: From the decision to the first byte of the response, or 0.
            observed: What it would have been denied for, were the policy enforced.
        """

    def stream_cut(self, reason: Reason) -> None:
        """A running exchange was cut."""

    def malformed(self, reason: Reason) -> None:
        """A request could not be read, or a client exceeded a limit."""


class Connection(Owner, Protocol):
    """What an exchange asks of the client connection it runs on.

    Attributes:
        buffer: Bytes received and not taken yet.
        deadline: Boot time at which `expired` is called; 0: never.
        destination: Where the client was going before it was redirected; None: it was not.
        eof: Whether the client has ended its side.
        write_full: Whether the client reads more slowly than we write.
    """

    buffer: bytes
    deadline: int
    destination: Destination | None
    eof: bool
    write_full: bool

    def write(self, data: bytes) -> None:
        """Write to the client."""

    def undelivered(self) -> bool:
        """Whether some of the answer waits for the client; then it is told when that has left."""
        ...

    def upstream_for(self, address: Address) -> Upstream | None:
        """The own upstream connection or a warm one, ready to carry a request there, or None."""

    def drop_upstream(self) -> None:
        """Destroy the own upstream connection."""

    def connected(self, upstream: Upstream | None) -> None:
        """The upstream connection that the running exchange waits for was made, or not."""

    def over(self, now: Now, *, keep: bool) -> None:
        """The exchange has ended: go on with the next request, or end politely."""

    def cut_off(self) -> None:
        """End at once, so that no reader takes what was sent for complete."""


class Stamp:
    """The header lines that we add, made once per snapshot.

    Attributes:
        bound: What the fence covers besides the request: epoch, line feed, not-after.
    """

    __slots__ = ("bound", "downstream", "snapshot", "upstream")

    def __init__(self, snapshot: Snapshot) -> None:
        lease = snapshot.lease
        epoch = b"%d" % (lease.epoch_seq if lease else 0)
        until = fence.not_after(lease) if lease else b""
        name = b"x-epochgate-decision-id: "
        self.snapshot = snapshot
        self.bound = epoch + b"\n" + until
        self.upstream = (
            b"x-epochgate-epoch: %b\r\nx-epochgate-not-after: %b\r\n" % (epoch, until)
        ) + name
        self.downstream = (
            b"x-epochgate-decision: permit\r\nx-epochgate-epoch: %b\r\n" % epoch
        ) + name


NO_STAMP = Stamp(CLOSED)
EXEMPT_LINES = b"x-epochgate-decision: exempt\r\n"


@dataclass(slots=True)
class Plane:
    """What all connections share.

    Attributes:
        in_flight: Exchanges that have begun and not ended.
        draining: Whether no connection is kept after its exchange.
        fence: Seals permitted requests for the service behind; None: it checks no seal.
        tokens: Of parent decisions; None: there is no key for them.
    """

    limits: Limits
    timeouts: Timeouts
    gate: Gate
    clock: Clock
    recorder: Recorder
    observer: Observer
    pool: Pool
    shell: Shell
    answers: AnswerShell
    request_bounds: Bounds
    response_bounds: Bounds
    inbound: Inbound
    fence: Fence | None = None
    tokens: Tokens | None = None
    stamp: Stamp = NO_STAMP
    in_flight: int = 0
    draining: bool = False

    def decide(self, head: RequestHead, destination: Destination | None, now: Now) -> Decision:
        """Judge one request, also by the listener that it came through."""
        snapshot = self.gate.snapshot
        if head.parent is UNCHECKED and self.tokens is not None:
            head.parent = self.tokens.claim(head.headers, now.wall)
        decision = decide(snapshot, head, now)
        if self.inbound.free or isinstance(decision, Denial):
            return decision
        upstream = decision.upstream if isinstance(decision, Exempt) else decision.route.upstream
        reason = self.inbound.astray(upstream, destination)
        return decision if reason is None else Denial(reason, snapshot)

    def hopeless(self, head: RequestHead, now: Now) -> Denial | None:
        """Why a request will not pass whatever its body says, or None: that is to be read."""
        snapshot = self.gate.snapshot
        reason = lapsed(snapshot, now)
        if reason is None and snapshot.routes.match(head.path) is None:
            reason = Reason.ROUTE_UNKNOWN
        return None if reason is None else Denial(reason, snapshot)

    def request_lines(self, permit: Permit, head: RequestHead, decision_id: str, now: Now) -> bytes:
        """The lines that tell the service what a request was permitted under."""
        stamp, raw_id = self.stamp_for(permit.snapshot), decision_id.encode()
        permit.token = self._token_line(permit.snapshot, decision_id, "permit", now)
        lines = b"%b%b\r\n%b" % (stamp.upstream, raw_id, permit.token)
        if self.fence is None:
            return lines
        return lines + self.fence.line(head.method, head.target, raw_id, stamp.bound)

    def release(self, permit: Permit, upstream: Upstream) -> None:
        """Let an answer come, under a strict policy once the permit is on the disk."""
        if permit.snapshot.policy.recording.strict or permit.snapshot.profile.strict:
            upstream.withhold()
            self.recorder.when_durable(upstream.let_go)

    def answer(
        self, why: Denial, decision_id: str | None, now: Now, method: bytes | None, *, keep: bool
    ) -> bytes:
        """An answer of our own; `keep`: whether the connection stays."""
        receipt = b"" if decision_id is None else self.recorder.receipt(decision_id)
        return denial.response(
            why.reason, why.snapshot, decision_id, now, method, keep_alive=keep, receipt=receipt,
            message=why.message,
            token_line=self._token_line(why.snapshot, decision_id, "deny", now),
        )  # fmt: skip

    def _token_line(
        self, snapshot: Snapshot, decision_id: str | None, verdict: Verdict, now: Now
    ) -> bytes:
        """What tells the gates that are called next about a decision; nothing, unless asked for."""
        if self.tokens is None or decision_id is None or snapshot.parent is None:
            return b""
        return b"x-epochgate-token: %b\r\n" % self.tokens.make(decision_id, verdict, now.wall)

    def stamp_for(self, snapshot: Snapshot) -> Stamp:
        """The lines for a permit under `snapshot`."""
        if self.stamp.snapshot is not snapshot:
            self.stamp = Stamp(snapshot)
        return self.stamp

    def lines_for(self, decision: Permit | Exempt | None, decision_id: str | None) -> bytes:
        """The lines that tell a client what its answer was relayed under."""
        if isinstance(decision, Permit) and decision_id is not None:
            stamp = self.stamp_for(decision.snapshot)
            lines = b"%b%b\r\n%b" % (stamp.downstream, decision_id.encode(), decision.token)
            if decision.snapshot.policy.recording.receipts:
                lines += denial.receipt_line(self.recorder.receipt(decision_id))
            if decision.observed is None:
                return lines
            return lines + f"x-epochgate-observed: {decision.observed.code}\r\n".encode()
        return EXEMPT_LINES
