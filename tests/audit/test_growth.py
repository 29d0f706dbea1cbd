"""Proofs that a log only grew: those of the whole tree, from whatever size, however it was read."""

from pathlib import Path

import pytest

from sidecar.audit import beginning, growth, segments
from sidecar.audit.beginning import Base, Cut
from sidecar.audit.growth import Growth
from sidecar.audit.prover import PrunedError
from sidecar.core import canonical
from sidecar.core.log import merkle, proof
from sidecar.core.log.checkpoint import Checkpoint
from sidecar.core.log.merkle import Tree
from sidecar.core.reason import ProtocolError, Reason
from tests.audit.journals import ORIGIN

LINES = [b"record %d" % number for number in range(70)]


def head(size: int) -> Checkpoint:
    tree = Tree()
    for line in LINES[:size]:
        tree.append(merkle.leaf_hash(line))
    return Checkpoint(ORIGIN, size, tree.root())


def write(folder: Path, size: int, each: int = 9) -> None:
    """So many records in segments of a few, and a torn one."""
    for number, at in enumerate(range(0, size, each)):
        lines = b"".join(line + b"\n" for line in LINES[at : min(at + each, size)])
        (folder / segments.name(number)).write_bytes(lines)
    with (folder / segments.name((size - 1) // each)).open("ab") as file:
        file.write(b"a record that is being")


def proves(old: int, new: int, hashes: list[bytes]) -> bool:
    return proof.consistent(old, new, head(old).root, head(new).root, hashes)


async def test_a_log_that_grows_is_proved_from_each_size_to_each_later_one(tmp_path: Path) -> None:
    sizes = (1, 2, 7, 8, 9, 23, 32, 33, 64, 70)
    for old in sizes:
        one = Growth(tmp_path)
        for new in (size for size in sizes if size >= old):
            write(tmp_path, new)
            assert proves(old, new, await one.prove(old, head(new))), (old, new)


async def test_a_size_that_nobody_noted_is_proved_by_reading_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growth, "STEP", 4)
    write(tmp_path, 60)
    one = Growth(tmp_path)
    for old in (59, 1, 13, 32):
        assert proves(old, 60, await one.prove(old, head(60)))


async def test_what_lies_too_far_back_is_forgotten_and_proved_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(growth, "LEAVES_MAX", 4)
    monkeypatch.setattr(growth, "NOTED_MAX", 3)
    one = Growth(tmp_path)
    for size in range(1, 70):
        write(tmp_path, size)
        assert proves(max(1, size - 1), size, await one.prove(max(1, size - 1), head(size)))
    assert proves(2, 69, await one.prove(2, head(69)))
    assert len(one._leaves) <= 8
    assert len(one._noted) <= 3


async def test_an_older_checkpoint_is_proved_after_a_newer_one(tmp_path: Path) -> None:
    write(tmp_path, 40)
    one = Growth(tmp_path)
    await one.prove(0, head(10))
    await one.prove(10, head(40))
    assert proves(10, 25, await one.prove(10, head(25)))


async def test_each_record_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    heads = {size: head(size) for size in (10, 20, 33, 60)}
    hashed: list[bytes] = []
    real = merkle.leaf_hash

    def count(line: bytes) -> bytes:
        hashed.append(line)
        return real(line)

    monkeypatch.setattr(merkle, "leaf_hash", count)
    one, old = Growth(tmp_path), 0
    for size, made in heads.items():
        write(tmp_path, size)
        await one.prove(old, made)
        old = size
    assert hashed == LINES[:60]


async def test_other_records_than_those_signed_are_proved_for_nobody(tmp_path: Path) -> None:
    write(tmp_path, 20)
    with pytest.raises(ProtocolError) as caught:
        await Growth(tmp_path).prove(0, Checkpoint(ORIGIN, 12, bytes(32)))
    assert caught.value.reason is Reason.AUDIT_CHAIN_BREAK


async def test_fewer_records_than_were_signed_are_proved_for_nobody(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await Growth(tmp_path).prove(0, head(21))
    write(tmp_path, 20)
    with pytest.raises(ProtocolError) as caught:
        await Growth(tmp_path).prove(0, head(21))
    assert caught.value.reason is Reason.AUDIT_CHAIN_BREAK


def prune(folder: Path, segment: int, size: int) -> None:
    """Take away what lies before a segment, as `base` then says."""
    tree = Tree()
    for line in LINES[:size]:
        tree.append(merkle.leaf_hash(line))
    prev = canonical.digest(LINES[size - 1])
    base = Base(Cut(segment, size, prev, tree.subtrees), size + 1)
    (folder / beginning.BASE).write_bytes(beginning.encode(base))
    for number in range(segment):
        (folder / segments.name(number)).unlink(missing_ok=True)


async def test_what_is_left_of_a_pruned_log_is_proved_as_before(tmp_path: Path) -> None:
    write(tmp_path, 60)
    prune(tmp_path, 3, 27)
    for old in (27, 28, 32, 40, 59):
        assert proves(old, 60, await Growth(tmp_path, [old]).prove(old, head(60)))
        assert proves(old, 60, await Growth(tmp_path).prove(old, head(60)))
    with pytest.raises(PrunedError, match="27 were pruned"):
        await Growth(tmp_path).prove(26, head(60))


async def test_a_log_is_pruned_while_it_is_read(tmp_path: Path) -> None:
    write(tmp_path, 60)
    one, behind = Growth(tmp_path), Growth(tmp_path)
    await one.prove(0, head(60))
    await behind.prove(0, head(10))
    prune(tmp_path, 5, 45)
    write_more = b"".join(line + b"\n" for line in LINES[60:])
    (tmp_path / segments.name(7)).write_bytes(write_more)
    assert proves(60, 70, await one.prove(60, head(70)))
    with pytest.raises(FileNotFoundError):
        await behind.prove(10, head(70))
    assert proves(60, 70, await behind.prove(60, head(70)))
