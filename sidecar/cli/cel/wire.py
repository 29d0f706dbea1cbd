"""Reads the wire format of protocol buffers, as much of it as a checked expression needs.

Why not the library of protobuf: it would be a dependency of 400 KB and a generated module, for a
few messages without packed floats, groups or extensions.

Source: protobuf.dev/programming-guides/encoding.
"""

from collections.abc import Iterator

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_WIDTH = {FIXED64: 8, FIXED32: 4}


class WireError(Exception):
    """Bytes that are no message, or not of the expected form."""


class Message:
    """The fields of one message, by number, each with its values in order of arrival."""

    def __init__(self, raw: bytes) -> None:
        self._fields: dict[int, list[int | bytes]] = {}
        for number, value in _fields(raw):
            self._fields.setdefault(number, []).append(value)

    def only(self, *numbers: int) -> None:
        """Raise when there is a field with another number: it could mean anything."""
        unknown = self._fields.keys() - set(numbers)
        if unknown:
            raise WireError(f"a field with number {min(unknown)}")

    def has(self, number: int) -> bool:
        """Whether the field is there."""
        return number in self._fields

    def integer(self, number: int) -> int:
        """An unsigned number; 0 when absent, as the format leaves zeros out."""
        value = self._fields.get(number, [0])[-1]
        if isinstance(value, bytes):
            raise WireError(f"field {number} is no number")
        return value

    def signed(self, number: int) -> int:
        """A number of 64 bits with sign."""
        value = self.integer(number)
        return value - 2**64 if value >= 2**63 else value

    def all_bytes(self, number: int) -> list[bytes]:
        """All values of a field, as bytes."""
        values = self._fields.get(number, [])
        found = [value for value in values if isinstance(value, bytes)]
        if len(found) != len(values):
            raise WireError(f"field {number} is no bytes")
        return found

    def bytes_of(self, number: int) -> bytes:
        """The value of a field; empty when absent."""
        return (self.all_bytes(number) or [b""])[-1]

    def text(self, number: int) -> str:
        """The value of a text field; empty when absent."""
        return decoded(self.bytes_of(number))

    def message(self, number: int) -> "Message":
        """The message in a field; one without fields when absent."""
        return Message(self.bytes_of(number))

    def messages(self, number: int) -> "list[Message]":
        """All messages of a repeated field."""
        return [Message(raw) for raw in self.all_bytes(number)]


def decoded(raw: bytes) -> str:
    """Text from UTF-8."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise WireError("text that is not UTF-8") from None


def varints(raw: bytes) -> list[int]:
    """A packed field of numbers."""
    found, at = [], 0
    while at < len(raw):
        value, at = _varint(raw, at)
        found.append(value)
    return found


def _fields(raw: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(raw):
        key, at = _varint(raw, at)
        number, form = key >> 3, key & 7
        if form == VARINT:
            value, at = _varint(raw, at)
            yield number, value
            continue
        if form == BYTES:
            size, at = _varint(raw, at)
        elif form in _WIDTH:
            size = _WIDTH[form]
        else:
            raise WireError(f"wire type {form}")
        if at + size > len(raw):
            raise WireError("ends too early")
        yield number, raw[at : at + size]
        at += size


def _varint(raw: bytes, at: int) -> tuple[int, int]:
    """The number that begins at `at`, and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(raw):
            raise WireError("ends too early")
        value |= (raw[at] & 0x7F) << shift
        at += 1
        if raw[at - 1] < 0x80:  # noqa: PLR2004
            if value >= 2**64:
                break
            return value, at
    raise WireError("a number of more than 64 bits")
