"""Whether what runs here is what the epoch says may run.

Rules:

* Digests are compared with what the epoch signed, never with what a machine remembers.
* Unknown is a mismatch: a file that is missing, cannot be read, changed and is being read again, or
  is not declared here. Only what nobody demands may be unknown.
* Nothing measured, or nothing measured lately, is a reason of its own (EG404): it says that the
  measuring is at fault, not the thing measured.

What a process says about its own code finds mistakes and drift, not a sidecar that somebody
replaced by one that lies: that takes the image digest and whoever admits images.

Source: protocol b.1 (runtime), b.8 item 4.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sidecar.core import canonical
from sidecar.core.instant import NS_PER_MS, Now
from sidecar.core.objects import epoch, report
from sidecar.core.reason import Reason
from sidecar.core.snapshot import Hold, HoldKind, Snapshot

REASONS = (
    Reason.CODE_DIGEST_MISMATCH,
    Reason.CONFIG_DIGEST_MISMATCH,
    Reason.MODEL_DIGEST_MISMATCH,
    Reason.INTEGRITY_STALE,
)


@dataclass(frozen=True, slots=True)
class Measurement:
    """What was found at one look.

    Attributes:
        code_sha256: Of the sidecar's own installed code, hex; None: could not be read, or changed
            and is being read again. Likewise the others.
        config_sha256: Of the effective configuration.
        image_digest: What the platform says about the image; None: it says nothing.
        models: Name -> digest, for each file that the configuration declares.
        measured: When this look began: everything was as said then, or later.
        duration_ms: How long reading all of it took.
    """

    code_sha256: str | None
    config_sha256: str | None
    image_digest: str | None
    models: Mapping[str, str | None]
    measured: Now
    duration_ms: int


def judge(
    says: epoch.Runtime, found: Measurement | None, now: Now, max_age_ms: int
) -> tuple[Reason, ...]:
    """Why this process must not serve under an epoch.

    Args:
        says: What the epoch demands.
        found: The latest measurement, or None before the first.
        now: Both clocks.
        max_age_ms: How old a measurement may be, by the boot clock.

    Returns:
        Reasons without repeats, in the order of their codes; none: it holds.
    """
    if says == epoch.NO_DEMANDS:
        return ()
    if found is None:
        return (Reason.INTEGRITY_STALE,)
    return tuple(dict.fromkeys(_reasons(says, found, now, max_age_ms)))


def _reasons(
    says: epoch.Runtime, found: Measurement, now: Now, max_age_ms: int
) -> Iterator[Reason]:
    if says.code_sha256 and found.code_sha256 not in says.code_sha256:
        yield Reason.CODE_DIGEST_MISMATCH
    # An image is code as well, only more of it: the interpreter and the libraries are in it.
    if says.image_digests and found.image_digest not in says.image_digests:
        yield Reason.CODE_DIGEST_MISMATCH
    if says.config_sha256 and found.config_sha256 not in says.config_sha256:
        yield Reason.CONFIG_DIGEST_MISMATCH
    if any(found.models.get(name) != sha256 for name, sha256 in says.model_digests.items()):
        yield Reason.MODEL_DIGEST_MISMATCH
    # The future counts as old: such a measurement is none of this boot.
    age_ms = (now.boot - found.measured.boot) // NS_PER_MS
    if not 0 <= age_ms <= max_age_ms:
        yield Reason.INTEGRITY_STALE


class Integrity:
    """The latest measurement, and what follows from it.

    Args:
        max_age_ms: How old a measurement may be.

    Attributes:
        found: The latest measurement, or None before the first.
    """

    def __init__(self, max_age_ms: int) -> None:
        self._max_age_ms = max_age_ms
        self.found: Measurement | None = None

    def judge(self, says: epoch.Runtime, now: Now) -> tuple[Reason, ...]:
        """Why this process must not serve under an epoch; none: it holds."""
        return judge(says, self.found, now, self._max_age_ms)

    @property
    def evidence(self) -> Mapping[str, str | int | list[str]]:
        """What was found, as a step of the lifecycle writes it down; what is unknown is left out.

        One digest stands for all files: their number is up to whoever configures them.
        """
        if self.found is None:
            return {}
        models = canonical.digest(canonical.encode(dict(self.found.models)))
        said = {"code": self.found.code_sha256, "config": self.found.config_sha256}
        known: dict[str, str | int | list[str]] = {key: one for key, one in said.items() if one}
        return known | {"models": models}

    @property
    def reported(self) -> report.Measured:
        """What was found, as a report says it."""
        if self.found is None:
            return report.NOT_MEASURED
        return report.Measured(
            code_sha256=self.found.code_sha256,
            config_sha256=self.found.config_sha256,
            image_digest=self.found.image_digest,
            models=dict(self.found.models),
        )

    def holds(self, snapshot: Snapshot, now: Now) -> tuple[Hold, ...]:
        """What holds a lease that was granted before something changed.

        They are passing: a later measurement that matches lifts them. Without a lease there is
        nothing to hold, and why there is none says more.
        """
        if snapshot.lease is None or snapshot.epoch is None:
            return ()
        reasons = self.judge(snapshot.epoch.says.runtime, now)
        return tuple(Hold(reason, HoldKind.PASSING) for reason in reasons)
