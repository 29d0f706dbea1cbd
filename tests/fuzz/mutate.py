"""Mutations of bytes, from a seeded generator: the same seed gives the same run.

Two kinds. `blindly` knows nothing but a dictionary, and is for any decoder. `request` knows what a
request is made of: thirteen mutations of bytes, header lines, methods and whole requests, because
two readers disagree over those and seldom over a random byte.

Source: the mutations are those of http-garden (Kallus and others), written anew.
"""

import random
from collections.abc import Callable, Sequence

MEANINGFUL = (b"\r\n", b"\r", b"\n", b"\0", b":", b"\t", b" ", b",", b";", b"_", b"%", b"\x85")
METHODS = (
    b"GET", b"HEAD", b"POST", b"PUT", b"PATCH", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT",
    b"PRI", b"post", b"PROPFIND",
)  # fmt: skip
HEADERS = (
    b"Content-Length: 3",
    b"Content-Length: 0",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: identity",
    b"Transfer_Encoding: chunked",
    b"Connection: close",
    b"Connection: keep-alive, x-a",
    b"Connection: Content-Length",
    b"Expect: 100-continue",
    b"Upgrade: h2c",
    b"Host: other",
    b"X-A: \xff\xe9",
    b"X-A:",
    b"!#$%&'*+.^_`|~x: y",
    b"Content-Type: text/html",
    b"Content-Encoding: gzip",
    b'Cookie: a=b; c="d"',
    b"Authorization: Basic eDp5",
    b"Range: bytes=0-1",
    b"Forwarded: for=1.2.3.4;host=b",
    b"Sec-WebSocket-Key: x",
    b"Upgrade: foo/1, bar",
    b"TE: trailers",
    b"Trailer: Content-Length",
    b"Proxy-Connection: keep-alive",
    b"X_A: b",
    b"X-Epochgate-Fence: 0",
    b"X-HTTP-Method-Override: DELETE",
)
LINE_END = b"\r\n"
BLANK = b"\r\n\r\n"

Mutation = Callable[[random.Random, bytes, Sequence[bytes]], bytes]


def blindly(rng: random.Random, data: bytes, words: Sequence[bytes]) -> bytes:
    """One to four changes that need no knowledge of the format."""
    for _ in range(rng.randint(1, 4)):
        at = rng.randint(0, len(data))
        end = min(len(data), at + rng.choice((1, 1, 1, 2, 8, 64)))
        match rng.randrange(7):
            case 0:
                data = data[:at] + data[end:]
            case 1:
                data = data[:at] + rng.randbytes(end - at) + data[end:]
            case 2:
                data = data[:at] + rng.randbytes(1) + data[at:]
            case 3:
                data = data[:at] + data[at:end] + data[at:]
            case 4 if data[at:end]:
                data = data[:at] + bytes([data[at] ^ 1 << rng.randrange(8)]) + data[at + 1 :]
            case 5:
                data = data[:at] + rng.choice(words) + data[end:]
            case _:
                data = data[:at] + rng.choice(words) + data[at:]
    return data


def request(rng: random.Random, data: bytes, seeds: Sequence[bytes]) -> tuple[bytes, str]:
    """One to three of the thirteen; returns their names, too."""
    names = []
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        mutation = rng.choice(REQUEST_MUTATIONS)
        data = mutation(rng, data, seeds)
        names.append(mutation.__name__)
    return data, "+".join(names)


def delete_byte(rng: random.Random, data: bytes, _seeds: Sequence[bytes]) -> bytes:
    """One byte less."""
    at = rng.randrange(max(1, len(data)))
    return data[:at] + data[at + 1 :]


def replace_byte(rng: random.Random, data: bytes, _seeds: Sequence[bytes]) -> bytes:
    """Another byte in its place."""
    at = rng.randrange(max(1, len(data)))
    return data[:at] + rng.randbytes(1) + data[at + 1 :]


