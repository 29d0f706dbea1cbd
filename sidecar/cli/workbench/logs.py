"""Where recorded decisions come from: a journal, an export of one, or a file of records.

Rules:

* A journal is verified while it is read, with a key that was given or lies beside it, and an export
  likewise: what is counted is what was checked. Something wrong ends the reading of that log, and
  nothing that was counted of it may be used.
* A file of lines has no checkpoint. It is read and said to be unverified.

Source: audit/reader, audit/published.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sidecar.audit import checkpoints, collection, published, reader, segments
from sidecar.cli import journals
from sidecar.cli.workbench.judging import Replay
from sidecar.cli.workbench.progress import Progress
from sidecar.core.log import record, tiles
from sidecar.core.log.note import NoteKey
from sidecar.core.reason import ProtocolError, Reason

TELL_RECORDS = 10_000
READ, FAILED, VERIFIED = "not verified", "failed", "verified"


@dataclass(slots=True)
class Source:
    """One log that was read.

    Attributes:
        path: Where it is.
        kind: journal, export or file.
        result: One of the three words above.
        why: What is wrong, or what was not checked; empty: nothing.
        replay: Who took its records.
    """

    path: Path
    kind: str
    result: str
    why: list[str]
    replay: Replay = field(repr=False)


def read(
    place: Path, keys: Sequence[NoteKey], begin: Callable[[], Replay], *, verify: bool
) -> Iterator[Source]:
    """Hand the records of all logs in a place to a replay each; tells on stderr how far it is.

    Args:
        place: Folder of a journal, or of several; of an export, or of several; or a file.
        keys: To verify with; none: those that lie beside the logs.
        begin: Makes a replay.
        verify: False: only read.

    Raises:
        OSError: it cannot be read.
        ProtocolError: a segment is missing, and it was only to be read.
    """
    if place.is_file():
        yield _file(place, begin())
        return
    for folder in collection.find(place):
        if (folder / "tile").is_dir():
            yield _export(folder, keys, begin(), verify=verify)
        elif verify:
            yield _journal(folder, keys, begin)
        else:
            replay = begin()
            _take(segments.lines(folder), replay, Progress(folder.name, _size(folder)))
            yield Source(folder, "journal", READ, ["nothing was checked, as asked"], replay)


def _journal(folder: Path, keys: Sequence[NoteKey], begin: Callable[[], Replay]) -> Source:
    replay = begin()

    def told() -> reader.Told:
        nonlocal replay
        replay = begin()  # of an attempt that was given up nothing is kept
        return replay.take

    key, aside = _key(folder, keys)
    progress = Progress(folder.name, _size(folder))
    report = reader.verify(folder, key, progress.tell, told)
    progress.end()
    if report.fault is not None:
        why = [f"{report.fault.where}: {report.fault.why}"]
        return Source(folder, "journal", FAILED, why, replay)
    result = VERIFIED if report.verified else READ
    return Source(folder, "journal", result, [*aside, *report.unchecked], replay)


def _export(folder: Path, keys: Sequence[NoteKey], replay: Replay, *, verify: bool) -> Source:
    key, aside = _key(folder, keys)
    try:
        if not verify or key is None:
            _take(_entries(folder), replay, Progress(folder.name, 0))
            return Source(folder, "export", READ, aside or ["nothing was checked"], replay)
        over = published.signed(_fetch(folder, checkpoints.CHECKPOINT), {key.name: key})
        progress = Progress(folder.name, over.size)
        for said in published.records(lambda path: _fetch(folder, path), over, {}):
            replay.take(said)
            if replay.flips.records % TELL_RECORDS == 0:
                progress.tell(replay.flips.records, replay.flips.records)
        progress.end()
    except ProtocolError as error:
        return Source(folder, "export", FAILED, [str(error)], replay)
    return Source(folder, "export", VERIFIED, aside, replay)


def _file(path: Path, replay: Replay) -> Source:
    _take(segments.read(path, 0), replay, Progress(path.name, path.stat().st_size))
    return Source(path, "file", READ, ["a file of records has no checkpoint"], replay)


def _take(lines: Iterator[bytes], replay: Replay, progress: Progress) -> None:
    flips, size = replay.flips, 0
    for line in lines:
        size += len(line)
        try:
            replay.take(record.parse(line.removesuffix(b"\n")))
        except ProtocolError:
            flips.unreadable += 1
        if flips.records % TELL_RECORDS == 0:
            progress.tell(flips.records, size)
    progress.end()


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.jsonl"))


def _entries(folder: Path) -> Iterator[bytes]:
    """The lines of an export, unchecked."""
    number = 0
    while True:
        whole = folder / tiles.path(tiles.ENTRIES, number)
        if not whole.is_file():
            break
        yield from tiles.unbundle(whole.read_bytes())
        number += 1
    partial = whole.with_name(whole.name + ".p")
    if partial.is_dir():
        widest = max(partial.iterdir(), key=lambda path: int(path.name), default=None)
        if widest is not None:
            yield from tiles.unbundle(widest.read_bytes())


def _fetch(folder: Path, path: str) -> bytes:
    try:
        with (folder / path).open("rb") as file:
            return file.read(published.BUNDLE_MAX_BYTES)
    except FileNotFoundError:
        raise ProtocolError(Reason.AUDIT_CHAIN_BREAK, f"{path} is missing") from None


def _key(folder: Path, keys: Sequence[NoteKey]) -> tuple[NoteKey | None, list[str]]:
    """The key of a log, and what a key that lies beside it leaves open."""
    if keys:
        return journals.key_of(folder, keys), []
    key = journals.beside(folder)
    if key is None:
        return None, ["no key to check it with; give --key"]
    return key, [f"the key: {checkpoints.VKEY} lies beside the log; give --key"]
