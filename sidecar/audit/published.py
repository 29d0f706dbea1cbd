"""Checks a log that somebody hands out as C2SP tiles, with nothing but a key.

Everything that comes is untrusted: the checkpoint until its signature was checked, the entries
until they made its root, the tiles of hashes until they were what the entries make.

Source: C2SP tlog-tiles v1.0.0, tlog-checkpoint v1.0.0; RFC 6962 section 2.1.
"""

from collections.abc import Callable, Collection, Iterator, Mapping

from sidecar.audit import checkpoints
from sidecar.audit.chain import Chain
from sidecar.core.log import checkpoint, merkle, note, record, tiles
from sidecar.core.log.checkpoint import Checkpoint
from sidecar.core.log.note import NoteKey
from sidecar.core.log.record import Record
from sidecar.core.log.tiles import ENTRIES, WIDTH, Tiler
from sidecar.core.reason import ProtocolError, Reason

BUNDLE_MAX_BYTES = WIDTH * (record.MAX_BYTES + tiles.LENGTH_BYTES)

Fetch = Callable[[str], bytes]  # path below the log's address -> content; raises ProtocolError


def signed(raw: bytes, keys: Mapping[str, NoteKey]) -> Checkpoint:
    """What a checkpoint says.

    Args:
        raw: Untrusted.
        keys: Keys that may sign, by the name of their log.

    Raises:
        ProtocolError: KEY_UNKNOWN when none of them is that log's; else what is wrong with it.
    """
    origin = checkpoint.parse(note.unverified(raw)).origin
    key = keys.get(origin)
    if key is None:
        raise ProtocolError(Reason.KEY_UNKNOWN, f"no known key may sign the log {origin}")
    return checkpoints.opened(raw, key)


def records(
    fetch: Fetch, over: Checkpoint, roots: dict[int, str], sizes: Collection[int] = ()
) -> Iterator[Record]:
    """Every record under a checkpoint. It is that log's only if this comes to its end.

    Args:
        fetch: Gets one file.
        over: Verified.
        roots: Filled in: the root at each of `sizes`, hex.
        sizes: Which sizes are of interest.

    Raises:
        ProtocolError: something is missing, or is not what was signed.
    """
    chain, tiler = Chain(), Tiler()
    for number in range(-(-over.size // WIDTH)):
        width = min(WIDTH, over.size - number * WIDTH)
        path = tiles.path(ENTRIES, number, width)
        lines = tiles.unbundle(fetch(path))
        if len(lines) != width:
            raise _broken(f"{path}: {len(lines)} entries, not {width}")
        for line in lines:
            yield chain.check(line)
            if chain.tree.size in sizes:
                roots[chain.tree.size] = chain.tree.root().hex()
            _compare(fetch, tiler.take(line, merkle.leaf_hash(line)))
    _compare(fetch, tiler.rest())
    if chain.tree.root() != over.root:
        raise _broken("the entries do not make the root that was signed")


def _compare(fetch: Fetch, made: Iterator[tuple[str, bytes]]) -> None:
    for path, content in made:
        if not path.startswith(f"tile/{ENTRIES}/") and fetch(path) != content:
            raise _broken(f"{path}: is not what the entries make")


def _broken(detail: str) -> ProtocolError:
    return ProtocolError(Reason.AUDIT_CHAIN_BREAK, detail)