def insert_byte(rng: random.Random, data: bytes, _seeds: Sequence[bytes]) -> bytes:
    """One byte more."""
    at = rng.randint(0, len(data))
    return data[:at] + rng.randbytes(1) + data[at:]


def insert_meaningful(rng: random.Random, data: bytes, _seeds: Sequence[bytes]) -> bytes:
    """A byte that ends or parts something, next to a place where something ends."""
    places = [at for at in range(1, len(data)) if data[at - 1 : at] in (b"\n", b":", b" ", b",")]
    at = rng.choice(places or [0]) - rng.randrange(2)
    return data[: max(0, at)] + rng.choice(MEANINGFUL) + data[max(0, at) :]


def replace_meaningful(rng: random.Random, data: bytes, _seeds: Sequence[bytes]) -> bytes:
    """One separator for another."""
    old = rng.choice([byte for byte in MEANINGFUL if byte in data] or [b"\r\n"])
    places = [at for at in range(len(data)) if data.startswith(old, at)]
    at = rng.choice(places or [len(data)])
    return data[:at] + rng.choice(MEANINGFUL) + data[at + len(old) :]


def insert_header(rng: random.Random, data: bytes, _seeds: Sequence[bytes]) -> bytes:
    """One more header line, anywhere."""
    head, blank, rest = data.partition(BLANK)
    lines = head.split(LINE_END)
    lines.insert(rng.randint(1, len(lines)), rng.choice(HEADERS))
    return LINE_END.join(lines) + blank + rest


def delete_header(rng: random.Random, data: bytes, _seeds: Sequence[bytes]) -> bytes:
    """One header line less."""
    head, blank, rest = data.partition(BLANK)
    lines = head.split(LINE_END)
    if len(lines) > 1:
        del lines[rng.randrange(1, len(lines))]
    return LINE_END.join(lines) + blank + rest


def replace_header(rng: random.Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    """Another header line in its place."""
    return insert_header(rng, delete_header(rng, data, seeds), seeds)


def swap_method(rng: random.Random, data: bytes, _seeds: Sequence[bytes]) -> bytes:
    """The same request with another method."""
    _, space, rest = data.partition(b" ")
    return rng.choice(METHODS) + space + rest


def split(rng: random.Random, data: bytes, _seeds: Sequence[bytes]) -> bytes:
    """A line end in the middle of a line."""
    at = rng.randint(0, len(data))
    return data[:at] + rng.choice((LINE_END, BLANK)) + data[at:]


def concatenate(rng: random.Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    """Another request behind it."""
    return data + rng.choice(seeds)


def duplicate(rng: random.Random, data: bytes, _seeds: Sequence[bytes]) -> bytes:
    """A header line, or everything, twice."""
    head, blank, rest = data.partition(BLANK)
    lines = head.split(LINE_END)
    if len(lines) < 2 or rng.random() < 0.2:
        return data + data
    at = rng.randrange(1, len(lines))
    lines.insert(rng.randint(1, len(lines)), lines[at])
    return LINE_END.join(lines) + blank + rest


def shift_boundary(rng: random.Random, data: bytes, seeds: Sequence[bytes]) -> bytes:
    """A body that is shorter or longer than announced, with another request in or behind it."""
    inner = rng.choice(seeds)
    size = max(0, len(inner) + rng.choice((0, 0, -1, 1, -3, 5)))
    if rng.random() < 0.5:
        framing, body = b"Content-Length: %d" % size, inner
    else:
        framing, body = b"Transfer-Encoding: chunked", b"%x\r\n%b\r\n0\r\n\r\n" % (size, inner)
    head = data.partition(BLANK)[0]
    return head + LINE_END + framing + BLANK + body


REQUEST_MUTATIONS: tuple[Mutation, ...] = (
    delete_byte, replace_byte, insert_byte, insert_meaningful, replace_meaningful, insert_header,
    delete_header, replace_header, swap_method, split, concatenate, duplicate, shift_boundary,
)  # fmt: skip
