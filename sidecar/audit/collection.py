"""The logs of one sidecar: one in its folder, and one in a folder below for each of its processes.

Which key belongs to which log is a matter of names: a log is the one that its checkpoint says it
is, and a key given for that name must have signed it. So logs cannot trade places, and one that a
key was given for cannot be missing. Whether there were more, only somebody who knows can tell.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from sidecar.audit import checkpoints, reader, segments
from sidecar.audit.reader import Fault, Report
from sidecar.core.log.note import NoteKey
from sidecar.core.reason import ProtocolError


def find(folder: Path) -> list[Path]:
    """The folders with a log: itself and those directly below; itself when there is none.

    Raises:
        OSError: it cannot be read.
    """
    below = sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())
    found = [path for path in (folder, *below) if _holds_log(path)]
    return found or [folder]


def verify(
    folders: Sequence[Path],
    keys: Sequence[NoteKey],
    progress: Callable[[int, int], None] | None = None,
) -> dict[Path, Report]:
    """Check each of several logs, with the key of its name.

    Args:
        folders: As `find` found them.
        keys: Each must be of one of the logs.
        progress: Told records and bytes now and then.

    Raises:
        OSError: one of them cannot be read.
    """
    by_name = {key.name: key for key in keys}
    reports: dict[Path, Report] = {}
    for folder in folders:
        name = says_it_is(folder)
        key = by_name.pop(name, None)
        if key is None:
            why = f"is the log {name or '?'}: no key was given for it, or another folder is it too"
            reports[folder] = Report(fault=Fault(None, str(folder), why))
        else:
            reports[folder] = reader.verify(folder, key, progress)
    for name in by_name:
        why = f"no log of that name, although its key was given: {name}"
        last = reports[folders[-1]]
        last.fault = last.fault or Fault(None, str(folders[-1].parent), why)
    return reports


def find_copies(reports: Mapping[Path, Report]) -> None:
    """Call it a fault when two folders hold the log of one name: one was put in another's place.

    Args:
        reports: Of logs that were checked without a key for each name; faults are added.
    """
    first: dict[str, Path] = {}
    for folder, report in reports.items():
        if report.checkpoint is None:
            continue  # signed by nobody, so named by nobody
        name = report.checkpoint.origin
        known = first.setdefault(name, folder)
        if known is not folder:
            why = f"is the log {name}, and {known.name} is it too"
            report.fault = report.fault or Fault(None, str(folder), why)


def has_boot(folder: Path, boot: str) -> bool:
    """Whether a process with that boot id wrote to a log: what decision ids begin with."""
    wanted = f'"boot":"{boot}"'.encode()
    return any(wanted in line for line in segments.lines(folder))


def _holds_log(folder: Path) -> bool:
    if any((folder / name).exists() for name in (checkpoints.CHECKPOINT, checkpoints.VKEY)):
        return True
    try:
        return bool(segments.find(folder))  # also where only `base` is left
    except ProtocolError:
        return True  # there are some, and something is wrong with them


def says_it_is(folder: Path) -> str:
    """The first line of its checkpoint; believed by nobody until a key of that name has signed."""
    try:
        with (folder / checkpoints.CHECKPOINT).open("rb") as file:
            return file.readline(1024).decode("ascii", "replace").rstrip("\n")
    except FileNotFoundError:
        return ""
