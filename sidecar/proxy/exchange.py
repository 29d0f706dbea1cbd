"""One request and its response.

The order for a permit, in one callback without an await (hardening E-G6):

    decide -> journal -> read the clocks -> lapsed? -> write upstream -> read the clocks -> late?

The upstream connection exists before the decision and its write buffer is empty, so what is written
leaves at once. What the policy wants to know of the body has been read before all that. A late
write is recorded, its connection aborted, nothing of the response relayed.

Rules:

* The question is asked again (`recheck`) before each piece, and after each piece of the request.
* An exchange that is cut can not be mistaken for a complete one: no last chunk, no full length. A
  reader of an event stream gets one more event that says why.
* An answer is relayed once the kernel has all of it: until then it can still be cut.
* A response that begins before its request has ended is relayed, then both connections end.

Source: hardening 0, E-G6, E-G8, E-H7, b.2, b.3.
"""

from sidecar.core.gate import Denial, Exempt, Permit, drained_at, lapsed, recheck
from sidecar.core.instant import NS_PER_MS, Now
from sidecar.core.reason import ProtocolError, Reason
from sidecar.proxy import denial, http1
from sidecar.proxy.intake import Intake
from sidecar.proxy.plane import RECORDED, TRIES_MAX, Connection, Outcome, Plane
from sidecar.proxy.response import Response
from sidecar.proxy.shell import Asked
from sidecar.proxy.upstream import Upstream


