"""What a witness has cosigned last for each log: one small file per log, replaced as a whole.

Rules:

* A file holds the key of the log and the cosigned checkpoint, and is believed only if the one has
  signed the other: bytes that were damaged, or copied to another name, are found when read.
* A log whose file is damaged is refused, and stays so until somebody looks: to begin again with it
  would be to cosign a second past.
* Whoever removes the files makes this witness forget, and nobody can tell. A witness that has lost
  its files needs a new key.

Source: C2SP tlog-witness ("must persist the new checkpoint before responding").
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import msgspec

from sidecar import durable
from sidecar.core import canonical
from sidecar.core.canonical import Sha256, Strict, Text
from sidecar.core.envelope import PublicKey
from sidecar.core.log import checkpoint, note
from sidecar.core.log.checkpoint import Checkpoint
from sidecar.core.log.note import NoteKey
from sidecar.core.reason import ProtocolError, Reason

TYPE = "urn:epochgate:witnessed:v1"
MAX_BYTES = 2 * note.MAX_BYTES
LOGS_MAX = 65_536  # more are refused: whoever can make up instances must not fill the disk


class _File(Strict, frozen=True):
    type: str = msgspec.field(name="_type")
    origin: Text
    public: Sha256
    note: str


@dataclass(frozen=True, slots=True)
class Witnessed:
    """One log.

    Attributes:
        key: Of the log.
        note: The checkpoint that was cosigned last, with both signatures; None: none was yet.
        latest: What it says, or None.
    """

    key: NoteKey
    note: bytes | None = None
    latest: Checkpoint | None = None


def digest(origin: str) -> str:
    """How a log is called in addresses and file names: SHA-256 of its name, hex."""
    return hashlib.sha256(origin.encode()).hexdigest()


class WitnessedStore:
    """The files of a witness.

    Args:
        folder: Theirs alone; made when missing.

    Attributes:
        known: Digests of the names of the logs that have one.

    Raises:
        OSError: the folder cannot be used.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.known = {path.stem for path in folder.glob("*.json")}

    @property
    def full(self) -> bool:
        """Whether no more logs are taken."""
        return len(self.known) >= LOGS_MAX

    def path(self, name: str) -> Path:
        """Where the file of a log is, by the digest of its name."""
        return self._folder / f"{name}.json"

    def load(self, name: str) -> Witnessed:
        """What was cosigned for a log; call it off the event loop.

        Args:
            name: Digest of the log's name; one of `known`.

        Raises:
            ProtocolError: STATE_CORRUPT.
            OSError: it cannot be read.
        """
        raw = self.path(name).read_bytes()
        try:
            said = canonical.load(raw.removesuffix(b"\n"), _File, MAX_BYTES)
            key = NoteKey(said.origin, PublicKey(bytes.fromhex(said.public)))
            signed = said.note.encode()
            latest = checkpoint.parse(note.open_note(signed, {key.name: key}))
        except ProtocolError as error:
            raise ProtocolError(Reason.STATE_CORRUPT, error.detail) from None
        if said.type != TYPE or latest.origin != said.origin or digest(said.origin) != name:
            raise ProtocolError(Reason.STATE_CORRUPT, "is the record of another log")
        return Witnessed(key, signed, latest)

    def save(self, made: Witnessed) -> None:
        """Make durable what is about to be cosigned; call it off the event loop.

        Raises:
            OSError: the new bytes may or may not be there; the old ones are never damaged.
        """
        assert made.note is not None, "nothing was cosigned"
        body = _File(
            type=TYPE, origin=made.key.name, public=made.key.public.hex(), note=made.note.decode()
        )
        name = digest(made.key.name)
        durable.replace(self.path(name), canonical.dump(body) + b"\n")
        self.known.add(name)
