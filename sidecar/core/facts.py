"""What expressions of a policy can ask about: the value behind each name, made when asked for.

Rules:

* One `Facts` is one request at one instant: what is asked twice has one answer. A variable is
  worked out once, when something first asks for it, and one that fails fails each time.
* Bytes become text without loss: what is no UTF-8 becomes surrogates, which equal nothing that a
  policy can spell. So nobody slips into a comparison by an encoding.
* `request.headers` has names in lower case; lines of one name are joined by a comma, as HTTP says.
  `_` in a name stays what it is. Who a request is from or for is told by `request.model`, `tenant`
  and `agent`: they come from the headers that the signed route table declares, and are empty unless
  exactly one line says it (`head.one_value`); the model also from the body (`head.model_of`).
* Ages are counted on the wall clock and never negative; what is left of the lease is the time to
  the earlier of its two deadlines.

Durations are whole nanoseconds, instants nanoseconds since 1970 (`expression/kind.py`).

Source: conventions 5; protocol b.4.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from sidecar.core.expression.kind import EvaluationError
from sidecar.core.head import Header, RequestHead, model_of, one_value
from sidecar.core.instant import NS_PER_MS, Now
from sidecar.core.lease import Lease
from sidecar.core.objects.epoch import Epoch
from sidecar.core.routes import Routes


@dataclass(frozen=True, slots=True)
class Workload:
    """Where a policy is in force; empty: not known.

    Attributes:
        service: The service behind, as epochs name it.
        region: Where it runs, likewise.
        instance: Name of this sidecar, as halts name it.
        key_id: Of the key of this instance: decides which half of a rollout it takes.
    """

    service: str = ""
    region: str = ""
    instance: str = ""
    key_id: str = ""


NOWHERE = Workload()


class Facts:
    """One request, and all that expressions may know about it.

    Args:
        head: The request.
        routes: The table in force.
        lease: What it would pass under.
        epoch: The epoch in force, or None.
        here: Where.
        now: The clocks that it is decided with.
        parent: Id of the decision that it descends from; empty: none.
    """

    __slots__ = (
        "_headers", "_variables", "epoch", "head", "here", "lease", "now", "parent", "routes",
    )  # fmt: skip

    def __init__(
        self,
        head: RequestHead,
        routes: Routes,
        lease: Lease | None,
        epoch: Epoch | None,
        here: Workload,
        now: Now,
        *,
        parent: str = "",
    ) -> None:
        self.parent = parent
        self.head = head
        self.routes = routes
        self.lease = lease
        self.epoch = epoch
        self.here = here
        self.now = now
        self._headers: Mapping[str, str] | None = None
        self._variables: dict[str, object] = {}

    @property
    def headers(self) -> Mapping[str, str]:
        """Of the request, by name."""
        if self._headers is None:
            self._headers = Headers(self.head.headers)
        return self._headers

    def variable(self, name: str, ask: Callable[["Facts"], object]) -> object:
        """The value of a variable.

        Raises:
            EvaluationError: It has none.
        """
        if name not in self._variables:
            try:
                self._variables[name] = ask(self)
            except EvaluationError as error:
                self._variables[name] = _Failed(str(error))
        found = self._variables[name]
        if isinstance(found, _Failed):
            raise EvaluationError(found.why)
        return found


Ask = Callable[[Facts], object]


@dataclass(frozen=True, slots=True)
class _Failed:
    """Not the error itself: that holds its frames, they hold the facts, and those would hold it."""

    why: str


def variable(name: str, ask: Ask) -> Ask:
    """How to get the value of a variable, from how to work it out."""
    return lambda facts: facts.variable(name, ask)


def text(raw: bytes) -> str:
    """Bytes of a request as text."""
    return raw.decode("utf-8", "surrogateescape")


class Headers(Mapping[str, str]):
    """Headers by name, as text. Only what is asked for is made into text: most is never."""

    __slots__ = ("_lines",)

    def __init__(self, headers: tuple[Header, ...]) -> None:
        lines = dict(headers)
        self._lines = lines if len(lines) == len(headers) else _joined(headers)

    def __getitem__(self, name: str) -> str:
        return text(self._lines[_raw(name)])

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and _raw(name) in self._lines

    def __iter__(self) -> Iterator[str]:
        return map(text, self._lines)

    def __len__(self) -> int:
        return len(self._lines)


def _raw(value: str) -> bytes:
    return value.encode("utf-8", "surrogateescape")


def _joined(headers: tuple[Header, ...]) -> dict[bytes, bytes]:
    found: dict[bytes, bytes] = {}
    for name, value in headers:
        found[name] = value if name not in found else found[name] + b"," + value
    return found


def _host(facts: Facts) -> str:
    # Without regard to case, as it is compared everywhere: a rule is not got around by a capital.
    return next((text(value).lower() for name, value in facts.head.headers if name == b"host"), "")


def _attribute(facts: Facts, name: bytes | None) -> str:
    value = None if name is None else one_value(facts.head.headers, name)
    return "" if value is None else text(value)


def _epoch(facts: Facts) -> Epoch:
    if facts.epoch is None:
        raise EvaluationError("no epoch is in force")
    return facts.epoch


def _lease(facts: Facts) -> Lease:
    if facts.lease is None:
        raise EvaluationError("there is no lease")
    return facts.lease


def _age(facts: Facts, issued_at: int) -> int:
    return max(0, facts.now.wall - issued_at) * NS_PER_MS


def _remaining(facts: Facts) -> int:
    lease, now = _lease(facts), facts.now
    return min(lease.deadline - now.boot, (lease.wall_deadline - now.wall) * NS_PER_MS)


VALUES: Mapping[str, Ask] = MappingProxyType({
    "request.method": lambda facts: text(facts.head.method),
    "request.path": lambda facts: text(facts.head.path),
    "request.query": lambda facts: text(facts.head.target.partition(b"?")[2]),
    "request.host": _host,
    "request.headers": lambda facts: facts.headers,
    "request.model": lambda facts: text(model_of(facts.head, facts.routes.model_header)),
    "request.tenant": lambda facts: _attribute(facts, facts.routes.tenant_header),
    "request.agent": lambda facts: _attribute(facts, facts.routes.agent_header),
    "request.parent": lambda facts: facts.parent,
    "epoch.seq": lambda facts: _epoch(facts).seq,
    "epoch.age": lambda facts: _age(facts, _epoch(facts).says.issued_at),
    "epoch.domain": lambda facts: _epoch(facts).says.domain,
    "lease.remaining": _remaining,
    "lease.age": lambda facts: _age(facts, _lease(facts).beat.says.issued_at),
    "lease.quorum": lambda facts: len(_lease(facts).peers),
    "lease.anchor": lambda facts: _lease(facts).anchor,
    "workload.service": lambda facts: facts.here.service,
    "workload.region": lambda facts: facts.here.region,
    "workload.instance": lambda facts: facts.here.instance,
    "now": lambda facts: facts.now.wall * NS_PER_MS,
})  # fmt: skip
