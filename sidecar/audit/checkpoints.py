"""The newest checkpoint of a journal, and the key that verifies it, as files beside the segments.

* `checkpoint`: a C2SP signed note. Replaced atomically: temporary file, fsync, rename, fsync of the
  folder. There is always exactly one, old or new.
* `cosigned`: the newest one that enough witnesses have cosigned, with their signatures.
* `log.vkey`: the verifier key as text, for whoever runs `epochgate audit verify` here. It proves
  nothing about somebody who could replace both files; give verifiers the key another way.
"""

from pathlib import Path

from sidecar import durable
from sidecar.audit import segments
from sidecar.core.instant import WallMs
from sidecar.core.log import checkpoint, cosignature, note
from sidecar.core.log.checkpoint import Checkpoint
from sidecar.core.log.cosignature import Witnesses
from sidecar.core.log.note import NoteKey
from sidecar.core.reason import ProtocolError, Reason
from sidecar.signer import Signer

CHECKPOINT = "checkpoint"
COSIGNED = "cosigned"  # not `checkpoint.…`: what replaces the two is made beside them by that name
VKEY = "log.vkey"


def seal(made: Checkpoint, signer: Signer) -> str:
    """Sign a checkpoint; the key bears the name of the log."""
    text = made.text()
    return note.seal(text, NoteKey(made.origin, signer.public), signer.sign(text.encode()))


def write(folder: Path, sealed: str) -> None:
    """Replace the checkpoint, durably.

    Raises:
        OSError: the old one still stands.
    """
    durable.replace(folder / CHECKPOINT, sealed.encode(), segments.FILE_MODE)


def read(folder: Path, key: NoteKey) -> Checkpoint | None:
    """The newest checkpoint, or None when the file does not exist.

    Raises:
        ProtocolError: it is not one, not of this log, or not signed by this key.
    """
    raw = held(folder)
    return None if raw is None else opened(raw, key)


def held(folder: Path) -> bytes | None:
    """The newest checkpoint as it stands in its file, unverified; None when there is none."""
    return _read(folder / CHECKPOINT)


def opened(raw: bytes, key: NoteKey) -> Checkpoint:
    """What a checkpoint says.

    Raises:
        ProtocolError: it is not one, not of this log, or not signed by this key.
    """
    made = checkpoint.parse(note.open_note(raw, {key.name: key}))
    if made.origin != key.name:
        raise ProtocolError(Reason.AUDIT_CHAIN_BREAK, f"checkpoint is of the log {made.origin}")
    return made


def write_cosigned(folder: Path, raw: bytes) -> None:
    """Replace the newest cosigned checkpoint, durably.

    Raises:
        OSError: the old one still stands.
    """
    durable.replace(folder / COSIGNED, raw, segments.FILE_MODE)


def held_cosigned(folder: Path) -> bytes | None:
    """The newest cosigned checkpoint as it stands in its file, unverified, or None."""
    return _read(folder / COSIGNED)


def cosigned(folder: Path, key: NoteKey, by: Witnesses, now: WallMs) -> Checkpoint | None:
    """The newest checkpoint that enough witnesses have cosigned; None: none has been.

    Args:
        folder: Of the journal.
        key: Of the log.
        by: Who may cosign, and how many have to.
        now: Wall clock, for the end of their keys.

    Raises:
        ProtocolError: it is none of this log, or a signature of a known key fails.
        OSError: it cannot be read.
    """
    raw = held_cosigned(folder)
    if raw is None:
        return None
    made = opened(raw, key)
    _, found = cosignature.find(raw, by.usable(now))
    return made if len(found) >= by.threshold else None


def write_vkey(folder: Path, key: NoteKey) -> None:
    """Leave the verifier key beside the log."""
    durable.replace(folder / VKEY, f"{key}\n".encode(), segments.FILE_MODE)


def read_vkey(folder: Path) -> NoteKey | None:
    """The verifier key beside the log, or None when the file does not exist.

    Raises:
        ProtocolError: NONCANONICAL.
    """
    raw = _read(folder / VKEY)
    return None if raw is None else parse_vkey(raw)


def parse_vkey(raw: bytes) -> NoteKey:
    """Read the contents of a verifier key file.

    Raises:
        ProtocolError: NONCANONICAL.
    """
    try:
        text = raw.decode("ascii")
    except UnicodeDecodeError:
        raise ProtocolError(Reason.NONCANONICAL, "is not a verifier key") from None
    return note.parse_key(text.removesuffix("\n"))


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(note.MAX_BYTES + 1)  # one too many is refused as oversize
    except FileNotFoundError:
        return None
