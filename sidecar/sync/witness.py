"""One witness, over HTTP: asked to cosign, and for what it has cosigned.

Rules:

* Nothing that it says is believed here: a cosignature, or the checkpoint that it remembers, is
  bytes until somebody has verified them.
* One that does not answer within `TIMEOUT_S` failed. No more than `MAX_BYTES` are read of an
  answer, and no redirection is followed.

Source: C2SP tlog-witness.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp

from sidecar.core.log import note, witness
from sidecar.core.log.witness import Status
from sidecar.core.reason import ProtocolError

TIMEOUT_S = 3.0
MAX_BYTES = note.MAX_BYTES


class WitnessError(Exception):
    """It answered with nothing that can be used; the message says why."""


class SilentError(WitnessError):
    """It did not answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What it said to a checkpoint.

    Attributes:
        lines: Signature lines to be verified; empty: it did not cosign.
        size: What it says that it has cosigned last, where it was asked from another size.
        contradicts: Whether it says that the log does not extend that.
    """

    lines: bytes = b""
    size: int | None = None
    contradicts: bool = False


def open_session() -> aiohttp.ClientSession:
    """Connections to witnesses, and to nobody else; close it."""
    # What is compressed could be any length; and nothing of one answer goes into another request.
    return aiohttp.ClientSession(
        auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar(),
        headers={"Accept-Encoding": "identity", "User-Agent": "epochgate"},
    )  # fmt: skip


class WitnessClient:
    """A witness.

    Args:
        url: What its addresses begin with.
        session: From `open_session`.
    """

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url.rstrip("/")
        self._session = session

    async def add(self, old: int, proof: Sequence[bytes], signed: bytes) -> Answer:
        """Ask it to cosign.

        Args:
            old: Size that the proof starts from.
            proof: Hashes, 32 bytes each.
            signed: The checkpoint.

        Raises:
            WitnessError, SilentError: it did not answer as it should.
        """
        body = witness.write(old, proof, signed)
        status, said, kind = await self._ask("POST", "add-checkpoint", body)
        if status == Status.COSIGNED:
            return Answer(lines=said)
        if status == Status.OTHER_SIZE and kind == witness.SIZE_TYPE:
            try:
                return Answer(size=witness.parse_size(said))
            except ProtocolError as error:
                raise WitnessError(f"status 409: {error.detail}") from None
        # Two roots of one size: 409 without a size in v1.0.0 of the specification.
        if status in (Status.INCONSISTENT, Status.OTHER_SIZE):
            return Answer(contradicts=True)
        raise WitnessError(f"status {status}: {_words(said)}")

    async def recall(self, origin: str) -> bytes | None:
        """The newest checkpoint of a log that it has cosigned; None: it says that there is none.

        Raises:
            WitnessError, SilentError: it did not answer as it should.
        """
        digest = hashlib.sha256(origin.encode()).hexdigest()
        status, said, _ = await self._ask("GET", f"{digest}/checkpoint", None)
        if status == Status.UNKNOWN:
            return None
        if status != Status.COSIGNED:
            raise WitnessError(f"status {status}: {_words(said)}")
        return said

    async def _ask(self, method: str, path: str, body: bytes | None) -> tuple[int, bytes, str]:
        limit = aiohttp.ClientTimeout(total=TIMEOUT_S)
        try:
            async with self._session.request(
                method, f"{self.url}/{path}", data=body, timeout=limit, allow_redirects=False
            ) as response:
                said = await response.content.read(MAX_BYTES + 1)
                while len(said) <= MAX_BYTES and not response.content.at_eof():
                    said += await response.content.read(MAX_BYTES + 1 - len(said))
                if len(said) > MAX_BYTES:
                    raise WitnessError(f"answers with more than {MAX_BYTES} bytes")
                return response.status, said, response.content_type
        except TimeoutError:
            raise SilentError(f"no answer within {TIMEOUT_S} s") from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise SilentError(f"{type(error).__name__}: {error}") from None


def _words(said: bytes) -> str:
    text = said[:80].decode("ascii", "backslashreplace").strip()
    return text if text.isprintable() else text.encode("unicode_escape").decode()
