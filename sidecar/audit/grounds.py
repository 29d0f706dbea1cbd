"""Finds in the journals of a pod what a decision rested on.

Nothing here is believed: whoever gets it checks it (`core/grounds.py`). So lines are not checked
either, and what cannot be found is left out.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from sidecar.audit import segments
from sidecar.core.log import record
from sidecar.core.log.grounds import Grounds
from sidecar.core.log.record import Decision, StateChange
from sidecar.core.reason import ProtocolError

# Of a million records only these are read; the words stand so in each canonical line.
_WANTED = (b'"type":"trust"', b'"type":"epoch"', b'"type":"beat"')


def gather(journals: Iterable[Path], said: Decision) -> Grounds:
    """The envelopes that a decision names, as far as these journals hold them.

    Args:
        journals: Folders; of all processes of the pod, since one of them follows the peers.
        said: The decision.

    Raises:
        ProtocolError: AUDIT_CHAIN_BREAK when a segment is missing.
        OSError: one cannot be read.
    """
    kept: dict[str, str] = {}  # digest -> envelope
    trust: dict[int, str] = {}
    for change in (found for folder in journals for found in _kept(folder)):
        text, sha256 = change.detail.get("envelope"), change.detail.get("sha256")
        version = change.detail.get("version")
        if not isinstance(text, str) or not isinstance(sha256, str):
            continue
        if change.type != "trust":
            kept[sha256] = text
        elif isinstance(version, int) and version <= (said.trust_v or 0):
            trust[version] = text
    return Grounds(
        beat=None if said.beat is None else kept.get(said.beat.sha),
        epoch=None if said.epoch is None else kept.get(said.epoch.sha),
        trust=tuple(trust[version] for version in sorted(trust)),
    )


def _kept(folder: Path) -> Iterator[StateChange]:
    for line in segments.lines(folder):
        if not any(word in line for word in _WANTED):
            continue
        try:
            found = record.parse(line.removesuffix(b"\n"))
        except ProtocolError:
            continue
        if isinstance(found, StateChange):
            yield found
