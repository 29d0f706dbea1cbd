"""Watches what the gate's snapshot means, and writes down every change of it.

A lease runs out without any event, so somebody has to look. Nothing is decided here: the gate reads
its clocks for each request, whether anybody watches or not.
"""

import asyncio
from collections.abc import Callable, Mapping

from sidecar import clock
from sidecar.audit.recorder import Recorder
from sidecar.core import canonical, envelope, lifecycle
from sidecar.core.canonical import Json
from sidecar.core.envelope import Envelope
from sidecar.core.events import Conflict, Passage, RoundEnded, Step, Told, TrustAdopted
from sidecar.core.gate import Gate, lapsed
from sidecar.core.instant import Now
from sidecar.core.objects.beat import Beat
from sidecar.core.objects.halt import Halts
from sidecar.core.reason import Reason
from sidecar.core.snapshot import Snapshot
from sidecar.telemetry.observer import Observer

ENVELOPE_MAX_BYTES = 40_000  # in a record, which also escapes each quotation mark in it
WATCH_S = 0.1  # how soon a lease that ran out shows in logs and records, without any request


class Transitions:
    """Writes one record for each change of state or epoch and each order; tells the observer.

    Args:
        recorder: Where it is written.
        observer: Who counts and logs.
        log: Figures of the audit log, for the steps of the lifecycle that are about it.
    """

    def __init__(
        self,
        recorder: Recorder,
        observer: Observer,
        log: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        self._recorder = recorder
        self._log = log
        self._vector: tuple[str, dict[str, str]] | None = None
        self._observer = observer
        self._seen = ("starting", Reason.STARTING.code)
        self._epoch = self._beat = ""
        self._orders: frozenset[str] = frozenset()

    def look(self, snapshot: Snapshot) -> None:
        """Compare with what was seen last; time alone may have changed what a snapshot means."""
        now = clock.now()
        self._observer.snapshot(snapshot, now)
        closed = lapsed(snapshot, now)
        seen = (snapshot.state(now).value, closed.code if closed is not None else "")
        epoch = snapshot.epoch
        if epoch is not None and epoch.sha256 != self._epoch:
            self._epoch = epoch.sha256
            detail: dict[str, Json] = {"seq": epoch.seq, "sha256": epoch.sha256}
            self._recorder.state("epoch", detail | _sealed(epoch.sealed), now)
        if snapshot.policy.recording.beats and snapshot.lease is not None:
            self._leant_on(snapshot.lease.beat, now)
        if snapshot.halts.seq != len(self._orders):
            self._ordered(snapshot.halts, now)
        if seen != self._seen:
            before, self._seen = self._seen, seen
            causes = [fault.code for fault in snapshot.faults]
            detail = {"from": before[0], "to": seen[0], "reason": seen[1], "causes": causes}
            self._recorder.state("transition", detail, now)

    def _leant_on(self, beat: Beat, now: Now) -> None:
        # Before any decision that rests on it, because it is told when its lease is published.
        if beat.sha256 != self._beat and beat.sealed is not None:
            self._beat = beat.sha256
            detail: dict[str, Json] = {
                "issuer": beat.issuer, "seq": beat.seq, "sha256": beat.sha256,
            }  # fmt: skip
            self._recorder.state("beat", detail | _sealed(beat.sealed), now)

    def _ordered(self, halts: Halts, now: Now) -> None:
        # An order of a part changes no state, and none may come without a trace.
        for order in halts.orders:
            if order.sha256 not in self._orders:
                said = order.says
                scope = {"kind": said.scope.kind, "value": said.scope.value}
                detail: dict[str, Json] = {
                    "action": said.action, "id": said.halt_id, "scope": scope,
                    "clears": said.clears, "sha256": order.sha256,
                }  # fmt: skip
                self._recorder.state("halt", detail, now)
        self._orders = frozenset(order.sha256 for order in halts.orders)

    def told(self, event: Told) -> None:
        """Write down what has to be provable later. Of rounds, only those that differ."""
        self._observer.told(event)
        now = clock.now()
        match event:
            case Conflict():
                digests = [canonical.digest(raw) for raw in event.envelopes]
                detail: dict[str, Json] = {
                    "reason": event.reason.code, "evidence": event.evidence, "envelopes": digests,
                }  # fmt: skip
                self._recorder.state("conflict", detail, now)
            case TrustAdopted():
                detail = {"version": event.version, "sha256": event.sha256, "prev": event.before}
                detail |= _kept(event.raw)
                self._recorder.state("trust", detail, now)
            case RoundEnded():
                self._round(event, now)
            case Passage():
                self._passage(event, now)

    def _round(self, event: RoundEnded, now: Now) -> None:
        vector = {str(peer): result for peer, result in sorted(event.results.items())}
        if (event.outcome, vector) != self._vector:
            self._vector = (event.outcome, vector)
            detail: dict[str, Json] = {
                "round": event.round, "outcome": event.outcome, "peers": vector,
                "ms": event.duration_ms, "faults": [fault.code for fault in event.faults],
            }  # fmt: skip
            self._recorder.state("sync", detail, now)

    def _passage(self, event: Passage, now: Now) -> None:
        for step in event.steps:
            self._step(step, now)
        if event.steps[-1].number == lifecycle.APPROVAL and event.steps[-1].ok:
            # That this record exists is what step 9 is about; step 10, that the log continues.
            log = self._log()
            for number in (lifecycle.PERSISTENCE, lifecycle.CONTINUITY):
                self._step(Step(number, ok=True, spent_ms=0, evidence=log), now)

    def _step(self, step: Step, now: Now) -> None:
        detail: dict[str, Json] = {
            "step": step.number, "ok": step.ok, "ms": step.spent_ms,
            "evidence": dict(step.evidence),
        }  # fmt: skip
        self._recorder.state("lifecycle", detail, now)

    async def watch(self, gate: Gate) -> None:
        """Look again and again: a lease that ran out shows without any request."""
        while True:
            self.look(gate.snapshot)
            await asyncio.sleep(WATCH_S)


def _sealed(sealed: Envelope | None) -> dict[str, Json]:
    return {} if sealed is None else _kept(envelope.encode(sealed))


def _kept(raw: bytes) -> dict[str, Json]:
    # What can be proved later: without it there is only a digest. One that is too long for a record
    # is still on the peers.
    return {"envelope": raw.decode()} if len(raw) <= ENVELOPE_MAX_BYTES else {}
