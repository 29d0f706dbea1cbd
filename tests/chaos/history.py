"""What happened in one run, as far as anybody wrote it down: the only thing the checker looks at.

All times are this machine's wall clock in milliseconds; every process of a run has the same one.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from sidecar import signer
from sidecar.audit import reader
from sidecar.core.log import checkpoint
from sidecar.core.log.note import NoteKey

FILE = "history.json"
LOG_NAME = "log-name.json"  # domain and service: with the key of an instance, the name of its log
Record = dict[str, Any]


@dataclass(slots=True)
class Span:
    """A fault: from when until when it was there.

    Attributes:
        kind: As in the schedule.
        who: Processes or peers.
        peers: For links: the other end.
        mode: For links.
        begin: It was not there before.
        end: It was over by then; None: never.
    """

    kind: str
    who: tuple[str, ...]
    peers: tuple[str, ...] = ()
    mode: str = ""
    begin: int = 0
    end: int | None = None


@dataclass(slots=True)
class Journal:
    """The audit log of one sidecar, and what a verification with its public key said of it.

    Attributes:
        records: In order.
        fault: What is wrong, or None.
        verified: Whether a signed checkpoint vouches for it.
        running: Permits of the last process without an end.
        interrupted: Permits whose process ended before they did.
    """

    records: list[Record] = field(default_factory=list)
    fault: str | None = None
    verified: bool = True
    running: int = 0
    interrupted: int = 0

    def decisions(self, kind: str) -> Iterator[Record]:
        """`permit` or `deny` records."""
        for record in self.records:
            if record["type"] == "decision" and record["decision"] == kind:
                yield record

    def outcomes(self) -> dict[str, Record]:
        """Decision id -> the one outcome; a second one is the reader's to find."""
        return {r["decision_id"]: r for r in self.records if r["type"] == "outcome"}

    def states(self) -> Iterator[Record]:
        """Changes of state."""
        return (record for record in self.records if record["type"] == "transition")


@dataclass(slots=True)
class History:
    """One run.

    Attributes:
        seed: Of the run.
        peers: Names of the peers.
        quorum: r and w, the same here.
        ttl_ms: Of a lease.
        skew_ms: Bound that the sidecars were told.
        poll_ms: Of the sidecars.
        timeout_ms: Of the sidecars.
        interval_ms: Of the authorities.
        spans: Every fault.
        stalls: When the process of all links and clients stood still, for want of a core: longer
            than an authority waits for a peer.
        commands: Every command of `epoch`, `halt` and `clear`.
        beats: What authorities sent to peers: by, issuer, seq, sha, epoch_seq, epoch_sha,
            issued_at, ttl_ms.
        tampered: Connections that got the reply of another request.
        relayed: Sidecar -> numbers of requests whose client got any of the service's answer.
        asked: Sidecar -> how many requests its clients sent.
        chaos_from: When faults could begin.
        calm_from: When everything was put right, all halts cleared.
        calm_to: When the calm ended.
        calm_limit_ms: How long recovery may take.
        seen: What the service wrote down of each request.
        journals: Sidecar -> its log.
    """

    seed: int = 0
    peers: tuple[str, ...] = ()
    quorum: int = 3
    ttl_ms: int = 0
    skew_ms: int = 0
    poll_ms: int = 0
    timeout_ms: int = 0
    interval_ms: int = 0
    spans: list[Span] = field(default_factory=list)
    stalls: list[tuple[int, int]] = field(default_factory=list)
    commands: list[Record] = field(default_factory=list)
    beats: list[Record] = field(default_factory=list)
    tampered: list[Record] = field(default_factory=list)
    relayed: dict[str, list[str]] = field(default_factory=dict)
    asked: dict[str, int] = field(default_factory=dict)
    chaos_from: int = 0
    calm_from: int = 0
    calm_to: int = 0
    calm_limit_ms: int = 0
    seen: list[Record] = field(default_factory=list)
    journals: dict[str, Journal] = field(default_factory=dict)

    def save(self, folder: Path) -> None:
        """Keep what nobody else wrote down; service and sidecars have files of their own."""
        said = asdict(self)
        del said["seen"], said["journals"]
        (folder / FILE).write_text(json.dumps(said))

    def named(self, word: str) -> Iterator[Record]:
        """Commands whose first word is that and that reached a peer, perhaps unacknowledged."""
        return (c for c in self.commands if c["words"][0] == word and c["json"])


def load(folder: Path) -> History:
    """Put together what was saved, what the service saw and what the journals say."""
    said = json.loads((folder / FILE).read_text())
    said["spans"] = [
        Span(**{**span, "who": tuple(span["who"]), "peers": tuple(span["peers"])})
        for span in said["spans"]
    ]
    said["stalls"] = [(begin, end) for begin, end in said["stalls"]]
    history = History(**said)
    seen = folder / "seen"
    history.seen = [json.loads(line) for line in seen.read_text().splitlines()]
    history.journals = {name: _journal(folder / name) for name in history.asked}
    return history


def _journal(folder: Path) -> Journal:
    audit = folder / "state" / "audit"
    paths = sorted(audit.rglob("*.jsonl"))
    lines = [line for path in paths for line in path.read_bytes().splitlines()]
    records = [msgspec.json.decode(line) for line in lines if line.endswith(b"}")]
    key = signer.load(folder / "state" / "instance.key")
    named = json.loads((folder.parent / LOG_NAME).read_text())
    origin = checkpoint.origin(named["domain"], f"{named['service']}-{key.key_id[:16]}")
    found = reader.verify(audit, NoteKey(origin, key.public))
    why = None if found.fault is None else f"{found.fault.where}: {found.fault.why}"
    return Journal(records, why, found.verified, found.running, found.interrupted)
