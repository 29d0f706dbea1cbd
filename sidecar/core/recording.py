"""What a signed policy says about records: how sure, how much, and what clients are given.

Rules:

* Without a word of the policy a record names method and path and no header, nobody gets a receipt,
  the log keeps no beats, and an answer does not wait for the disk.
* Who and for whom (subject, tenant) is only ever recorded as a keyed digest, and only when exactly
  one line says it (`head.one_value`). The key never leaves the pod's state folder.
* Headers that carry credentials cannot be listed.

Source: protocol b.13; hardening E-J3, E-J7, E-J11.
"""

import hmac
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec
from msgspec import UNSET, UnsetType

from sidecar.core.canonical import FieldName, Strict
from sidecar.core.reason import ProtocolError, Reason

KEY_BYTES = 32
HEADERS_MAX = 16
VALUE_MAX_BYTES = 256  # of a listed header; longer ones are cut in the record

# They open doors; a log that many people read is no place for them.
SECRET = frozenset(
    {
        "api-key", "authorization", "cookie", "parent-decision", "proxy-authorization",
        "set-cookie", "x-api-key", "x-auth-token",
    }
)  # fmt: skip


class Body(Strict, frozen=True):
    """What a policy says about records, as it is signed. What is absent has its default.

    Attributes:
        beats: Whether the log keeps the beats that leases leaned on, so that a proof can hold them;
            about 2 KB for each lease.
        durability: strict: nothing of an answer is read from the service before the decision is on
            the disk; group: the disk follows within audit.unsyncedMax.
        receipts: Whether answers name the record that they rest on.
        headers: Whose values are recorded.
        paths: none: records do not say which path was asked for.
        subject: Header that names the caller.
        tenant: Header that names the tenant.
    """

    beats: bool | UnsetType = UNSET
    durability: Literal["group", "strict"] | UnsetType = UNSET
    headers: Annotated[tuple[FieldName, ...], msgspec.Meta(max_length=HEADERS_MAX)] | UnsetType = (
        UNSET
    )
    paths: Literal["full", "none"] | UnsetType = UNSET
    receipts: bool | UnsetType = UNSET
    subject: FieldName | UnsetType = UNSET
    tenant: FieldName | UnsetType = UNSET


@dataclass(frozen=True, slots=True)
class Recording:
    """The same, as the recorder reads it.

    Attributes:
        beats: Whether the log keeps the beats of leases.
        strict: Whether an answer waits until its decision is on the disk.
        receipts: Whether answers name the record that they rest on.
        headers: Names of the headers whose values are recorded.
        paths: Whether records say which path was asked for.
        subject: Name of the header whose value is recorded as a digest, or None.
        tenant: Likewise.
    """

    beats: bool = False
    strict: bool = False
    receipts: bool = False
    headers: tuple[bytes, ...] = ()
    paths: bool = True
    subject: bytes | None = None
    tenant: bytes | None = None

    @property
    def tells(self) -> bool:
        """Whether records say anything of headers."""
        return bool(self.headers or self.subject or self.tenant)


PLAIN = Recording()


def compiled(body: Body | UnsetType) -> Recording:
    """What a policy says, or what holds when it says nothing."""
    if body is UNSET:
        return PLAIN
    assert isinstance(body, Body)
    return Recording(
        beats=body.beats is True,
        strict=body.durability == "strict",
        receipts=body.receipts is True,
        headers=() if body.headers is UNSET else tuple(name.encode() for name in body.headers),
        paths=body.paths != "none",
        subject=_name(body.subject),
        tenant=_name(body.tenant),
    )


def problems(body: Body) -> list[tuple[str, str]]:
    """What is wrong with it: (key, why)."""
    listed = () if body.headers is UNSET else body.headers
    found = [
        (f"headers[{index}]", f"{name!r} carries credentials and cannot be recorded")
        for index, name in enumerate(listed)
        if name in SECRET
    ]
    if len(set(listed)) < len(listed):
        found.append(("headers", "lists a header twice"))
    return found


def read_key(raw: bytes) -> bytes:
    """The key of digests from the bytes of its file: hex digits and a line feed.

    Raises:
        ProtocolError: NONCANONICAL.
    """
    try:
        key = bytes.fromhex(raw.decode("ascii"))
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise ProtocolError(Reason.NONCANONICAL, f"is not {2 * KEY_BYTES} hex digits")
    return key


def digest(key: bytes, what: bytes, value: bytes) -> str:
    """What is recorded in place of a value: HMAC-SHA-256 of `what`, a zero byte, the value; hex."""
    return hmac.digest(key, what + b"\0" + value, "sha256").hex()


def _name(said: str | UnsetType) -> bytes | None:
    return said.encode() if isinstance(said, str) else None
