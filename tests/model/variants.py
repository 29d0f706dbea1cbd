"""Every model, every way it is run, and what is expected of each.

`breaks` names the property that has to be the one violated: a variant that fails for another reason
than the stated one is as wrong as one that holds.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True)
class Variant:
    """One run of one model.

    Attributes:
        model: File name without its ending.
        name: Short, unique within the model.
        about: What is different from the rules, in words.
        defines: Preprocessor names, as `NAME` or `NAME=value`.
        breaks: The property that is violated, or None: everything that is asserted holds.
    """

    model: str
    name: str
    about: str
    defines: tuple[str, ...] = ()
    breaks: str | None = None

    @property
    def path(self) -> Path:
        """Its file."""
        return FOLDER / f"{self.model}.pml"

    @property
    def id(self) -> str:
        """What it is called on the command line."""
        return f"{self.model}/{self.name}"

    @property
    def expected(self) -> str:
        """In a table."""
        return "holds" if self.breaks is None else f"violated: {self.breaks}"


def _variant(
    model: str, name: str, about: str, defines: str = "", breaks: str | None = None
) -> Variant:
    return Variant(model, name, about, tuple(defines.split()), breaks)


_lease, _nonce, _restart, _rotation, _halt = (
    partial(_variant, model) for model in ("lease", "nonce", "restart", "rotation", "halt")
)

LEASE = (
    _lease("rules", "all peers hostile"),
    _lease("quorum", "one hostile peer of three, lost writes", "HOSTILE=1 END=7"),
    _lease("happens", "it is no empty model", "HOSTILE=1 HAPPENS", "happened"),
    _lease("quorum-of-one", "one peer is enough to run", "HOSTILE=1 QUORUM=1", "renewed"),
    _lease("pause", "a pause between check and write", "PAUSE", "late"),
    _lease("pause-checked-again", "and a check after the write", "PAUSE TAKEN_BACK"),
    _lease("pause-fence", "and a receiver that checks", "PAUSE FENCE"),
    _lease("lag", "a wall clock one tick beyond the budget", "BEHIND=2", "late"),
    _lease("local", "counted from the local read time", "LOCAL", "late"),
    _lease("receipt", "counted from the receipt, boot clock alone", "RECEIPT BOOT_ONLY", "late"),
    _lease("receipt-two-clocks", "and the wall deadline as well", "RECEIPT"),
    _lease("suspend", "a boot clock that may stand still", "BOOT_STANDS"),
    _lease("suspend-one-clock", "and no wall deadline", "BOOT_STANDS BOOT_ONLY", "late"),
    _lease("set-back", "wall clock set back: late by V + SIGMA", "SET_BACK V=2 END=8"),
    _lease("set-back-latest", "and only the latest beat as proof of time",
           "SET_BACK V=2 END=8 LATEST_ONLY", "late"),
    _lease("set-back-believed", "and no proof of time at all",
           "SET_BACK V=2 END=8 NOT_CORRECTED", "late"),
)  # fmt: skip

NONCE = (
    _nonce("rules", "all peers hostile, any wall clock"),
    _nonce("happens", "it is no empty model", "HAPPENS", "happened"),
    _nonce("receipt", "counted from the receipt of the beat", "FROM_RECEIPT", "late"),
    _nonce("issued-first", "issued_at sampled before the reports are read", "ISSUED_FIRST", "late"),
)

RESTART = (
    _restart("rules", "stored, then published; a halt"),
    _restart("latch", "the same, with a latched hold", "LATCH"),
    _restart("happens", "it is no empty model", "HAPPENS", "happened"),
    _restart("published-first", "published, then stored", "PUBLISH_FIRST NO_HOLD", "back"),
    _restart("not-flushed", "a write counts before it is flushed", "NOT_FLUSHED NO_HOLD", "back"),
    _restart("corrupt-is-absent", "damaged is a first boot", "CORRUPT_IS_ABSENT NO_HOLD", "back"),
    _restart("restored", "an old file is put back", "RESTORED NO_HOLD", "back"),
    _restart("restored-bound", "what fresh beats bind, all the same", "RESTORED ONLY_BOUND END=4"),
    _restart("restored-latch", "what no beat binds", "RESTORED ONLY_BOUND LATCH", "unpinned"),
)

ROTATION = (
    _rotation("rules", "retired root keys leak"),
    _rotation("happens", "it is no empty model", "HAPPENS", "happened"),
    _rotation("stolen", "a stolen beat key, revoked by version 2, all peers", "STOLEN"),
    _rotation("stolen-no-limit", "the same key without not_after", "STOLEN LAPSE=99"),
    _rotation("stolen-withheld", "the limit: until version 2 arrives", "STOLEN LIMIT", "withheld"),
    _rotation("not-lapsed", "not_after is not looked at", "STOLEN NOT_LAPSED", "outlived"),
    _rotation("revoked-counts", "a revoked key still counts", "STOLEN REVOKED_COUNTS", "revoked"),
    _rotation("unbound", "beats that do not bind trust", "UNBOUND", "withheld"),
    _rotation("skipped", "a version is skipped", "SKIPPED", "forged"),
    _rotation("own-threshold", "the new threshold alone", "OWN_THRESHOLD", "forged"),
    _rotation("used-first", "used, then stored; a crash", "USED_FIRST ROOT_SAFE", "back"),
    _rotation("used-first-leak", "and retired root keys leak", "USED_FIRST ONLY_FORGED", "forged"),
    _rotation("root-leaks-early", "the limit: root keys stolen in time", "LEAKS_EARLY", "forged"),
)

HALT = (
    _halt("rules", "clock anchor, authority stopped anywhere"),
    _halt("nonce", "nonce anchor", "NONCE END=4"),
    _halt("happens", "it is no empty model", "HAPPENS", "happened"),
    _halt("issued-first", "issued_at sampled before the reads", "NONCE ISSUED_FIRST", "late"),
    _halt("quorum-stops", "a quorum is needed to stop", "QUORUM_STOPS", "deaf"),
    _halt("not-pinned", "beats that do not pin the orders", "NOT_PINNED", "over"),
    _halt("forgetful", "an older beat lifts what a beat demanded", "FORGETFUL", "lifted"),
    _halt("look-first", "the look before issued_at, then stopped", "LOOK_FIRST", "over"),
    _halt("look-first-nonce", "the same, nonce anchor", "LOOK_FIRST NONCE END=4", "over"),
)

ALL = (*LEASE, *NONCE, *RESTART, *ROTATION, *HALT)
