"""The model that the JSON body of a request names, if that is certain.

Rules:

* What is told is what every reader of JSON would take: one object in UTF-8, one key `model` at its
  top level, a string. Readers that take the first or the last of two equal keys, that ignore case
  (Go's, cJSON) or end a key at a NUL (C's) must all agree; else nothing is told.
* Nobody says that a body is JSON in UTF-8 but its one Content-Type. Encoded content is not read.
* Time is bounded: a few passes over the bytes that keep none of the values (nesting, numbers and
  long strings cost what skipping them costs).
* Values are compared byte for byte elsewhere, so only visible ASCII is told, as from a header: what
  a service might trim or normalise is not certain.

Source: RFC 8259 sections 4 and 8; hardening P1, 2.
"""

import itertools
import re

import msgspec
from msgspec import UNSET, UnsetType

from sidecar.core.head import Header, one_value

# Nested keys `model` before the one at the top: each costs a pass, and who sends more is not told.
NESTED_MAX = 4
VALUE = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
JSON_TYPE = re.compile(
    rb'application/(?:[a-z0-9!#$&^_.+-]+\+)?json[ \t]*(?:;[ \t]*charset="?utf-8"?[ \t]*)?',
    re.IGNORECASE,
)

# What some reader takes for the key `model`, at any depth: letters of either case, each perhaps
# escaped. No text inside a string looks like it: a quote in there has a backslash before it.
_NAME = (
    rb'"(?:[mM]|\\u00[46][dD])(?:[oO]|\\u00[46][fF])(?:[dD]|\\u00[46]4)'
    rb"(?:[eE]|\\u00[46]5)(?:[lL]|\\u00[46][cC])"
)
_KEY = re.compile(_NAME + rb'"[ \t\n\r]*:')
_CUT_KEY = re.compile(_NAME + rb"\\u0000")
_SPELLINGS = [
    "".join(letters) for letters in itertools.product(*zip("model", "MODEL", strict=True))
]


class _Named(msgspec.Struct):
    model: str


class _Whole(msgspec.Struct):
    """Any object; nothing of it is kept."""


_NAMED = msgspec.json.Decoder(_Named)
_WHOLE = msgspec.json.Decoder(_Whole)
# Any object without such a key: a field of this type can not be there.
_WITHOUT = msgspec.json.Decoder(
    msgspec.defstruct("_Without", [(name, UnsetType, UNSET) for name in _SPELLINGS])
)


def legible(headers: tuple[Header, ...]) -> bool:
    """Whether the body under these headers is JSON in UTF-8, as far as they say."""
    lines = [line for line in headers if line[0].startswith(b"content")]  # most are not
    if any(line[0].replace(b"_", b"-") == b"content-encoding" for line in lines):
        return False
    kind = one_value(tuple(lines), b"content-type")
    return kind is not None and JSON_TYPE.fullmatch(kind) is not None


def named(body: bytes) -> bytes:
    """The model that a whole body names; empty when that is not certain."""
    try:
        body.decode()  # msgspec does not look into the strings that it skips
        key = _top_key(body)
        _WITHOUT.decode(b'{"":' + body[key.end() :])
        value = _NAMED.decode(b"{" + body[key.start() :]).model
    except (ValueError, RecursionError):  # of UTF-8 and of JSON, and ours
        return b""
    return value.encode() if VALUE.fullmatch(value) else b""


def _top_key(body: bytes) -> re.Match[bytes]:
    """The first key at the top level that some reader takes for `model`.

    Raises:
        ValueError: There is none, or it takes too long to find, or some readers see another.
    """
    if b"\\u0000" in body and _CUT_KEY.search(body):
        raise ValueError("a key that ends early for some")
    for key in itertools.islice(_KEY.finditer(body), NESTED_MAX + 1):
        before = body[: key.start()]
        if not before.endswith(b"\\") and _whole(before + b'"":0}'):  # else it stands deeper
            return key
    raise ValueError("no model")


def _whole(raw: bytes) -> bool:
    try:
        _WHOLE.decode(raw)
    except (ValueError, RecursionError):
        return False
    return True