class Exchange:
    """One request and its response.

    Args:
        plane: What all share.
        connection: The client connection.
        asked: The parsed request head.

    Attributes:
        sent: Whether the request was begun upstream.
    """

    __slots__ = (
        "_asked", "_connection", "_decision", "_decision_id", "_drained", "_first_byte_ns",
        "_intake", "_over", "_overhead_ns", "_plane", "_response", "_since", "_total", "_tries",
        "_upstream", "sent",
    )  # fmt: skip

    def __init__(self, plane: Plane, connection: Connection, asked: Asked) -> None:
        self._plane = plane
        self._connection = connection
        self._asked = asked
        self._intake = Intake(asked, plane.request_bounds)
        self._decision: Permit | Exempt | None = None
        self._decision_id: str | None = None
        self._upstream: Upstream | None = None
        self._response = Response(asked, plane.answers, plane.response_bounds)
        self._tries = 0
        self._since = 0
        self._total = 0
        self._overhead_ns = 0
        self._first_byte_ns = 0
        self._drained = 0  # boot time at which a drain ends; 0: the lease is live
        self._over = False
        self.sent = False
        plane.in_flight += 1

    @property
    def wants_body(self) -> bool:
        """Whether more of the request is taken as soon as it arrives."""
        return (self.sent or self._intake.ahead > 0) and not self._intake.done

    # The request.

    def begin(self) -> None:
        """Decide; forward at once when there is a connection, else when there is one."""
        plane = self._plane
        now = plane.clock()
        if not self._since:
            self._since = now.boot
            if plane.timeouts.total_ms:
                self._total = now.boot + plane.timeouts.total_ms * NS_PER_MS
        if not self._intake.done and self._asked.head.model is None and not self._read_model(now):
            return
        self._connection.deadline = self._total  # connecting has a timeout of its own
        decision = plane.decide(self._asked.head, self._connection.destination, now)
        if isinstance(decision, Denial):
            self._deny(decision, now)
            return
        address = decision.upstream if isinstance(decision, Exempt) else decision.route.upstream
        upstream = self._connection.upstream_for(address)
        if upstream is not None:
            self._forward(decision, upstream, now)
        elif self._tries < TRIES_MAX:
            self._tries += 1
            plane.pool.connect(address, self._connected)
        else:
            self.unreachable()

    def _read_model(self, now: Now) -> bool:
        # Whether all that the policy wants to know of the body has been read.
        head, intake = self._asked.head, self._intake
        max_bytes = intake.ahead or self._plane.gate.snapshot.policy.model_max_bytes
        if not max_bytes:
            return True
        if self._is_hopeless(now):
            return False
        head.model = intake.read_model(self._connection, max_bytes)
        if head.model is None:
            self._set_deadline(now)
        return head.model is not None

    def _is_hopeless(self, now: Now) -> bool:
        denied = self._plane.hopeless(self._asked.head, now)
        if denied is not None:
            self._deny(denied, now)
        return denied is not None

    def unreachable(self) -> None:
        """No connection could be made. A gate that has closed meanwhile is the better answer."""
        plane = self._plane
        now = plane.clock()
        decision = plane.decide(self._asked.head, self._connection.destination, now)
        if isinstance(decision, Exempt):
            self._tell(Denial(Reason.UPSTREAM_UNREACHABLE, plane.gate.snapshot), now, "failed")
        elif isinstance(decision, Denial):
            self._deny(decision, now)
        else:
            self._deny(Denial(Reason.UPSTREAM_UNREACHABLE, decision.snapshot), now, "failed")

    def request_data(self, end: Outcome = "cut") -> None:
        """The client sent more of the body, or the service has room for it again."""
        if self._intake.ahead:
            self.begin()
            return
        now = self._plane.clock()
        if not self.look(now, end):
            return
        data = self._intake.take(self._connection)
        if data and self._upstream is not None:
            self._upstream.relay(data)
            now = self._plane.clock()  # a service may begin with the last piece of the body
            if not self.look(now, "late"):
                return
        self._go_on(now)

    def malformed(self, reason: Reason) -> None:
        """The body of the request can not be read, or took too long."""
        plane, now = self._plane, self._plane.clock()
        plane.observer.malformed(reason)
        self._intake.fail()
        if self.sent:
            self._fail(reason, now, "deny")
        else:
            self._deny(Denial(reason, plane.gate.snapshot), now)

    def _connected(self, upstream: Upstream | None) -> None:
        if not self._over:
            self._connection.connected(upstream)
        elif upstream is not None:
            self._plane.pool.put_back(upstream)

    def _forward(self, decision: Permit | Exempt, upstream: Upstream, now: Now) -> None:
        body = self._intake.take(self._connection)
        if isinstance(decision, Exempt):
            self._decision = decision
            self._begin_upstream(decision, upstream, http1.request_head(self._asked, b"") + body)
            self._set_deadline(now)
            return
        plane, asked = self._plane, self._asked
        decision_id = plane.recorder.decision(decision, asked.head, asked.trace, now)
        if decision_id is None:
            self._tell(Denial(Reason.AUDIT_UNWRITABLE, plane.gate.snapshot), now, "deny")
            return
        self._decision, self._decision_id = decision, decision_id
        ours = plane.request_lines(decision, asked.head, decision_id, now)
        data = http1.request_head(asked, ours) + body
        # Nothing slow may stand between this reading of the clocks and the write.
        before = plane.clock()
        reason = recheck(plane.gate.snapshot, decision, asked.head, before)
        if reason is not None:
            self._tell(Denial(reason, plane.gate.snapshot), before, "abort")
            return
        self._begin_upstream(decision, upstream, data)
        plane.release(decision, upstream)
        after = plane.clock()
        self._overhead_ns = after.boot - now.boot
        if lapsed(decision.snapshot, after) is None:
            self._set_deadline(after)
        else:
            self._late(after)

    def _begin_upstream(self, decision: Permit | Exempt, upstream: Upstream, data: bytes) -> None:
        self._upstream = upstream
        self.sent = True
        upstream.send(decision, data, self._connection)

    def _late(self, now: Now) -> None:
        # Destroyed first: whatever the service makes of those bytes, nobody will see it.
        self._connection.drop_upstream()
        self._tell(Denial(Reason.LEASE_EXPIRED, self._plane.gate.snapshot), now, "late")

    def _set_deadline(self, now: Now) -> None:
        timeouts = self._plane.timeouts
        since: int = now.boot
        if self._awaits_client():
            left_ms = timeouts.body_ms
            # Once the answer has begun both sides may be in a conversation.
            anew, progress = self._response.answer is not None, self._plane.limits.progress_bytes
            since = self._intake.waits_since(now, progress, anew=anew)
        else:
            left_ms = timeouts.response_ms if self._response.answer is None else timeouts.stream_ms
            self._intake.rest()
        deadline = since + left_ms * NS_PER_MS if left_ms else 0
        for other in (self._total, self._drained):
            if other and (not deadline or other < deadline):
                deadline = other
        self._connection.deadline = deadline

    def _awaits_client(self) -> bool:
        # A service that does not take what the client has sent is itself what is waited for.
        return not self._intake.done and not (self._upstream is not None and self._upstream.full)

    def upstream_data(self, data: bytes) -> None:
        """The service sent bytes."""
        now = self._plane.clock()
        if not self.look(now):
            return
        response = self._response
        try:
            if response.answer is not None:
                relayed = response.read_body(data)
            else:
                relayed, complete = response.read_head(data)
                if complete:
                    self._first_byte_ns = now.boot - self._since
                    ours = self._plane.lines_for(self._decision, self._decision_id)
                    relayed += response.begin(ours, keep=self._may_keep())
        except ProtocolError:
            self._fail(Reason.UPSTREAM_INVALID, now)
            return
        if relayed:
            self._connection.write(relayed)
        if response.done:
            self._complete(now)
        elif response.answer is not None:
            self._set_deadline(now)

    def upstream_lost(self, now: Now, *, clean: bool) -> None:
        """The connection behind has ended."""
        if not self.look(now):
            return
        last = self._response.end() if clean else None
        if last is None:
            self._fail(Reason.UPSTREAM_INVALID, now)
        else:
            self._connection.write(last)
            self._complete(now)

    def _may_keep(self) -> bool:
        # A response that overtakes its request leaves bytes of unknown length behind.
        in_step = self._intake.done and not self._connection.eof
        return self._asked.keep_alive and in_step and not self._plane.draining

    def _complete(self, now: Now) -> None:
        response, upstream = self._response, self._upstream
        answer = response.answer
        assert answer is not None
        doubt = response.surplus or not self._intake.done or not answer.keep_alive
        if upstream is not None and not (upstream.lost or upstream.full or doubt):
            upstream.release()
        else:
            self._connection.drop_upstream()
        self._intake.done = True  # nothing takes the rest of it
        self._go_on(now)

    def _go_on(self, now: Now) -> None:
        response, answer = self._response, self._response.answer
        if answer is None or not response.done or self._connection.undelivered():
            self._set_deadline(now)
            return
        outcome: Outcome = "permit" if isinstance(self._decision, Permit) else "exempt"
        self._end(outcome, None, answer.status, now, keep=response.keep)

    # The ends that are not wanted.

    def expired(self, now: Now) -> None:
        """The deadline that this exchange has set was reached."""
        drained = self._drained
        if not self.look(now) or self._drained != drained:
            return  # a drain that began, or that a new lease has ended, has another deadline
        if not self.sent or self._awaits_client():
            self.malformed(Reason.REQUEST_TIMEOUT)
        elif self._connection.write_full and not 0 < self._total <= now.boot:
            self._set_deadline(now)  # the client is what is waited for (`pace.py`)
        else:
            self._fail(Reason.UPSTREAM_TIMEOUT, now)

    def gone(self, now: Now, reason: Reason | None = None) -> None:
        """The client has left, or was made to."""
        self._connection.drop_upstream()
        self._end("gone", reason, 0, now, keep=False)

    def broken(self, now: Now) -> None:
        """Our own code failed: deny, never forward."""
        plane = self._plane
        if self._over:  # it was the end that failed
            self._connection.cut_off()
            self._connection.over(now, keep=False)
            return
        if self._decision_id is None and self._response.answer is None:
            self._connection.drop_upstream()
            self._deny(Denial(Reason.INTERNAL_ERROR, plane.gate.snapshot), now)
            return
        self._fail(Reason.INTERNAL_ERROR, now, "deny")

    def give_up(self) -> None:
        """Not even an answer could be made. A permit stays without an outcome."""
        self._plane.in_flight -= not self._over
        self._over = True

    def look(self, now: Now, end: Outcome = "cut") -> bool:
        """Whether the exchange is still permitted; it is cut otherwise, with that end."""
        decision = self._decision
        if not isinstance(decision, Permit) or not self.sent or self._over:
            return not self._over and not (self._intake.ahead and self._is_hopeless(now))
        snapshot = self._plane.gate.snapshot
        reason = recheck(snapshot, decision, self._asked.head, now)
        until = 0
        if reason is not None:
            bridged = drained_at(snapshot, decision, reason, now)
            if bridged is None:
                self._cut(reason, now, end)
                return False
            until = bridged
        if self._drained != until:
            self._drained = until
            self._set_deadline(now)
        return True

    def _cut(self, reason: Reason, now: Now, end: Outcome) -> None:
        plane = self._plane
        plane.observer.stream_cut(reason)
        if reason is Reason.LEASE_EXPIRED and self._upstream and self._upstream.left_unseen:
            end = "late"  # nobody knows when those bytes left
        event = denial.last_event(reason, plane.gate.snapshot, self._decision_id, now)
        last = None if self._connection.write_full else self._response.last_words(event)
        self._fail(reason, now, end, last or b"")

    def _fail(self, reason: Reason, now: Now, end: Outcome = "failed", last: bytes = b"") -> None:
        self._connection.drop_upstream()
        answer = self._response.answer
        if answer is None:
            self._tell(Denial(reason, self._plane.gate.snapshot), now, end)
            return
        if last:
            self._connection.write(last)
        else:
            self._connection.cut_off()
        self._end(end, reason, answer.status, now, keep=False)

    def _deny(self, decision: Denial, now: Now, outcome: Outcome = "deny") -> None:
        asked = self._asked
        self._decision_id = self._plane.recorder.decision(decision, asked.head, asked.trace, now)
        self._tell(decision, now, outcome)

    def _tell(self, why: Denial, now: Now, outcome: Outcome) -> None:
        if self._over:
            return  # a recorder that fails closes the gate, and that has cut this exchange already
        plane, method = self._plane, self._asked.head.method
        # A body that has arrived with its head is dropped and the connection stays.
        stays = self._asked.keep_alive and not plane.draining
        keep = stays and self._intake.drop(self._connection)
        self._connection.write(plane.answer(why, self._decision_id, now, method, keep=keep))
        self._end(outcome, why.reason, why.reason.status, now, keep=keep)

    def _end(
        self, outcome: Outcome, reason: Reason | None, status: int, now: Now, *, keep: bool
    ) -> None:
        if self._over:
            return
        self._over = True
        plane, took_ns = self._plane, now.boot - self._since if self._since else 0
        plane.in_flight -= 1
        observed = None
        if type(self._decision) is Permit and self._decision_id is not None:
            observed = self._decision.observed
            plane.recorder.outcome(
                self._decision_id, RECORDED[outcome], reason, now,
                dur_ns=took_ns, sent=self.sent, status=status,
            )  # fmt: skip
        plane.observer.finished(
            outcome, reason, status, took_ns, self._overhead_ns, self._first_byte_ns,
            observed=observed,
        )  # fmt: skip
        self._connection.over(now, keep=keep)
