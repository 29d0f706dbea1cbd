"""The only listener: core values in, counters and log lines out.

* Whoever has something to tell calls a method here; so what is measured is this one file.
* One log line per change of state, with its reason and causes. One line per change of a peer. None
  per request.
* Nothing here raises or waits on account of what it is told: telemetry must not be able to stop a
  request, nor to let one through.
"""

from collections.abc import Mapping

from sidecar.clock import Clock
from sidecar.core.events import Conflict, Passage, RoundEnded, Told, TrustAdopted
from sidecar.core.gate import lapsed
from sidecar.core.instant import Now
from sidecar.core.quorum import PeerId
from sidecar.core.reason import Reason
from sidecar.core.snapshot import CLOSED, Snapshot, State
from sidecar.telemetry import logs
from sidecar.telemetry.logs import Log
from sidecar.telemetry.metrics import NO_REASON, RESULT_OF, Metrics

OK = "ok"
_MS_PER_S = 1000
_NS_PER_MS = 1_000_000
_DENIED = ("deny", "abort")
_QUIET = (State.RUNNING, State.STARTING, State.DRAINING)  # states nobody has to look into


class Observer:
    """Turns what happens in one sidecar into metrics and log lines.

    Args:
        metrics: Where to count.
        log: Where to write.
        clock: Wall time of a peer's last success.
    """

    __slots__ = ("_clock", "_log", "_metrics", "_peers", "_seen", "_served", "_snapshot")

    def __init__(self, metrics: Metrics, log: Log, clock: Clock) -> None:
        self._metrics, self._log, self._clock = metrics, log, clock
        self._snapshot = CLOSED
        self._seen: tuple[State, Reason | None] = (State.STARTING, Reason.STARTING)
        self._served = False
        self._peers: dict[str, dict[str, object]] = {}

    # --- the data plane ---

    def finished(
        self,
        outcome: str,
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
            outcome: A key of `metrics.RESULT_OF`.
            reason: Why, unless it was relayed to its end.
            status: What the client was answered; 0 when nothing could be.
            duration_ns: From the decision to the last byte.
            overhead_ns: From the decision to the write upstream, or 0.
            first_byte_ns: From the decision to the first byte of the response, or 0.
            observed: What it would have been denied for, under an enforced epoch.
        """
        found = self._metrics
        found.requests.add(RESULT_OF[outcome])
        found.request_duration.observe(duration_ns)
        if overhead_ns:
            found.overhead.observe(overhead_ns)
        if first_byte_ns:
            found.first_byte.observe(first_byte_ns)
        if outcome == "exempt":
            found.decisions.add("exempt", NO_REASON)
        elif outcome in _DENIED:
            if reason is not None and reason.validation:  # a malformed request was never judged
                found.decisions.add("deny", reason.code)
        elif observed is not None:
            found.decisions.add("observe", observed.code)
        else:
            found.decisions.add("permit", NO_REASON)
        if outcome == "late":
            found.late_writes.add()
            self._log.error(logs.LATE_WRITE, overhead_ms=overhead_ns // _NS_PER_MS)
        if reason is Reason.INTERNAL_ERROR:
            self._log.error(logs.INTERNAL_ERROR, reason=reason.code, status=status)

    def stream_cut(self, reason: Reason) -> None:
        """A running exchange was cut because the gate closed."""
        self._metrics.streams_cut.add(reason.code)

    def malformed(self, reason: Reason) -> None:
        """A request broke a rule of HTTP, or a limit."""
        self._metrics.refusals.add(reason.code)

    # --- the follower ---

    def snapshot(self, snapshot: Snapshot, now: Now) -> None:
        """Look at a snapshot, new or the same one later: time alone can change what it means."""
        before = self._snapshot
        self._snapshot = self._metrics.snapshot = snapshot
        state, reason = snapshot.state(now), lapsed(snapshot, now)
        self._served = self._served or state is State.RUNNING
        if (state, reason) != self._seen:
            self._changed(state, reason, snapshot, now)
        if snapshot.halts is not before.halts:
            self._ordered(before, snapshot)
        epoch = snapshot.epoch
        if epoch is not None and (before.epoch is None or before.epoch.sha256 != epoch.sha256):
            self._log.info(
                logs.EPOCH, seq=epoch.seq, sha256=epoch.sha256, policy=snapshot.policy.name
            )

    def _ordered(self, before: Snapshot, snapshot: Snapshot) -> None:
        known = {order.sha256 for order in before.halts.orders}
        for order in snapshot.halts.orders:
            if order.sha256 not in known:
                said = order.says
                self._log.warning(
                    logs.ORDER, action=said.action, id=said.halt_id, scope=said.scope.kind,
                    value=said.scope.value, clears=said.clears, why=said.reason,
                )  # fmt: skip

    def _changed(self, state: State, reason: Reason | None, snapshot: Snapshot, now: Now) -> None:
        old, _ = self._seen
        self._seen = (state, reason)
        if state is not old:
            self._metrics.gate_state_changes.add(old.value, state.value)
        lease = snapshot.lease
        say = self._log.info if state in _QUIET else self._log.warning
        say(
            logs.GATE_STATE,
            **{"from": old.value, "to": state.value},
            reason=reason.code if reason else None,
            title=reason.title if reason else None,
            causes=[fault.code for fault in snapshot.faults],
            epoch=snapshot.epoch.seq if snapshot.epoch else None,
            lease_ms=(lease.deadline - now.boot) // _NS_PER_MS if lease else None,
            evidence=[hold.evidence for hold in snapshot.holds if hold.evidence],
        )

    def told(self, event: Told) -> None:
        """What the follower says for people."""
        match event:
            case RoundEnded():
                self.round_ended(event.results, event.outcome, event.duration_ms)
            case TrustAdopted():
                self._log.info(logs.TRUST, version=event.version, sha256=event.sha256)
            case Passage():
                pass  # written down, not logged: see roles/transitions
            case Conflict():
                self._log.error(
                    logs.CONFLICT,
                    reason=event.reason.code,
                    title=event.reason.title,
                    evidence=event.evidence,
                )

    def round_ended(
        self, peer_results: Mapping[PeerId, str], result: str, duration_ms: int
    ) -> None:
        """One verification round.

        Args:
            peer_results: Peer -> `ok`, a reason code, or the kind of failure.
            result: `agreed`, or the code of the reason why not.
            duration_ms: From the send to the last answer.
        """
        wall_ms = self._clock().wall
        self._metrics.rounds.add(result)
        self._metrics.round_duration.observe(duration_ms * _NS_PER_MS)
        for peer, said in peer_results.items():
            self._peer(peer, said, wall_ms)

    def _peer(self, peer: str, said: str, wall_ms: int) -> None:
        known = self._peers.setdefault(peer, {"result": None, "last_success": None})
        self._metrics.peer_reads.add(peer, said)
        self._metrics.peer_up.set(int(said == OK), peer)
        if said == OK:
            known["last_success"] = wall_ms
            self._metrics.peer_last_success.set(wall_ms / _MS_PER_S, peer)
        if known["result"] != said:
            say = self._log.info if said == OK else self._log.warning
            say(logs.PEER, peer=peer, result=said, before=known["result"])
            known["result"] = said

    # --- for the status port ---

    def not_ready(self) -> Reason | None:
        """Why this sidecar has never served, or None once it has held a lease.

        Containment after that does not make it unready: a restart or a rescheduled pod would not
        open the gate, and the denials with their reasons would be lost on clients.
        """
        return None if self._served else self._seen[1] or Reason.STARTING

    def peers(self) -> dict[str, dict[str, object]]:
        """Peer -> last result, and when it last was `ok` (ms since 1970)."""
        return {peer: dict(known) for peer, known in self._peers.items()}
