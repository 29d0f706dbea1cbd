"""How far a log is signed, and that not knowing it is noticed."""

from pathlib import Path

from sidecar.audit import checkpoints
from sidecar.audit.sinks.sealed import Sealed
from sidecar.core.log.checkpoint import Checkpoint
from sidecar.signer import FileSigner
from tests.audit.journals import KEY, ORIGIN, SIGNER, write_checkpoint
from tests.audit.sinks.parts import Clock


def sign(folder: Path, size: int, signer: FileSigner = SIGNER) -> None:
    checkpoints.write(folder, checkpoints.seal(Checkpoint(ORIGIN, size, bytes(32)), signer))


def look(sealed: Sealed) -> None:
    sealed.begin()
    sealed.take(sealed.look())


def test_growth_is_told_once_and_a_smaller_checkpoint_changes_nothing(
    folder: Path, clock: Clock
) -> None:
    sealed, told = Sealed(folder, KEY, clock), list[int]()
    sealed.grew.append(told.append)
    for size in (10, 10, 12, 11, 12, 13):
        sign(folder, size)
        look(sealed)
    assert told == [10, 12, 13]
    assert sealed.size == 13


def test_a_log_that_was_not_begun_holds_nothing(tmp_path: Path, clock: Clock) -> None:
    sealed = Sealed(tmp_path / "none", KEY, clock)
    look(sealed)
    assert (sealed.size, sealed.why) == (0, "")


def test_what_cannot_be_told_counts_from_the_look_that_did_not_succeed(
    folder: Path, clock: Clock
) -> None:
    sealed = Sealed(folder, KEY, clock)
    look(sealed)
    sign(folder, 15, FileSigner(bytes(32)))
    clock.ms = 1000
    look(sealed)
    clock.ms = 4000
    assert sealed.why
    assert sealed.blind_ms(clock()) == 3000
    (folder / checkpoints.CHECKPOINT).unlink()
    (folder / checkpoints.CHECKPOINT).mkdir()
    look(sealed)
    assert sealed.blind_ms(clock()) == 3000
    (folder / checkpoints.CHECKPOINT).rmdir()
    write_checkpoint(folder, [b"x"] * 12)
    look(sealed)
    assert (sealed.why, sealed.blind_ms(clock()), sealed.size) == ("", 0, 12)


def test_a_look_that_hangs_counts(folder: Path, clock: Clock) -> None:
    """A disk that does not answer: `take` is never called."""
    sealed = Sealed(folder, KEY, clock)
    sealed.begin()
    clock.ms = 500
    sealed.begin()
    assert sealed.blind_ms(clock()) == 500
