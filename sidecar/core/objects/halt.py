"""Halts and clears: signed orders to stop a scope, and to end such a halt.

Rules:

* The set of orders only grows. A clear does not delete a halt; it is a second order that names the
  first. So every reader that holds the same orders computes the same answer, in any order.
* One signature of role halt, epoch or root stops. A clear needs the threshold of role resume.
* The set has a number (how many orders) and a digest (over the sorted digests of the orders). A
  beat pins both: hiding an order needs hiding every fresh beat.
* A halt outlives its lease, its epoch and a restart. Only a clear ends it.
* The kind `drill` never affects traffic. What the others stop is said in `core/scoped.py`.

Source: protocol b.1, b.10.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Annotated, Literal

import msgspec

from sidecar.core import canonical, envelope
from sidecar.core.canonical import Count, Id16, Name, Strict, Text
from sidecar.core.envelope import Payload
from sidecar.core.instant import WallMs
from sidecar.core.objects.trust import Role, Trust
from sidecar.core.reason import ProtocolError, Reason

PAYLOAD_TYPE = "application/vnd.epochgate.halt.v1+json"
TYPE = "urn:epochgate:halt:v1"
MAX_BYTES = 4 * 1024  # bytes
ORDERS_MAX = 256  # orders a domain should hold: what limits of size are reckoned with

HALT_ROLES = (Role.HALT, Role.EPOCH, Role.ROOT)
CLEAR_ROLES = (Role.RESUME,)


class Scope(Strict, frozen=True):
    """What is stopped: everything, or the named part."""

    kind: Literal["global", "service", "route", "model", "tenant", "instance", "drill"]
    value: Text


class Body(Strict, frozen=True):
    """The order, field for field as it is signed. `issued_at`: milliseconds since 1970."""

    type: str = msgspec.field(name="_type")
    domain: Name
    halt_id: Id16
    seq: Annotated[int, msgspec.Meta(ge=1, lt=canonical.INTEGER_LIMIT)]
    action: Literal["halt", "clear"]
    scope: Scope
    challenge: Text | None
    clears: Id16 | None
    reason_code: Text
    reason: Text
    issued_at: Count
    requested_by: Text


@dataclass(frozen=True, slots=True)
class Order:
    """A verified halt or clear, and the envelope that proves it.

    Attributes:
        sha256: Digest of the signed bytes, hex.
        says: What was signed.
        raw: The envelope, kept as evidence and to be passed on.
    """

    sha256: str
    says: Body
    raw: bytes


def open_order(raw: bytes, trust: Trust, now: WallMs) -> Order:
    """Verify one halt or clear.

    The action decides which role must have signed, so the payload is looked at before its
    signatures are counted; nothing of it is used unless they then suffice.

    Raises:
        ProtocolError: with the reason why it is no order.
    """
    sealed = envelope.parse(raw, MAX_BYTES)
    if sealed.payload_type != PAYLOAD_TYPE:
        raise ProtocolError(Reason.TYPE_CONFUSION, f"is {sealed.payload_type[:64]}")
    unverified = canonical.load(sealed.unverified_payload, Body, MAX_BYTES)
    roles = HALT_ROLES if unverified.action == "halt" else CLEAR_ROLES
    # Keys are judged by the time of signing: an order outlives the short-lived key that made it, or
    # a new sidecar could never learn of an old halt. Revocation is judged as ever.
    signed_at = WallMs(min(unverified.issued_at, now))
    return parse(trust.open_order(sealed, roles, PAYLOAD_TYPE, signed_at), trust, raw)


def reread(raw: bytes) -> Order:
    """An order that was verified before it was stored; its signatures are not counted again.

    Raises:
        ProtocolError: if the bytes are no order at all.
    """
    sealed = envelope.parse(raw, MAX_BYTES)
    said = canonical.load(sealed.unverified_payload, Body, MAX_BYTES)
    return Order(canonical.digest(sealed.unverified_payload), said, raw)


def parse(payload: Payload, trust: Trust, raw: bytes) -> Order:
    """Read an order whose signatures were counted.

    Raises:
        ProtocolError: TYPE_CONFUSION or NONCANONICAL.
    """
    said = canonical.load(payload.body, Body, MAX_BYTES)
    if said.type != TYPE or said.domain != trust.domain:
        raise ProtocolError(Reason.TYPE_CONFUSION, "not an order for this domain")
    if (said.action == "clear") != (said.clears is not None):
        raise ProtocolError(Reason.TYPE_CONFUSION, "a clear names what it clears, a halt does not")
    return Order(payload.sha256, said, raw)


def void(order: Order, trust: Trust) -> bool:
    """Whether keys that signed it were revoked since, and too few others did.

    Nobody can read it any more who has not stored it.
    """
    if trust.revoked.isdisjoint(_signers(order.raw)):
        return False
    try:
        open_order(order.raw, trust, WallMs(order.says.issued_at))
    except ProtocolError:
        return True
    return False


@lru_cache(maxsize=ORDERS_MAX)  # asked for all of them with each new one
def _signers(raw: bytes) -> tuple[str, ...]:
    return tuple(key for key, _ in envelope.parse(raw, MAX_BYTES).signatures)


@dataclass(frozen=True)  # no slots: what is asked with every reply is reckoned once
class Halts:
    """The grow-only set of orders.

    Attributes:
        orders: Sorted by digest.
    """

    orders: tuple[Order, ...] = ()

    @property
    def seq(self) -> int:
        """How many orders there are: the number that a beat pins."""
        return len(self.orders)

    @cached_property
    def sha256(self) -> str:
        """Digest over the sorted digests of the orders, hex."""
        digests = tuple(order.sha256 for order in self.orders)
        return canonical.digest(canonical.encode(digests))

    @cached_property
    def active(self) -> tuple[Order, ...]:
        """Halts in force: neither cleared nor a drill."""
        cleared = self.cleared
        return tuple(
            order
            for order in self.orders
            if order.says.action == "halt"
            and order.says.scope.kind != "drill"
            and order.says.halt_id not in cleared
        )

    @cached_property
    def stops_everything(self) -> bool:
        """Whether a global halt is in force."""
        return any(order.says.scope.kind == "global" for order in self.active)

    @cached_property
    def cleared(self) -> frozenset[str]:
        """Ids that a clear names: halts, or the evidence of a latched hold."""
        return frozenset(order.says.clears for order in self.orders if order.says.clears)

    def standing(self, trust: Trust) -> "Halts":
        """The set without what a revocation voided and a clear of today's keys has settled.

        Until then a voided halt is one that new sidecars cannot read and have to wait for: whoever
        gave it may have meant it. Afterwards they would wait for nothing, for ever.
        """
        voided = frozenset(order.sha256 for order in self.orders if void(order, trust))
        if not voided:
            return self
        settled = {order.says.clears for order in self.orders if order.sha256 not in voided}
        return Halts(
            tuple(
                order
                for order in self.orders
                if order.sha256 not in voided
                or not (order.says.scope.kind == "drill" or _about(order) in settled)
            )
        )

    def union(self, more: Iterable[Order]) -> "Halts":
        """The set with more orders in it.

        Beyond `ORDERS_MAX` further orders are still taken: only holders of halt keys can make
        them, and dropping one could drop the one that matters.
        """
        merged = {order.sha256: order for order in self.orders}
        for order in more:
            merged.setdefault(order.sha256, order)
        if len(merged) == len(self.orders):
            return self
        return Halts(tuple(merged[key] for key in sorted(merged)))


def _about(order: Order) -> str:
    return order.says.clears or order.says.halt_id


NO_HALTS = Halts()
