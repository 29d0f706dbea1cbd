"""`make interop`: what we wrote, read by implementations that nobody here wrote.

The programs are built with Go from modules of fixed versions, in a folder that is thrown away. What
is held against them: checkpoints, exported tiles, `.tlog-proof` files and RFC 6962 proofs of many
sizes, each also altered.

Source: hardening P13; C2SP signed-note, tlog-checkpoint, tlog-tiles, tlog-proof; RFC 6962, 9162.
"""

import base64
import json
import os
import random
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sidecar.audit import prover
from sidecar.core.log import merkle, proof, tiles
from tests.audit import journals
from tests.evidence import specimen
from tests.evidence.report import Line, Part

GO = shutil.which("go")
SOURCE = Path(__file__).parent / "interop"
FSCK = "github.com/transparency-dev/tessera/cmd/fsck@v1.0.4"
RECORDS = 66_000  # more than 256 * 256: a third level of tiles
SMALL_SIZES = 40  # up to here, each leaf of each size and each pair of sizes
LARGE_SIZES = (255, 256, 257, 1000, 65_535, 65_536, 65_537)
BUILD_S, RUN_S = 900, 300
TAIL = 7


@dataclass(frozen=True, slots=True)
class Claim:
    """A proof as RFC 6962 has it; of consistency: `index` is the older size, `leaf` its root."""

    kind: str
    index: int
    size: int
    leaf: bytes
    root: bytes
    hashes: tuple[bytes, ...]

    @property
    def accepted(self) -> bool:
        """What our own check says."""
        if self.kind == "inclusion":
            return merkle.included(self.index, self.size, self.leaf, self.hashes, self.root)
        return proof.consistent(self.index, self.size, self.leaf, self.root, self.hashes)

    def said(self) -> dict[str, object]:
        """As the other program reads it."""
        return {
            "Kind": self.kind, "Index": self.index, "Size": self.size, "Leaf": _text(self.leaf),
            "Root": _text(self.root), "Hashes": [_text(one) for one in self.hashes],
            "Accepted": self.accepted,
        }  # fmt: skip

    def altered(self, draw: random.Random) -> Iterator["Claim"]:
        """Others that are close to it."""
        hashes = list(self.hashes)
        if hashes:
            at = draw.randrange(len(hashes))
            flipped = bytes((hashes[at][0] ^ 1 << draw.randrange(8),)) + hashes[at][1:]
            yield replace(self, hashes=(*hashes[:at], flipped, *hashes[at + 1 :]))
            yield replace(self, hashes=(*hashes[:at], *hashes[at + 1 :]))
            yield replace(self, hashes=tuple(reversed(hashes)))
        yield replace(self, hashes=(*hashes, self.root))
        yield replace(self, root=bytes(32))
        yield replace(self, index=self.index + 1)
        yield replace(self, size=self.size + 1)


def claims(sizes: int, large: Sequence[int]) -> Iterator[Claim]:
    """Proofs of many trees, and altered ones of each."""
    draw = random.Random(6962)
    leaves = [merkle.leaf_hash(b"%d" % number) for number in range(max((sizes, *large)) + 1)]
    pairs = [(index, size) for size in range(1, sizes + 1) for index in range(size)]
    pairs += [(draw.randrange(size), size) for size in large for _ in range(4)]
    pairs += [(index, size) for size in large for index in (0, size - 1)]
    for index, size in pairs:
        of, root = leaves[:size], _root(leaves[:size])
        yield from _with_altered(
            Claim(
                "inclusion",
                index,
                size,
                leaves[index],
                root,
                _hashes(proof.inclusion(index, size), of),
            ),
            draw,
        )
        old = index + 1
        yield from _with_altered(
            Claim(
                "consistency",
                old,
                size,
                _root(leaves[:old]),
                root,
                _hashes(proof.consistency(old, size), of),
            ),
            draw,
        )


def _with_altered(claim: Claim, draw: random.Random) -> Iterator[Claim]:
    assert claim.accepted, claim
    yield claim
    yield from claim.altered(draw)


def _hashes(runs: list[proof.Run], leaves: Sequence[bytes]) -> tuple[bytes, ...]:
    roots = proof.Roots(runs)
    for leaf in leaves:
        roots.take(leaf)
    return tuple(roots.hashes())


