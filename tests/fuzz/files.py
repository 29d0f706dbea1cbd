"""What holds for files and for replies of peers: configuration, journal, RESP."""

import asyncio
import atexit
import shutil
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

from sidecar.audit import reader, recovery, tail
from sidecar.config.problem import ConfigError
from sidecar.config.read import Loaded, read_any
from sidecar.config.sections import AuthorityConfig
from sidecar.config.table import API_VERSION, AUTHORITY, KINDS, SIDECAR
from sidecar.core.fault import Fault, PeerError
from sidecar.core.reason import ProtocolError
from sidecar.sync.resp import Parser, Reply
from tests.audit.journals import KEY, make_journal
from tests.fuzz.exchanges import pieces_of

RECORDS, SIGNED = 6, 4
REPLY_MAX_BYTES = 512
LINE_MAX_BYTES = 256


def _folder() -> Path:
    """A folder that ends with the process."""
    folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


# Configuration.


@cache
def _config() -> Path:
    return _folder() / "config.yaml"


def check_config(data: bytes) -> None:
    """A configuration file: a ConfigError with problems, or values that can be written again."""
    path = _config()
    path.write_bytes(data)
    try:
        loaded = read_any(path, {})
    except ConfigError as error:
        assert error.problems
        assert str(error)
        return
    path.write_text(_written(loaded.name, loaded), "utf-8")
    again = read_any(path, {})
    assert (again.config, again.name) == (loaded.config, loaded.name)


def _written(name: str, loaded: Loaded[Any]) -> str:
    """The file that says what was read, every default included."""
    kind = AUTHORITY if isinstance(loaded.config, AuthorityConfig) else SIDECAR
    lists = {f"spec.{field.path}" for field in KINDS[kind] if isinstance(field.default, tuple)}
    spec: dict[str, Any] = {}
    for setting in loaded.origins:
        said = yaml.load(setting.value, yaml.BaseLoader) if setting.path in lists else setting.value
        _place(spec, setting.path, said)
    document = {"apiVersion": API_VERSION, "kind": kind, "metadata": {"name": name}, "spec": spec}
    return str(yaml.safe_dump(document, allow_unicode=True))


def _place(spec: dict[str, Any], path: str, said: object) -> None:
    *folders, leaf = path.removeprefix("spec.").split(".")
    where = spec
    for folder in folders:
        word, _, index = folder.partition("[")
        if not index:
            where = where.setdefault(word, {})
            continue
        items = where.setdefault(word, [])
        if len(items) <= int(index[:-1]):
            items.append({})
        where = items[int(index[:-1])]
    where[leaf] = said


# The journal.


@cache
def journal() -> tuple[Path, tuple[bytes, ...]]:
    """A folder with a signed journal, and its lines; the segment is there to be overwritten."""
    folder = _folder()
    return folder, tuple(make_journal(folder, RECORDS, SIGNED))


def journal_seed() -> bytes:
    """The segment of the journal, as it was written."""
    return b"".join(line + b"\n" for line in journal()[1])


def check_journal(data: bytes) -> None:
    """A segment beside a checkpoint that signs other bytes, or the same."""
    folder, lines = journal()
    (folder / "00000000.jsonl").write_bytes(data)
    report = reader.verify(folder, KEY)
    if report.fault is None:
        assert report.verified
        assert data.split(b"\n")[:SIGNED] == list(lines[:SIGNED]), "records that nobody signed"
        assert report.bytes_read + report.torn_bytes == len(data)
        assert report.records == data.count(b"\n") == SIGNED + report.tail_records
    # What an auditor accepts, a sidecar starts with; what stops it, an auditor is told of.
    try:
        found = recovery.examine(folder, KEY)
    except ProtocolError:
        assert report.fault is not None
    else:
        if report.fault is None:
            assert (found.chain.tree.size, found.offset) == (report.records, report.bytes_read)
            assert (found.torn.size if found.torn else 0) == report.torn_bytes
    shown, _ = tail.last(folder, 3)
    assert len(shown) <= 3


# Replies of a peer.


@cache
def _loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    atexit.register(loop.close)
    return loop


def check_resp(data: bytes) -> None:
    """Replies of a peer, one after the other until something is wrong."""
    whole, *cut = [_loop().run_until_complete(_replies(way)) for way in pieces_of(data)]
    for other in cut:
        assert whole == other
    sizes = [_size(item) for item in whole[0]]
    assert all(size <= REPLY_MAX_BYTES for size in sizes)


async def _replies(pieces: Iterable[bytes]) -> tuple[list[Reply], Fault]:
    stream = asyncio.StreamReader(limit=LINE_MAX_BYTES)
    parser = Parser(socket_read_size=4096)
    parser.on_connect(SimpleNamespace(_reader=stream, encoder=None))
    found: list[Reply] = []
    fault = Fault.CLOSED

    async def feed() -> None:
        for piece in pieces:
            stream.feed_data(piece)
            await asyncio.sleep(0)
        stream.feed_eof()

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(feed())
        try:
            while True:
                parser.limit(REPLY_MAX_BYTES)
                found.append(await parser.read_response())
        except PeerError as error:
            assert error.detail
            fault = error.fault
    return found, fault


def _size(item: Reply) -> int:
    flat = item if isinstance(item, list) else [item]
    assert all(value is None or isinstance(value, (bytes, str, int)) for value in flat)
    return sum(len(value) for value in flat if isinstance(value, (bytes, str)))
