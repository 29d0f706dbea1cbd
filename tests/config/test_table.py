"""The one table of knobs agrees with the sections that it fills."""

import dataclasses

import pytest

from sidecar.config import sections
from sidecar.config.table import AUTHORITY_FIELDS, KINDS, SIDECAR_FIELDS, Field, Unit

FIELDS = [*SIDECAR_FIELDS, *AUTHORITY_FIELDS]
FILLED = {
    "sync": sections.Sync,
    "limits": sections.Limits,
    "timeouts": sections.Timeouts,
    "audit": sections.Audit,
    "drain": sections.Drain,
    "integrity": sections.Integrity,
    "beat": sections.Beat,
}


@pytest.mark.parametrize(("prefix", "section"), FILLED.items())
def test_a_section_is_filled_exactly(prefix: str, section: type) -> None:
    """A field without a key could never be set; a key without a field would be ignored."""
    keys = sorted(field.attribute for field in FIELDS if field.path.startswith(f"{prefix}."))
    assert keys == sorted(item.name for item in dataclasses.fields(section))


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.path)
def test_every_knob_says_what_it_does(field: Field) -> None:
    assert field.about


@pytest.mark.parametrize("field", [f for f in FIELDS if f.high], ids=lambda field: field.path)
def test_a_default_is_inside_its_bounds(field: Field) -> None:
    assert field.low <= field.high
    assert field.required or isinstance(field.default, int)
    assert field.required or field.low <= field.default <= field.high  # type: ignore[operator]


def test_what_changes_the_guarantee_has_no_default() -> None:
    required = {field.path for field in SIDECAR_FIELDS if field.required}
    assert {"sync.quorum", "sync.ttl", "sync.skew", "sync.drift", "sync.peers"} <= required
    assert "trust.file" in required


@pytest.mark.parametrize("kind", KINDS)
def test_no_two_knobs_share_a_variable(kind: str) -> None:
    variables = [field.variable for field in KINDS[kind]]
    assert len(set(variables)) == len(variables)


def test_variables_are_upper_case_words() -> None:
    named = {field.path: field.variable for field in FIELDS}
    assert named["sync.poll"] == "EPOCHGATE_SYNC__POLL"
    assert named["audit.unsyncedMax"] == "EPOCHGATE_AUDIT__UNSYNCED_MAX"
    assert named["warmConnections"] == "EPOCHGATE_WARM_CONNECTIONS"


def test_values_are_shown_as_they_are_written() -> None:
    assert Field("x", Unit.PPM, "").show(2000) == "2000ppm"
    assert Field("x", Unit.DURATION, "").show(90_000) == "90s"
    assert Field("x", Unit.SIZE, "").show(65536) == "64KiB"
    assert Field("x", Unit.COUNT, "").show(3) == "3"
