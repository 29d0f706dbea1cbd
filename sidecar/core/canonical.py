"""Canonical JSON: the integer-only subset of RFC 8785, read and written one way.

Rules:

* Values are null, booleans, integers with |n| < 2**53, strings, arrays and objects. No floats.
* Keys are ASCII, unique and sorted; no white space; strings are minimal UTF-8.
* `parse` accepts exactly what `encode` writes: it re-serialises and compares bytes. So one value
  has one byte form, and a hash over the bytes is a hash over the value.

Why not sign "whatever the encoder made": two encoders disagree, and then one signature covers two
documents. Why not skip canonical form, as DSSE allows: an object hash must be unique per value, or
equivocation ("same number, other content") could be claimed for a mere change of white space.

Why any reader of JSON will do for `parse`: it is only asked for a candidate. Bytes are accepted
when they are what `encode` makes of the candidate, and `encode` checks the candidate itself. So a
reader that took the last of two equal keys, or a float for an integer, is found out.

Source: RFC 8785 sections 3.1 and 3.2; protocol b.1.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, TypeAlias, TypeVar

import msgspec

from sidecar.core.reason import ProtocolError, Reason

Json: TypeAlias = "bool | int | str | Sequence[Json] | Mapping[str, Json] | None"

INTEGER_LIMIT = 2**53  # exclusive; the largest range every JSON reader keeps exact (RFC 8259 6)
DEPTH_MAX = 16  # our deepest document, trust, nests 4

# Field types of the signed objects. `\\Z`, not `$`: `$` would accept a trailing newline.
Sha256 = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Id16 = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{32}\Z")]  # 16 bytes, hex
Count = Annotated[int, msgspec.Meta(ge=0, lt=INTEGER_LIMIT)]
Integer = Annotated[int, msgspec.Meta(gt=-INTEGER_LIMIT, lt=INTEGER_LIMIT)]
Name = Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9][a-z0-9._-]{0,62}\Z")]
Text = Annotated[str, msgspec.Meta(max_length=512)]
# Of a header, in lower case.
FieldName = Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9!#$%&'*+.^_`|~-]{1,256}\Z")]

T = TypeVar("T", bound=msgspec.Struct)

_DECODER = msgspec.json.Decoder()
_ENCODER = msgspec.json.Encoder(order="deterministic")  # sorts keys; escapes as RFC 8785 3.2.2.2
_LEAVES = frozenset((str, bool, type(None)))


class Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every object read from outside: immutable, no unknown and no missing fields."""


def encode(value: Json) -> bytes:
    """Serialise a value that we made ourselves.

    Raises:
        ProtocolError: NONCANONICAL for a value outside the subset: nothing is signed by accident.
    """
    _check(value, DEPTH_MAX)
    try:
        return _ENCODER.encode(value)
    except (UnicodeEncodeError, TypeError) as error:
        raise ProtocolError(Reason.NONCANONICAL, str(error)) from None


def parse(raw: bytes, max_bytes: int) -> Json:
    """Read canonical bytes from outside.

    Args:
        raw: Untrusted bytes.
        max_bytes: Refused before parsing when longer.

    Raises:
        ProtocolError: OVERSIZE, or NONCANONICAL for anything that `encode` would not have written.
    """
    if len(raw) > max_bytes:
        raise ProtocolError(Reason.OVERSIZE, f"{len(raw)} bytes, limit {max_bytes}")
    try:
        value: Json = _DECODER.decode(raw)
    except (ValueError, RecursionError) as error:  # of JSON and of UTF-8
        raise ProtocolError(Reason.NONCANONICAL, str(error)) from None
    if encode(value) != raw:
        raise ProtocolError(Reason.NONCANONICAL, "not the canonical form of its value")
    return value


def load(raw: bytes, kind: type[T], max_bytes: int) -> T:
    """Read canonical bytes as one typed object.

    Raises:
        ProtocolError: OVERSIZE, NONCANONICAL, or TYPE_CONFUSION when a field is missing, unknown
            or of another type.
    """
    return convert(parse(raw, max_bytes), kind)


def convert(value: Json, kind: type[T]) -> T:
    """Give a parsed value its type; TYPE_CONFUSION when it does not fit exactly."""
    try:
        return msgspec.convert(value, type=kind, strict=True)
    except msgspec.ValidationError as error:
        raise ProtocolError(Reason.TYPE_CONFUSION, str(error)) from None


def dump(value: msgspec.Struct) -> bytes:
    """The canonical bytes of one of our typed objects."""
    return encode(msgspec.to_builtins(value))


def digest(raw: bytes) -> str:
    """SHA-256 of the exact bytes, lower-case hex: how one object names another."""
    return hashlib.sha256(raw).hexdigest()


def _check(value: Json, depth: int) -> None:
    """Refuse what has no canonical form; `depth`: how many levels may still follow."""
    if depth == 0:
        raise ProtocolError(Reason.NONCANONICAL, f"nested deeper than {DEPTH_MAX}")
    if value is None or isinstance(value, (bool, str)):
        return
    if isinstance(value, int):
        if abs(value) >= INTEGER_LIMIT:
            raise ProtocolError(Reason.NONCANONICAL, "integer out of range")
    elif isinstance(value, Mapping):
        for key in value:
            if not key.isascii():
                raise ProtocolError(Reason.NONCANONICAL, "key is not ASCII text")
        _check_all(value.values(), depth - 1)
    elif isinstance(value, (list, tuple)):
        _check_all(value, depth - 1)
    else:
        raise ProtocolError(Reason.NONCANONICAL, f"{type(value).__name__} has no canonical form")


def _check_all(values: Iterable[Json], depth: int) -> None:
    for value in values:
        # Most values are leaves: a call for each would cost more than reading the JSON does.
        if type(value) not in _LEAVES or depth == 0:
            _check(value, depth)
