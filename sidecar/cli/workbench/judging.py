"""Judges recorded decisions under a candidate, with the function that decides in a pod.

Rules:

* What was denied because the gate was closed, or by an order, is no matter of policy: it is counted
  as not replayable, with its reason.
* Records that hold the same about their requests come out the same. So each is judged once, and
  looked up after that; the table of these has a limit, and a log of a million paths pays for each.
* The lease is taken for live and no order is in force: only policy and routes are on trial.
* A parent decision that a record names is taken for a permit that was young enough, as it was then.
  Where a record names none, a candidate that asks for parents cannot be judged by it.
* Of budgets, those on models and tenants are about requests and tried; what all others do is done
  when a lease is granted.

Source: core/gate; conventions 9.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from msgspec import UNSET

from sidecar.cli.given import Given
from sidecar.cli.workbench.flips import Flips, Group, Kind
from sidecar.cli.workbench.recorded import AnyRoute, Recorded, UnrecordedError, value
from sidecar.core import canonical
from sidecar.core.facts import NOWHERE, VALUES, Facts, Workload
from sidecar.core.gate import Denial, Permit, decide
from sidecar.core.log.record import Decision, Record
from sidecar.core.parent import NO_CLAIM, Claim
from sidecar.core.policy import MAX_BYTES, Body, Policy
from sidecar.core.policy_body import BudgetsBody
from sidecar.core.reason import BY_CODE, Reason
from sidecar.core.routes import Routes

KNOWN_MAX = 65_536

# Denials that are about a request. For all others the gate was closed, or there was an order.
OF_POLICY = frozenset({Reason.POLICY_DENY, Reason.ROUTE_UNKNOWN})
UNJUDGED = (Reason.POLICY_INVALID, Reason.INTERNAL_ERROR)  # what a question without answer becomes

_Key = tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Terms:
    """What is taken as given while a candidate is tried.

    Attributes:
        routes: The table it would be in force with; None: every path is taken to lead somewhere.
        here: Where the requests were; empty fields: not known.
        listed: Headers that earlier policies listed, by the digest of the policy.
    """

    routes: Routes | None = None
    here: Workload = NOWHERE
    listed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Candidate:
    """A policy on trial.

    Args:
        raw: Its bundle, which `policy.parse` accepts.
        terms: What is taken as given.
    """

    def __init__(self, raw: bytes, terms: Terms) -> None:
        table = AnyRoute() if terms.routes is None else terms.routes
        body = canonical.load(raw, Body, MAX_BYTES)
        # The names of expressions lead to the record at hand. All else is as it is in a pod.
        asks = {name: partial(self._value, name) for name in VALUES}
        self.policy = Policy(body, raw, terms.here, asks)
        self._terms = terms
        self._table = table
        self._snapshot = Given().snapshot(self.policy, table)
        self._now = Given().now
        self._budgeted = _budgeted(body)
        ruled = any(rule.headers for rule in self.policy.rules)
        self._asks_headers = self.policy.asks or ruled or bool(self._budgeted)
        self._known: dict[_Key, Group] = {}
        self._current: Recorded | None = None

    def group(self, said: Decision) -> Group:
        """Where a decision belongs."""
        key = self._key(said)
        known = self._known.get(key)
        return self._judged(said, key) if known is None else known

    def _key(self, said: Decision) -> _Key:
        """All that a verdict can depend on which does not vary, and all that its group says."""
        key: _Key = (said.decision, said.reason, said.rule, said.route, said.method, said.path)
        if self.policy.parent is not None:
            key = (*key, said.parent_id is None)
        if not self._asks_headers:
            return key
        lines = None if said.headers is UNSET else tuple(said.headers.items())
        return (*key, lines, said.policy_sha, said.tenant_h is UNSET)

    def _judged(self, said: Decision, key: _Key) -> Group:
        listed = self._terms.listed.get(said.policy_sha or "", ())
        recorded = Recorded(said, listed, self._table, self.policy)
        found = self._group(recorded)
        if not recorded.varies:
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            self._known[key] = found
        return found

    def _group(self, recorded: Recorded) -> Group:
        said = recorded.said
        if said.decision == "deny" and (why := self._foreign(said)):
            return _group(Kind.UNKNOWN, said, why=why)
        self._current = recorded
        try:
            head = recorded.head()
            head.parent = self._claim(recorded)
            for ask in self._budgeted:
                ask(recorded)  # or it is missed: the gate would find no header, and deny
            found = decide(self._snapshot, head, self._now)
        except UnrecordedError as error:
            return _group(Kind.UNKNOWN, said, why=f"not recorded: {error}")
        assert isinstance(found, Permit | Denial), "whose target may be exempt has no head"
        if recorded.missing and _reason(found) in UNJUDGED:
            return _group(Kind.UNKNOWN, said, why=f"not recorded: {recorded.missing[0]}")
        return _compared(said, found)

    def _claim(self, recorded: Recorded) -> Claim:
        if self.policy.parent is None:
            return NO_CLAIM
        return Claim("permit", recorded.said.parent_id or recorded.miss("the parent decision"))

    def _value(self, name: str, _: Facts) -> object:
        assert self._current is not None
        return value(name, self._current)

    def _foreign(self, said: Decision) -> str:
        """Why a denial cannot be judged by policy and routes alone; empty: it can."""
        reason = BY_CODE.get(said.reason or "")
        if reason is Reason.ROUTE_UNKNOWN and self._terms.routes is None:
            return "no route took it; give --routes"
        # Of EG203 there are two: an expression failed, and then a rule is named; or there was no
        # policy at all.
        failed = reason is Reason.POLICY_INVALID and said.rule is not None
        freed = reason is Reason.PARENT_DENIED and self.policy.parent is None
        if reason in OF_POLICY or failed or freed:
            return ""
        slug = "" if reason is None else f" {reason.slug}"
        return f"not of the policy: {said.reason}{slug}"


class Replay:
    """Takes the records of one log, one after the other.

    Args:
        candidate: On trial.
        since: Not before, ms since 1970; None: from the beginning.
        until: Before, likewise.
    """

    def __init__(self, candidate: Candidate, since: int | None, until: int | None) -> None:
        self.flips = Flips()
        self._candidate = candidate
        self._since = -1 if since is None else since
        self._until = until

    def take(self, said: Record) -> None:
        """Count the next record."""
        flips = self.flips
        flips.records += 1
        if not isinstance(said, Decision):
            return
        if said.ts < self._since or (self._until is not None and said.ts >= self._until):
            flips.outside += 1
            return
        flips.decisions += 1
        flips.of(self._candidate.group(said)).add(said.decision_id)


def _budgeted(body: Body) -> list[Callable[[Recorded], str]]:
    """What of a request the budgets of a policy look at."""
    said = body.budgets
    if not isinstance(said, BudgetsBody):
        return []
    asks: list[Callable[[Recorded], str]] = []
    if said.models is not UNSET:
        asks.append(Recorded.model)
    if said.tenants is not UNSET:
        asks.append(lambda recorded: recorded.declared("tenant"))
    return asks


def _reason(found: Permit | Denial) -> Reason | None:
    return found.observed if isinstance(found, Permit) else found.reason


def _compared(said: Decision, found: Permit | Denial) -> Group:
    rule = None if found.rule is None else found.rule.name
    reason, now = _reason(found), "permit" if isinstance(found, Permit) else "deny"
    code = None if reason is None else reason.code
    if said.decision != now:
        kind = Kind.LOOSER if now == "permit" else Kind.TIGHTER
    elif now == "permit" and code is not None and said.reason is None:
        kind = Kind.OBSERVED
    else:
        kind = Kind.SAME if (said.reason, said.rule) == (code, rule) else Kind.MOVED
    return _group(kind, said, now=code, now_rule=rule)


def _group(
    kind: Kind, said: Decision, now: str | None = None, now_rule: str | None = None, why: str = ""
) -> Group:
    return Group(kind, said.decision, said.reason, said.rule, said.route, now, now_rule, why)
