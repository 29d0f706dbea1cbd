"""What an authority keeps on record of what governs: what is not written down yet, as entries.

    trust     a document that was put in force
    epoch     an epoch that was vouched for
    halt      an order to stop, when it was first seen
    clear     an order that ends one
    conflict  two signed objects with one number

Rules:

* Each object is entered once, by the digest of its signed bytes; what a log already holds is handed
  in at the start, so a restart enters nothing again.
* All of them carry signatures that were verified before: whoever writes to a peer can enter nothing
  here, and so cannot fill the log either.
* `by` names keys whose signatures were verified again, under any trust document that is at hand. A
  key id that merely stands in an envelope says nothing.

Source: protocol b.13 (governance log).
"""

from collections.abc import Iterable, Iterator, Mapping

from sidecar.core import canonical, envelope
from sidecar.core.canonical import Json
from sidecar.core.envelope import KeyId, PublicKey
from sidecar.core.issued import Issued
from sidecar.core.issuing import Contradiction, Entry, Fact, Recorded, RecordFailed
from sidecar.core.log import checkpoint
from sidecar.core.objects import epoch, halt, trust
from sidecar.core.objects.halt import Order
from sidecar.core.objects.trust import LogHead, Role, Trust

KINDS = ("trust", "epoch", "halt", "clear", "conflict")  # of records


def origin(domain: str, key: KeyId) -> str:
    """The name of a governance log: another key makes another log."""
    return checkpoint.origin(domain, f"governance/{key[:16]}")


def name(kind: str, detail: Mapping[str, object]) -> str:
    """What an entry is known by: its kind and the digests that it is about."""
    digests = detail.get("sha256")
    return " ".join((kind, *(digests if isinstance(digests, list | tuple) else (str(digests),))))


class Governed:
    """Finds what is not on record yet.

    Args:
        origin: Name of the log.
        key: Id of the key that signs it.
        recorded: Names of the entries that the log holds.

    Attributes:
        head: The newest one that is durable and signed; None before, and while there is none.
    """

    def __init__(self, origin: str, key: KeyId, recorded: Iterable[str]) -> None:
        self.head: LogHead | None = None
        self._origin = origin
        self._key = key
        self._recorded = set(recorded)
        self._versions: set[int] = set()  # of trust documents that were looked at
        self._said: LogHead | None = None
        self._wrong = ""

    def heard(self, said: LogHead) -> None:
        """A beat of our own, as a peer holds it, named this head."""
        larger = self._said is None or said.size > self._said.size
        if said.origin == self._origin and larger:
            self._said = said

    @property
    def lost(self) -> str:
        """That our beats named more than the log holds, or something else; empty: they did not.

        Under one name a log only grows. Another key makes another name, and is compared to nothing.
        """
        said, head = self._said, self.head
        if said is None or head is None or said.size < head.size:
            return ""
        if (said.size, said.root) == (head.size, head.root):
            return ""
        return (
            f"a beat of ours names {said.size} records, here are {head.size}, or others; restore "
            "the folder of the log, give it a new key, or take spec.keys.log away"
        )

    @property
    def fails(self) -> bool:
        """Whether no beat may lean on it."""
        return self.head is None or bool(self.lost)

    def take(self, event: Recorded | RecordFailed) -> None:
        """What became of the news."""
        self.head = event.head if isinstance(event, Recorded) else None
        self._wrong = event.detail if isinstance(event, RecordFailed) else ""

    def facts(self, under: Trust) -> Mapping[Fact, str]:
        """How matters stand, for people: fact -> detail, empty where it is not so.

        A key that lost its role goes on signing until the process ends: who holds the document
        before can still verify it, and a rotation that forgot it should not stop a fleet.
        """
        held = self._key in under.keys[Role.LOG]
        gone = f"trust version {under.version} gives key {self._key[:16]} no role log"
        return {
            Fact.GOVERNANCE_UNWRITTEN: self._wrong,
            Fact.GOVERNANCE_LOST: self.lost,
            Fact.GOVERNANCE_RETIRED: "" if held else gone,
        }

    def news(
        self, issued: Issued, contradictions: Iterable[Contradiction | None]
    ) -> tuple[Entry, ...]:
        """What is not on record yet, which from now on counts as handed over.

        Args:
            issued: What is vouched for, and what was ever ordered.
            contradictions: Those that stand; None is passed by.
        """
        found = [
            *self._documents(issued),
            *self._epoch(issued),
            *self._orders(issued),
            *self._contradictions(contradictions),
        ]
        self._recorded |= {name(entry.kind, entry.detail) for entry in found}
        return tuple(found)

    def _documents(self, issued: Issued) -> Iterator[Entry]:
        if issued.documents.keys() <= self._versions:
            return
        for version, raw in sorted(issued.documents.items()):
            self._versions.add(version)
            sha256 = canonical.digest(envelope.parse(raw, trust.MAX_BYTES).unverified_payload)
            if f"trust {sha256}" not in self._recorded:
                by = _signers(raw, trust.MAX_BYTES, issued)
                yield Entry("trust", {"number": version, "sha256": sha256, "by": by})

    def _epoch(self, issued: Issued) -> Iterator[Entry]:
        current, mark = issued.epoch, issued.mark
        if current is None or mark is None or f"epoch {current.sha256}" in self._recorded:
            return
        by = _signers(mark.envelope.encode(), epoch.MAX_BYTES, issued)
        yield Entry(
            "epoch",
            {"number": current.seq, "sha256": current.sha256, "by": by,
             "reason": current.says.reason},
        )  # fmt: skip

    def _orders(self, issued: Issued) -> Iterator[Entry]:
        fresh = [
            order
            for order in issued.halts.orders
            if f"{order.says.action} {order.sha256}" not in self._recorded
        ]
        for order in sorted(fresh, key=lambda order: (order.says.seq, order.sha256)):
            by = _signers(order.raw, halt.MAX_BYTES, issued)
            yield Entry(order.says.action, {**_about(order), "by": by})

    def _contradictions(self, found: Iterable[Contradiction | None]) -> Iterator[Entry]:
        for one in filter(None, found):
            entry = Entry(
                "conflict",
                {"what": one.what, "number": one.number, "sha256": sorted(one.sha256), "by": []},
            )
            if name(entry.kind, entry.detail) not in self._recorded:
                yield entry


def _about(order: Order) -> dict[str, Json]:
    said = order.says
    return {
        "number": said.seq,
        "sha256": order.sha256,
        "id": said.halt_id,
        "scope": {"kind": said.scope.kind, "value": said.scope.value},
        "clears": said.clears,
        "code": said.reason_code,
        "reason": said.reason,
        "requested_by": said.requested_by,
    }


def _signers(raw: bytes, max_bytes: int, issued: Issued) -> list[Json]:
    sealed = envelope.parse(raw, max_bytes)
    return list(envelope.signed_by(sealed, _keys(issued)))


def _keys(issued: Issued) -> dict[KeyId, PublicKey]:
    found: dict[KeyId, PublicKey] = {}
    for raw in issued.documents.values():
        # Verified before it was kept; an id is the digest of its key, so it cannot be another's.
        body = canonical.load(
            envelope.parse(raw, trust.MAX_BYTES).unverified_payload, trust.Body, trust.MAX_BYTES
        )
        for key, described in body.keys.items():
            found[KeyId(key)] = PublicKey(bytes.fromhex(described.public))
    return found
