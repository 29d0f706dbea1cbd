"""The only holder of private keys, and the door to keys that somebody else holds.

A key file is canonical JSON with the key's id, its public key and its 32-byte seed, mode 0600. The
file is refused when others may read it, when the seed does not belong to the public key, or when it
is anything else. A seed is never printed, logged, or part of an error or a repr.

`Signer` is what the rest of the program sees; a KMS or HSM can stand behind the same three names.
`CommandSigner` shows how: a program of the operator's speaks to the device, and this one never has
the key. What it returns is checked under its public key before it is used.
"""

import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Protocol

from nacl.bindings import crypto_core_ed25519_is_valid_point
from nacl.signing import SigningKey

from sidecar.core import canonical, envelope
from sidecar.core.canonical import Sha256, Strict
from sidecar.core.envelope import KeyId, PublicKey
from sidecar.core.reason import ProtocolError

TYPE = "urn:epochgate:key:v1"
MAX_BYTES = 4096
SEED_BYTES = 32
COMMAND_PREFIX = "exec:"
COMMAND_TIMEOUT_S = 60  # somebody may have to touch a device


class KeyFileError(Exception):
    """A key cannot be used; the message says which, why, and what to do."""


class KeyFileRefusedError(KeyFileError):
    """The file's mode is the problem: we may not read it, or others may."""


class Signer(Protocol):
    """Something that signs with one Ed25519 key and never shows it."""

    @property
    def key_id(self) -> KeyId:
        """Id of the key."""

    @property
    def public(self) -> PublicKey:
        """Its public half, 32 bytes."""

    def sign(self, message: bytes) -> bytes:
        """Signature over the message, 64 bytes."""


class _KeyFile(Strict, frozen=True):
    type: str
    keyid: Sha256
    public: Sha256
    seed: Sha256


class FileSigner:
    """A key held in memory, usually read from a file.

    Args:
        seed: 32 secret bytes.
    """

    __slots__ = ("_key", "key_id", "public")

    def __init__(self, seed: bytes) -> None:
        self._key = SigningKey(seed)
        self.public = PublicKey(bytes(self._key.verify_key))
        self.key_id = envelope.key_id(self.public)

    def sign(self, message: bytes) -> bytes:
        """Signature over the message, 64 bytes."""
        return bytes(self._key.sign(message).signature)

    def save(self, path: Path) -> None:
        """Write the key to a new file, mode 0600.

        Raises:
            FileExistsError: rather than replace a key that something may depend on.
        """
        body = _KeyFile(
            type=TYPE, keyid=self.key_id, public=self.public.hex(), seed=bytes(self._key).hex()
        )
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(canonical.dump(body) + b"\n")
            file.flush()
            os.fsync(file.fileno())

    def __repr__(self) -> str:
        return f"<FileSigner {self.key_id[:16]}>"


class CommandSigner:
    """A key behind a program, such as one that asks a KMS or HSM.

    `COMMAND --public` prints the public key, 64 hex digits. `COMMAND` reads the message to sign
    from standard input and prints the signature over exactly these bytes (pure Ed25519, RFC 8032),
    128 hex digits. Either ends with status 0; what it says on standard error goes to the terminal.

    Args:
        command: Program and arguments, as a shell would split them; no shell is started.
        timeout_s: How long one call may take, seconds.

    Raises:
        KeyFileError: it does not answer so.
    """

    __slots__ = ("_command", "_timeout_s", "key_id", "public")

    def __init__(self, command: str, timeout_s: float = COMMAND_TIMEOUT_S) -> None:
        try:
            self._command = shlex.split(command)
        except ValueError as error:
            raise KeyFileError(f"exec: cannot be split: {str(error).lower()}") from None
        if not self._command:
            raise KeyFileError("exec: names no program; give exec:COMMAND")
        self._timeout_s = timeout_s
        self.public = PublicKey(self._ask(["--public"], b"", digits=64))
        self.key_id = envelope.key_id(self.public)

    def sign(self, message: bytes) -> bytes:
        """Signature over the message, 64 bytes."""
        signature = self._ask([], message, digits=128)
        if not envelope.verify(self.public, message, signature):
            raise KeyFileError(f"{self}: its signature does not fit its public key")
        return signature

    def _ask(self, more: list[str], message: bytes, digits: int) -> bytes:
        try:
            done = subprocess.run(  # noqa: S603, the operator names the program
                [*self._command, *more],
                input=message,
                stdout=subprocess.PIPE,
                timeout=self._timeout_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise KeyFileError(f"{self}: no answer within {self._timeout_s} s") from None
        except OSError as error:
            raise KeyFileError(f"{self}: cannot be run: {error.strerror}") from None
        if done.returncode != 0:
            raise KeyFileError(f"{self}: ended with status {done.returncode}")
        said = done.stdout.strip()
        # What it printed is not quoted: it could be a key.
        if not re.fullmatch(rb"[0-9a-f]{%d}" % digits, said):
            raise KeyFileError(f"{self}: did not print {digits} lower-case hex digits")
        return bytes.fromhex(said.decode())

    def __str__(self) -> str:
        return f"{COMMAND_PREFIX}{self._command[0]}"  # arguments may name a PIN


def load_any(said: str) -> Signer:
    """A key by what a person calls it: a key file, or `exec:COMMAND`.

    Raises:
        KeyFileError: with what is wrong and what to do.
    """
    if said.startswith(COMMAND_PREFIX):
        return CommandSigner(said.removeprefix(COMMAND_PREFIX))
    return load(Path(said))


def public_of(said: str) -> PublicKey:
    """The public half of a key, by 64 hex digits or by what `load_any` takes.

    Raises:
        KeyFileError: with what is wrong and what to do.
    """
    if re.fullmatch(r"[0-9a-f]{64}", said) is None:
        return load_any(said).public
    public = PublicKey(bytes.fromhex(said))
    if not crypto_core_ed25519_is_valid_point(public):
        raise KeyFileError(f"public key {said[:16]}...: is no point of Ed25519; copy it again")
    return public


def load(path: Path) -> FileSigner:
    """Read a key file.

    Raises:
        KeyFileError: with what is wrong and what to do; KeyFileRefusedError when its mode is.
    """
    try:
        mode = path.stat().st_mode
        raw = path.read_bytes()
    except PermissionError as error:
        raise KeyFileRefusedError(f"{path}: cannot be read: {error.strerror}") from None
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be read: {error.strerror}") from None
    if mode & 0o077:
        raise KeyFileRefusedError(f"{path}: others may read this key; run: chmod 600 {path}")
    try:
        body = canonical.load(raw.removesuffix(b"\n"), _KeyFile, MAX_BYTES)
    except ProtocolError as error:
        # The detail could quote the seed, so only the kind of failure is told.
        raise KeyFileError(f"{path}: is not an Epochgate key file ({error.reason.slug})") from None
    key = FileSigner(bytes.fromhex(body.seed))
    if body.type != TYPE or (key.key_id, key.public.hex()) != (body.keyid, body.public):
        raise KeyFileError(f"{path}: seed, public key and key id do not belong together")
    return key


def sign(payload_type: str, payload: bytes, *signers: Signer) -> bytes:
    """Seal a payload with one or more keys.

    Args:
        payload_type: Media type that the signatures are bound to.
        payload: Canonical bytes.
        signers: At least one; each signs once.

    Returns:
        The envelope's canonical bytes.
    """
    message = envelope.pae(payload_type, payload)
    return envelope.seal(
        payload_type, payload, {signer.key_id: signer.sign(message) for signer in signers}
    )
