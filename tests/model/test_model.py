"""Every variant of every model comes out as expected; and the driver sees what it should see."""

import re
from pathlib import Path

import pytest

from tests.model import __main__ as command
from tests.model import spin
from tests.model.spin import MissingToolError, ModelError, Result
from tests.model.variants import ALL, FOLDER, LEASE, Variant

README = FOLDER / "README.md"
SOURCES = FOLDER.parent.parent / "sidecar"
# core/lease.py: grant, Lease.live
NAMED = re.compile(r"  ([a-z_/]+\.py)(?:: ([A-Za-z_.]+(?:, [A-Za-z_.]+)*))?")
HOLDS = "State-vector 36 byte, depth reached 12, errors: 0\n       21 states, stored\n"
VIOLATED = (
    "pan:1: assertion violated  !(late) (at depth 11)\n"
    "State-vector 36 byte, depth reached 12, errors: 1\n       21 states, stored\n"
)


def header(path: Path) -> str:
    return path.read_text("utf-8").partition("*/")[0]


def variant(breaks: str | None = None) -> Variant:
    return Variant("lease", "planted", "a planted one", ("END=1",), breaks)


def skip_without_tools() -> None:
    try:
        spin.need_tools()
    except MissingToolError as error:
        pytest.skip(str(error))


@pytest.mark.slow
@pytest.mark.parametrize("one", ALL, ids=[one.id for one in ALL])
def test_a_model_holds_or_is_violated_for_the_reason_that_its_row_states(
    one: Variant, tmp_path: Path
) -> None:
    skip_without_tools()
    result = spin.run(one, tmp_path)
    assert result.seen == one.expected


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.pml")), ids=lambda path: path.stem)
def test_a_model_says_first_what_it_stands_for(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.startswith("/* ")
    for head in ("WHAT IS MODELLED", "THE RULES", "ASSUMED", "SHOWN"):
        assert f"\n{head}" in header(path)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.pml")), ids=lambda path: path.stem)
def test_the_code_that_a_model_stands_for_is_there(path: Path) -> None:
    """A rule that moved or went away has to be looked for, and its model looked at."""
    named = NAMED.findall(header(path))
    assert named
    for file, names in named:
        code = (SOURCES / file).read_text("utf-8")
        for name in filter(None, names.split(", ")):
            assert f"def {name.rpartition('.')[2]}(" in code, (file, name)


def test_every_model_is_run_and_is_shown_to_do_something() -> None:
    """A model in which nothing happens would hold whatever was asserted."""
    files = {path.stem for path in FOLDER.glob("*.pml")}
    assert files == {one.model for one in ALL if one.breaks == "happened"}
    assert files == {one.model for one in ALL if one.breaks is None}


def test_names_are_unique() -> None:
    assert len({one.id for one in ALL}) == len(ALL)


def test_the_table_of_the_readme_has_every_row() -> None:
    """Mend with: python -m tests.model, and paste."""
    lines = [
        [cell.strip() for cell in line.strip("| ").split("|")]
        for line in README.read_text("utf-8").splitlines()
        if line.startswith("| ")
    ]
    shown = [tuple(line[:5]) for line in lines if len(line) == len(command.HEADS)][2:]
    wanted = [(one.model, one.name, one.about, one.expected, one.expected) for one in ALL]
    assert shown == wanted


def test_a_search_that_came_to_its_end_without_an_error_holds() -> None:
    result = spin.read(variant(), HOLDS, 0.5)
    assert (result.seen, result.states, result.as_expected) == ("holds", 21, True)


def test_a_violation_is_known_by_its_property() -> None:
    assert spin.read(variant("late"), VIOLATED, 0.5).as_expected
    assert not spin.read(variant("renewed"), VIOLATED, 0.5).as_expected
    assert not spin.read(variant(), VIOLATED, 0.5).as_expected
    assert not spin.read(variant("late"), HOLDS, 0.5).as_expected


@pytest.mark.parametrize(
    "told",
    [
        f"error: max search depth too small\n{HOLDS}",
        f"Warning: Search not completed\n{HOLDS}",
        "pan: out of memory\n",
        "",
        HOLDS.replace("errors: 0", "errors: 1"),
    ],
)
def test_a_search_that_proves_nothing_does_not_hold(told: str) -> None:
    with pytest.raises(ModelError):
        spin.read(variant(), told, 0.5)


def test_a_model_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    skip_without_tools()
    with pytest.raises(ModelError, match="syntax error"):
        spin.run(Variant("lease", "planted", "", ("V=+",)), tmp_path)


def test_missing_tools_are_named_with_a_way_to_get_them(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert command.main(["lease/pause"]) == command.UNAVAILABLE
    said = capsys.readouterr().err
    assert "not found: spin and gcc" in said
    assert "apt-get install" in said


def test_a_variant_that_comes_out_otherwise_fails_the_run(
    capsys: pytest.CaptureFixture[str],
) -> None:
    skip_without_tools()
    late = next(one for one in LEASE if one.name == "pause")
    wrong = Variant(late.model, late.name, late.about, late.defines, breaks=None)
    assert command.main(["lease"], [late]) == 0
    assert command.main(["lease"], [late, wrong]) == 1
    assert "lease/pause: expected holds, seen violated: late" in capsys.readouterr().out


def test_the_steps_to_a_violation_can_be_seen(capsys: pytest.CaptureFixture[str]) -> None:
    skip_without_tools()
    late = next(one for one in LEASE if one.name == "pause")
    assert command.main(["lease/pause", "--trail"], [late]) == 0
    assert "text of failed assertion: assert(!(late))" in capsys.readouterr().out


def test_an_unknown_name_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["leese"]) == command.USAGE
    assert "there are lease, nonce" in capsys.readouterr().err


def test_the_table_is_aligned() -> None:
    lines = command.table([Result(one, one.breaks, 1_234, 0.25) for one in LEASE])
    assert len({len(line) for line in lines}) == 1
    assert len(lines) == len(LEASE) + 2
