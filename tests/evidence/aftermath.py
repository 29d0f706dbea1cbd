"""What a journal holds after something happened to its writer, and whether it can go on.

The records are read twice: by the product's reader, and by a few lines that know nothing of it.
"""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from sidecar.audit import reader
from sidecar.core.log.note import NoteKey
from sidecar.core.log.record import decision_id
from sidecar.core.reason import ProtocolError
from tests.audit import journals


def plainly(folder: Path) -> list[dict[str, object]]:
    """The whole lines of all files, read as JSON, each linked to the one before.

    Raises:
        ValueError: a line is none, or the chain has a gap.
    """
    found: list[dict[str, object]] = []
    prev = "0" * 64
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_bytes().split(b"\n")[:-1]:
            said = json.loads(line)
            if said["seq"] != len(found) or said["prev"] != prev:
                raise ValueError(f"{path.name}: record {len(found)} does not follow")
            prev = hashlib.sha256(line).hexdigest()
            found.append(said)
    return found


def ids(records: Iterable[dict[str, object]], verdict: str | None = None) -> set[str]:
    """Of the decisions among them."""
    return {
        str(said["decision_id"]) for said in records
        if said["type"] == "decision" and verdict in (None, said["decision"])
    }  # fmt: skip


def judge(folder: Path, acknowledged: Iterable[str], key: NoteKey = journals.KEY) -> list[str]:
    """What is wrong with a journal whose writer is gone."""
    wrong: list[str] = []
    if not folder.is_dir():
        return ["records were promised, and there is no folder"] if list(acknowledged) else []
    fault = reader.verify(folder, key).fault
    if fault is not None:
        wrong.append(f"the reader: {fault.index} {fault.where}: {fault.why}")
    try:
        lost = set(acknowledged) - ids(plainly(folder))
    except ValueError as error:
        return [*wrong, f"read plainly: {error}"]
    return [*wrong, *(f"{one} was promised, and is lost" for one in sorted(lost))]


def goes_on(folder: Path, acknowledged: Iterable[str]) -> list[str]:
    """What is wrong after it was opened again, and another record was written."""
    before = list(acknowledged)
    try:
        journal = journals.open_journal(folder)
    except (ProtocolError, OSError) as error:
        return [f"does not open again: {error}"]
    recorder = journals.make_recorder(journal, journals.Gate())
    recorder.decision(journals.DENIAL, journals.HEAD, None, journals.builders.now())
    before.append(decision_id(journals.BOOT, journal.seq - 1))
    flush = journal.flush()
    journal.flushed(flush, flush.run())
    journal.close()
    return [f"opened again: {why}" for why in judge(folder, before)]
