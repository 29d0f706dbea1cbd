"""What was measured against what the epoch demands."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from sidecar.config.table import FILES_MAX
from sidecar.core.instant import Now
from sidecar.core.objects import epoch, report
from sidecar.core.objects.epoch import NO_DEMANDS, Runtime
from sidecar.core.reason import Reason
from sidecar.core.runtime import Integrity, Measurement, judge
from sidecar.core.snapshot import CLOSED, Hold, HoldKind
from tests.builders import make_epoch, make_trust, now

MAX_AGE_MS = 5_000
ONE, TWO = "1" * 64, "2" * 64
FOUND = Measurement(ONE, ONE, "sha256:one", {"weights": ONE, "gone": None}, now(0), 7)
CODE, CONFIG, MODEL, STALE = (
    Reason.CODE_DIGEST_MISMATCH,
    Reason.CONFIG_DIGEST_MISMATCH,
    Reason.MODEL_DIGEST_MISMATCH,
    Reason.INTEGRITY_STALE,
)


def demands(**changes: Any) -> Runtime:
    return msgspec.structs.replace(NO_DEMANDS, **changes)


@pytest.mark.parametrize(
    ("says", "expected"),
    [
        (demands(), ()),
        (demands(code_sha256=(ONE,)), ()),
        (demands(code_sha256=(TWO, ONE)), ()),
        (demands(code_sha256=(TWO,)), (CODE,)),
        (demands(image_digests=("sha256:one",)), ()),
        (demands(image_digests=("sha256:two",)), (CODE,)),
        (demands(code_sha256=(TWO,), image_digests=("sha256:two",)), (CODE,)),
        (demands(config_sha256=(ONE,)), ()),
        (demands(config_sha256=(TWO,)), (CONFIG,)),
        (demands(model_digests={"weights": ONE}), ()),
        (demands(model_digests={"weights": TWO}), (MODEL,)),
        (demands(model_digests={"weights": ONE, "undeclared": ONE}), (MODEL,)),
        (demands(model_digests={"gone": ONE}), (MODEL,)),
        (
            demands(code_sha256=(TWO,), config_sha256=(TWO,), model_digests={"weights": TWO}),
            (CODE, CONFIG, MODEL),
        ),
    ],
)
def test_what_is_demanded_has_to_be_what_was_found(
    says: Runtime, expected: tuple[Reason, ...]
) -> None:
    assert judge(says, FOUND, now(0), MAX_AGE_MS) == expected


@pytest.mark.parametrize(
    ("says", "expected"),
    [
        (demands(code_sha256=(ONE,)), (CODE,)),
        (demands(image_digests=("sha256:one",)), (CODE,)),
        (demands(config_sha256=(ONE,)), (CONFIG,)),
    ],
)
def test_what_is_unknown_is_a_mismatch(says: Runtime, expected: tuple[Reason, ...]) -> None:
    unknown = replace(FOUND, code_sha256=None, config_sha256=None, image_digest=None)
    assert judge(says, unknown, now(0), MAX_AGE_MS) == expected


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (now(0), ()),
        (now(MAX_AGE_MS), ()),
        (now(MAX_AGE_MS + 1), (STALE,)),
        (now(-1), (STALE,)),
        (Now(now(0).boot, now(10 * MAX_AGE_MS).wall), ()),  # the wall clock has no say
    ],
)
def test_a_measurement_ages_by_the_boot_clock(at: Now, expected: tuple[Reason, ...]) -> None:
    assert judge(demands(code_sha256=(ONE,)), FOUND, at, MAX_AGE_MS) == expected


def test_nothing_measured_is_stale_and_only_where_something_is_demanded() -> None:
    assert judge(demands(code_sha256=(ONE,)), None, now(0), MAX_AGE_MS) == (STALE,)
    assert judge(NO_DEMANDS, None, now(0), MAX_AGE_MS) == ()
    assert judge(NO_DEMANDS, FOUND, now(MAX_AGE_MS * 2), MAX_AGE_MS) == ()


def test_an_old_mismatch_is_told_as_both() -> None:
    says = demands(code_sha256=(TWO,))
    assert judge(says, FOUND, now(MAX_AGE_MS + 1), MAX_AGE_MS) == (CODE, STALE)


def test_nothing_is_held_without_a_lease() -> None:
    """Why there is no lease says more than what would forbid one."""
    demanding = make_epoch(make_trust(), runtime=demands(code_sha256=(TWO,)))
    integrity = Integrity(MAX_AGE_MS)
    integrity.found = FOUND
    assert integrity.judge(demanding.says.runtime, now(0)) == (CODE,)
    assert integrity.holds(CLOSED, now(0)) == ()
    assert integrity.holds(replace(CLOSED, epoch=demanding), now(0)) == ()
    assert Hold(CODE, HoldKind.PASSING) not in CLOSED.holds


def test_every_demand_is_judged() -> None:
    """A demand that is added to the epoch must not be one that nobody looks at."""
    assert set(Runtime.__struct_fields__) == {
        "image_digests", "code_sha256", "config_sha256", "model_digests",
    }  # fmt: skip
    assert demands() == epoch.NO_DEMANDS


def test_what_was_found_is_evidence_and_fits_into_a_report_at_its_largest() -> None:
    integrity = Integrity(MAX_AGE_MS)
    assert (integrity.evidence, integrity.reported) == ({}, report.NOT_MEASURED)
    integrity.found = FOUND
    assert set(integrity.evidence) == {"code", "config", "models"}
    integrity.found = replace(FOUND, code_sha256=None)
    assert "code" not in integrity.evidence
    names = [f"{number:063}" for number in range(FILES_MAX)]
    integrity.found = Measurement(ONE, ONE, "x" * 512, dict.fromkeys(names, ONE), now(0), 1)
    said = integrity.reported
    assert said == msgspec.convert(msgspec.to_builtins(said), report.Measured)
    assert len(msgspec.json.encode(said)) * 4 // 3 < report.MAX_BYTES // 2