def _root(leaves: Sequence[bytes]) -> bytes:
    tree = merkle.Tree()
    for leaf in leaves:
        tree.append(leaf)
    return tree.root()


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def write(folder: Path, records: int, sizes: int, large: Sequence[int]) -> int:
    """Everything that is to be checked; how many records the exported log has."""
    signed = records - TAIL
    made = specimen.make(folder / "journal", records, signed, 8 * 1024 * 1024)
    prover.export(made.folder, folder / "log", journals.KEY)
    (folder / "vkey").write_text(f"{journals.KEY}\n")
    (folder / "records").write_bytes(b"".join(made.lines[:signed]))
    for index in sorted({0, 1, signed // 2, signed - 2, signed - 1}):
        proved = prover.prove(made.folder, index, journals.KEY)
        (folder / f"{index}.record").write_bytes(proved.record)
        (folder / f"{index}.tlog-proof").write_bytes(proved.proof.text())
    said = [claim.said() for claim in claims(sizes, large)]
    (folder / "proofs.json").write_text(json.dumps(said))
    return signed


def build(folder: Path) -> Path:
    """The program.

    Raises:
        OSError: it cannot be built here.
    """
    assert GO is not None
    shutil.copytree(SOURCE, folder / "source")
    _go([GO, "build", "-o", str(folder / "check"), "."], folder / "source")
    return folder / "check"


def check(program: Path, folder: Path) -> list[Line]:
    """What it says of everything."""
    done = subprocess.run(
        [program, str(folder)], capture_output=True, text=True, timeout=RUN_S, check=False
    )
    if done.returncode:
        return [Line("interoperability", 0, "", [done.stderr])]
    said = [json.loads(line) for line in done.stdout.splitlines()]
    return [Line(one["what"], one["count"], "", one["wrong"] or []) for one in said]


def run(part: Part, tell: Callable[[str], None]) -> list[Line]:
    """All of it.

    Args:
        part: Told what cannot be done here.
        tell: Shown how far it is.
    """
    if GO is None:
        part.skipped.append("interoperability: needs go")
        return []
    with tempfile.TemporaryDirectory(prefix="epochgate-interop-") as name:
        folder = Path(name)
        tell(f"writing a log of {RECORDS} records, and proofs")
        signed = write(folder, RECORDS, SMALL_SIZES, LARGE_SIZES)
        tell("building with go")
        try:
            lines = check(build(folder), folder)
        except OSError as error:
            part.skipped.append(f"interoperability: {error}")
            return []
        tell("building tessera's fsck")
        try:
            return [*lines, _fsck(folder, signed)]
        except OSError as error:
            part.skipped.append(f"tessera's fsck: {error}")
            return lines


def _fsck(folder: Path, signed: int) -> Line:
    """Tessera's own check of a log."""
    assert GO is not None
    _go([GO, "install", FSCK], folder, GOBIN=str(folder / "bin"))
    line = Line("tiles: tessera's fsck checks each tile, entry and the checkpoint", signed)
    whole = _fsck_says(folder)
    if "Invalid" in whole or "failed" in whole or "OK" not in whole:
        line.wrong.append(whole[-500:])
    entries = folder / "log" / tiles.path(tiles.ENTRIES, 0)
    raw = bytearray(entries.read_bytes())
    raw[len(raw) // 2] ^= 1
    entries.write_bytes(raw)
    if "Invalid" not in _fsck_says(folder):
        line.wrong.append("accepts a log with one bit of an entry flipped")
    line.seen = "calls invalid the log with one bit of an entry flipped"
    return line


def _fsck_says(folder: Path) -> str:
    """All it writes, up to its end or to the first thing that is wrong: then it never ends."""
    command = [
        str(folder / "bin" / "fsck"), f"--storage_url={(folder / 'log').as_uri()}/",
        f"--public_key={folder / 'vkey'}", "--ui=false", "-v=1", "-logtostderr",
    ]  # fmt: skip
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as child:
        assert child.stderr is not None
        said = ""
        for line in child.stderr:
            said += line
            if "Invalid" in line:
                break
        child.kill()
    return said


def _go(command: list[str], folder: Path, **environment: str) -> None:
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=BUILD_S, check=False,
            env={**os.environ, "GOFLAGS": "-mod=readonly" if "build" in command else "",
                 **environment},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise OSError(f"go takes longer than {BUILD_S} s") from None
    if done.returncode:
        raise OSError(f"go: {done.stderr.strip()[-300:]}")
