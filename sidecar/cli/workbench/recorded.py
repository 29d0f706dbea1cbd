r"""What a record of a decision still knows of its request, in the form that `decide` takes.

Rules:

* A question that the record cannot answer raises `UnrecordedError` where it is asked. So a decision
  is judged as long as the candidate asks for nothing else on its way to a verdict. For `&&` and
  `||` it is an error like any other: what is decided without the answer is decided.
* Records hold no query, no body, no clock of the epoch and no header but those that a signed policy
  listed; a path or a value that may have been cut, or in which `\` may stand for another byte, is
  not known either.
* Of a listed header that was sent several times a record holds the first line. It is taken for the
  only one, and the report says so.
* A name that this file does not know is not recorded: what is new in `facts.py` is never guessed.

Source: protocol b.13; audit/recorder; core/facts.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NoReturn, Self

from msgspec import UNSET

from sidecar.core import recording
from sidecar.core.expression.kind import EvaluationError
from sidecar.core.head import Header, RequestHead, one_value
from sidecar.core.instant import NS_PER_MS
from sidecar.core.log.record import PATH_MAX_BYTES, Decision
from sidecar.core.policy import Policy
from sidecar.core.routes import EXEMPT_METHODS, Route, Routes, Upstream

ALL_HEADERS = "all headers"
NO_TABLE = "the route table: give --routes"


class UnrecordedError(EvaluationError):
    """The verdict hangs on something that is not in the record; the message names it."""


class AnyRoute(Routes):
    """Stands for a route table that nobody named: every path leads somewhere, nothing is exempt."""

    __slots__ = ()

    def __init__(self) -> None:
        self.name, self.sha256, self.raw, self.exempt = "", "", b"", {}

    def match(self, path: bytes) -> Route | None:  # noqa: ARG002, the signature of a table
        """The one route."""
        return _ANYWHERE

    def __getattr__(self, name: str) -> NoReturn:
        """Whatever else a table says: which headers name model and tenant."""
        raise UnrecordedError(NO_TABLE)


_ANYWHERE = Route("-", Upstream("-", "", 0))


class Recorded:
    """One record, for one judgement.

    Args:
        said: The record.
        listed: Headers that the policy of that time listed; one of them that the record does not
            hold was not sent.
        table: The route table that it is judged with.
        policy: The candidate: whether it has the model read from the body, and asks for the
            decision before; and where the request was, as far as that is known.

    Attributes:
        missing: What was asked for and is not recorded.
        varies: Whether something was asked for that differs from record to record: a clock, the
            epoch, a parent.
    """

    __slots__ = ("_absent", "_lines", "_policy", "_table", "missing", "said", "varies")

    def __init__(
        self, said: Decision, listed: Iterable[str], table: Routes, policy: Policy
    ) -> None:
        self.said = said
        self._table = table
        self._policy = policy
        lines = {} if said.headers is UNSET else said.headers
        self._lines = {name: value for name, value in lines.items() if _whole(value)}
        self._absent = frozenset(name for name in listed if name not in lines)
        self.missing: list[str] = []
        self.varies = False

    def head(self) -> RequestHead:
        """The request.

        Raises:
            UnrecordedError: Method or path are not known, or whether the target was exempt.
        """
        path, method = self.path().encode(), self.method().encode()
        if method in EXEMPT_METHODS and path in self._table.exempt:
            self.miss("the query: the path is exempt without one")
        lines = ((name.encode(), value.encode()) for name, value in self._lines.items())
        return RequestHead(method, path, path, (*lines, (_Others.of(self), b"")))

    def miss(self, what: str) -> NoReturn:
        """Something is not recorded."""
        self.missing.append(what)
        raise UnrecordedError(what)

    def method(self) -> str:
        """Of the request."""
        if not self.said.method.isascii() or not self.said.method:
            self.miss("the method")
        return self.said.method

    def path(self) -> str:
        """Of the request."""
        text = self.said.path
        if not text:
            self.miss("the path")
        if len(text) >= PATH_MAX_BYTES:
            self.miss("the end of a long path")
        if "\\" in text or not text.isascii():
            self.miss("the bytes of a path with \\")
        return text

    def header(self, name: str) -> str | None:
        """The value of a header; None: it was not sent."""
        if name in self._lines:
            return self._lines[name]
        if name not in self._absent:
            how = " (only its digest)" if self._is_digested(name) else ""
            self.miss(f"header {name}{how}")
        return None

    def declared(self, which: str) -> str:
        """The value of the header that the route table declares, as `facts.py` tells it."""
        if isinstance(self._table, AnyRoute):
            self.miss(NO_TABLE)
        name: bytes | None = getattr(self._table, f"{which}_header")
        value = None if name is None else self.header(name.decode())
        if name is None or value is None:
            return ""
        line: tuple[Header, ...] = ((name, value.encode()),)
        return (one_value(line, name) or b"").decode()

    def model(self) -> str:
        """The model; a body that may name it is not recorded, and taken to name no other."""
        named = self.declared("model")
        if not named and self._policy.model_max_bytes:
            self.miss("the model that the body names")
        return named

    def parent(self) -> str:
        """Id of the decision before; where a record names none, nobody may have asked."""
        if self._policy.parent is None:
            return ""  # so it is in a pod, when nobody asks
        self.varies = True
        return self.said.parent_id or self.miss("the parent decision")

    def epoch_seq(self) -> int:
        """Number of the epoch."""
        self.varies = True
        return self.miss("the epoch") if self.said.epoch is None else self.said.epoch.seq

    def remaining(self) -> int:
        """What was left of the lease, in nanoseconds."""
        self.varies = True
        left_ms = self.said.lease_ms_left
        return self.miss("the lease") if left_ms is None else left_ms * NS_PER_MS

    def wall(self) -> int:
        """When, in nanoseconds since 1970."""
        self.varies = True
        return self.said.ts * NS_PER_MS

    def workload(self, which: str) -> str:
        """Where, as far as it was given."""
        said: str = getattr(self._policy.here, which)
        return said or self.miss(f"workload.{which}: give --{which}")

    def _is_digested(self, name: str) -> bool:
        if self.said.tenant_h is UNSET or isinstance(self._table, AnyRoute):
            return False
        return self._table.tenant_header == name.encode()


def value(name: str, of: Recorded) -> object:
    """What stands behind a name of an expression, as `facts.VALUES` tells it in a pod.

    Raises:
        UnrecordedError: The record does not say.
    """
    ask = _ASKS.get(name)
    return of.miss(name) if ask is None else ask(of)


class _Headers(Mapping[str, str]):
    """The headers of a record: one can be asked for by its name, all of them cannot be listed."""

    def __init__(self, of: Recorded) -> None:
        self._of = of

    def __getitem__(self, name: str) -> str:
        found = self._of.header(name)
        if found is None:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[str]:
        self._of.miss(ALL_HEADERS)

    def __len__(self) -> int:
        return self._of.miss(ALL_HEADERS)


_ASKS: Mapping[str, Callable[[Recorded], object]] = {
    "request.method": Recorded.method,
    "request.path": Recorded.path,
    "request.host": lambda of: (of.header("host") or "").lower(),
    "request.headers": _Headers,
    "request.model": Recorded.model,
    "request.tenant": lambda of: of.declared("tenant"),
    "request.agent": lambda of: of.declared("agent"),
    "request.parent": Recorded.parent,
    "epoch.seq": Recorded.epoch_seq,
    "lease.remaining": Recorded.remaining,
    "workload.service": lambda of: of.workload("service"),
    "workload.region": lambda of: of.workload("region"),
    "workload.instance": lambda of: of.workload("instance"),
    "now": Recorded.wall,
}


def _whole(value: str) -> bool:
    return value.isascii() and "\\" not in value and len(value) < recording.VALUE_MAX_BYTES


class _Others(bytes):
    """In the place of the names of all lines that were not recorded: must not be compared."""

    recorded: Recorded

    @classmethod
    def of(cls, recorded: Recorded) -> Self:
        """The rest of a request's headers."""
        made = cls()
        made.recorded = recorded
        return made

    def __eq__(self, name: object) -> bool:
        assert isinstance(name, bytes)
        self.recorded.header(name.decode())
        return False  # it is recorded, and has its own line; or it was not sent

    def __ne__(self, name: object) -> bool:
        return not self == name

    def __hash__(self) -> int:
        return self.recorded.miss(ALL_HEADERS)

    def replace(self, *_: object) -> Self:
        """Asked by who looks for a name in another spelling: then that is compared."""
        return self

    def decode(self, *_: object, **__: object) -> NoReturn:
        """Asked by who wants all headers."""
        self.recorded.miss(ALL_HEADERS)
