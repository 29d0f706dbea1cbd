"""A log as static files that any HTTP server can hand out: tiles of hashes, bundles of entries.

    checkpoint                    the signed note
    tile/<level>/<number>         256 hashes of 32 bytes; level 0: of the leaves
    tile/<level>/<number>.p/<w>   the first w of them, where the tile is not full
    tile/entries/<number>[.p/<w>] the 256 entries themselves, each behind its length (2 bytes)

A hash on level l is the root over 256^l leaves; only full tiles are hashed upwards, so what is
written once never changes. The partial tiles of a size are those that a reader of its checkpoint
needs.

Source: C2SP tlog-tiles v1.0.0.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from sidecar.core.log.merkle import Tree
from sidecar.core.reason import ProtocolError, Reason

WIDTH = 256  # hashes of a full tile, entries of a full bundle
LENGTH_BYTES = 2
ENTRY_MAX_BYTES = 2 ** (8 * LENGTH_BYTES) - 1
ENTRIES = "entries"
LEVEL_MAX = 63

_PATH = re.compile(
    r"tile/(?P<level>entries|[0-9]{1,2})/(?P<number>(x[0-9]{3}/){0,4}[0-9]{3})"
    r"(\.p/(?P<width>[0-9]{1,3}))?"
)


def path(level: int | str, number: int, width: int = WIDTH) -> str:
    """Where a tile lies, below the address of the log.

    Args:
        level: From 0, or `entries` for a bundle.
        number: Of the tile in its level, from 0.
        width: How much of it there is, 1 to 256.
    """
    assert 0 < width <= WIDTH, "a tile is not empty, nor more than full"
    digits = f"{number:03}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    name = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
    return f"tile/{level}/{name}" + ("" if width == WIDTH else f".p/{width}")


class Tile(NamedTuple):
    """What `path` is made of."""

    level: int | str
    number: int
    width: int


def parse(text: str) -> Tile | None:
    """Read what `path` writes, and nothing else; None for any other text."""
    found = _PATH.fullmatch(text)
    if found is None:
        return None
    level = found["level"] if found["level"] == ENTRIES else int(found["level"])
    number = int(found["number"].replace("/", "").replace("x", ""))
    width = WIDTH if found["width"] is None else int(found["width"])
    if not 0 < width <= WIDTH or (level != ENTRIES and int(level) > LEVEL_MAX):
        return None
    made = Tile(level, number, width)
    # Written again and compared: one spelling for each tile.
    return made if path(*made) == text else None


def unbundle(raw: bytes) -> list[bytes]:
    """The entries of a bundle.

    Raises:
        ProtocolError: NONCANONICAL when it ends within one.
    """
    entries, at = [], 0
    while at < len(raw):
        length = int.from_bytes(raw[at : at + LENGTH_BYTES])
        at += LENGTH_BYTES + length
        if at > len(raw):
            raise ProtocolError(Reason.NONCANONICAL, "a bundle ends within an entry")
        entries.append(raw[at - length : at])
    return entries


def bundle(entries: Iterable[bytes]) -> bytes:
    """Up to 256 entries in a row, each behind its length."""
    parts = []
    for entry in entries:
        assert len(entry) <= ENTRY_MAX_BYTES, "two bytes hold its length"
        parts += [len(entry).to_bytes(LENGTH_BYTES), entry]
    return b"".join(parts)


def root(hashes: Sequence[bytes]) -> bytes:
    """What a full tile is on the level above: the root over its hashes."""
    tree = Tree()
    for one in hashes:
        tree.append(one)
    return tree.root()


class Tiler:
    """Turns entries that pass by into files.

    Each call hands out what has become full; `rest` hands out what has not, for a checkpoint over
    all that was taken.
    """

    def __init__(self) -> None:
        self._entries: list[bytes] = []
        self._levels: list[list[bytes]] = [[]]
        self.size = 0

    def take(self, entry: bytes, leaf: bytes) -> Iterator[tuple[str, bytes]]:
        """Take the next entry and the hash of its leaf; path and content of each full file."""
        self._entries.append(entry)
        self._levels[0].append(leaf)
        self.size += 1
        if len(self._entries) == WIDTH:
            yield path(ENTRIES, self.size // WIDTH - 1), bundle(self._entries)
            self._entries.clear()
        level, leaves = 0, 1
        while len(self._levels[level]) == WIDTH:
            leaves *= WIDTH
            full, self._levels[level] = self._levels[level], []
            yield path(level, self.size // leaves - 1), b"".join(full)
            level += 1
            if level == len(self._levels):
                self._levels.append([])
            self._levels[level].append(root(full))

    def rest(self) -> Iterator[tuple[str, bytes]]:
        """Path and content of each partial file at this size."""
        if self._entries:
            number = self.size // WIDTH
            yield path(ENTRIES, number, len(self._entries)), bundle(self._entries)
        leaves = 1
        for level, hashes in enumerate(self._levels):
            leaves *= WIDTH
            if hashes:
                yield path(level, self.size // leaves, len(hashes)), b"".join(hashes)
