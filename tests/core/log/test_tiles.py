"""A log as files: read back with nothing but the specification, the tree is the same."""

import pytest

from sidecar.core.log import merkle, tiles
from sidecar.core.log.tiles import WIDTH, Tiler
from sidecar.core.reason import ProtocolError

# From the text of C2SP tlog-tiles: 1234067 is spelled x001/x234/067.
PATHS = [
    (0, 1234067, 256, "tile/0/x001/x234/067"),
    (0, 0, 256, "tile/0/000"),
    (0, 273, 112, "tile/0/273.p/112"),
    (1, 1, 17, "tile/1/001.p/17"),
    (2, 0, 1, "tile/2/000.p/1"),
    ("entries", 999, 256, "tile/entries/999"),
    ("entries", 1000, 1, "tile/entries/x001/000.p/1"),
]


@pytest.mark.parametrize(("level", "number", "width", "path"), PATHS)
def test_paths_are_those_of_the_specification(
    level: int | str, number: int, width: int, path: str
) -> None:
    assert tiles.path(level, number, width) == path


def exported(count: int) -> dict[str, bytes]:
    tiler, files = Tiler(), dict[str, bytes]()
    for number in range(count):
        entry = b"entry %d" % number
        files |= dict(tiler.take(entry, merkle.leaf_hash(entry)))
    return files | dict(tiler.rest())


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 600, 66_000])
def test_the_files_hold_every_entry_and_every_hash(count: int) -> None:
    files = exported(count)
    tree = merkle.Tree()
    levels: list[list[bytes]] = [[]]
    for number in range(count):
        leaf = merkle.leaf_hash(b"entry %d" % number)
        tree.append(leaf)
        levels[0].append(leaf)
    while len(levels[-1]) >= WIDTH:
        whole = len(levels[-1]) // WIDTH
        levels.append([tiles.root(levels[-1][n * WIDTH : (n + 1) * WIDTH]) for n in range(whole)])
    wanted = {
        tiles.path(level, at // WIDTH, len(hashes[at : at + WIDTH])): b"".join(
            hashes[at : at + WIDTH]
        )
        for level, hashes in enumerate(levels)
        for at in range(0, len(hashes), WIDTH)
    }
    assert {name: raw for name, raw in files.items() if "entries" not in name} == wanted
    entries = [files[name] for name in sorted(files) if "entries" in name]
    assert b"".join(entries) == b"".join(
        len(entry).to_bytes(2) + entry for entry in (b"entry %d" % n for n in range(count))
    )


def test_the_shape_of_the_example_of_the_specification() -> None:
    files = exported(70_000)
    partial = {name for name in files if ".p/" in name}
    assert partial == {
        "tile/0/273.p/112", "tile/1/001.p/17", "tile/2/000.p/1", "tile/entries/273.p/112",
    }  # fmt: skip
    assert len(files) == 273 + 1 + 4 - 0 + 273


def test_an_entry_that_two_bytes_cannot_measure_is_refused() -> None:
    with pytest.raises(AssertionError):
        tiles.bundle([bytes(tiles.ENTRY_MAX_BYTES + 1)])


@pytest.mark.parametrize(("level", "number", "width", "path"), PATHS)
def test_a_path_is_read_as_it_was_written(
    level: int | str, number: int, width: int, path: str
) -> None:
    assert tiles.parse(path) == (level, number, width)


@pytest.mark.parametrize(
    "text",
    [
        "", "tile/0/0", "tile/0/1234", "tile/0/x000/001", "tile/00/001", "tile/64/000",
        "tile/-1/000", "tile/0/000.p/0", "tile/0/000.p/256", "tile/0/000.p/257", "tile/0/000.p/01",
        "tile/0/000/", "tile/0/000\n", "tile/entry/000", "tile/0/\u0660\u0660\u0660",
        "tile/0/x001", "/tile/0/000",
    ],
)  # fmt: skip
def test_another_spelling_is_no_path(text: str) -> None:
    assert tiles.parse(text) is None


def test_a_bundle_is_read_as_it_was_written_and_ends_where_an_entry_does() -> None:
    entries = [b"", b"a", b"b" * tiles.ENTRY_MAX_BYTES]
    raw = tiles.bundle(entries)
    assert tiles.unbundle(raw) == entries
    for end in (1, 3, len(raw) - 1):
        with pytest.raises(ProtocolError):
            tiles.unbundle(raw[:end])
