"""`epochgate evidence` on the state folder of a sidecar."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sidecar.cli.evidence import evidence
from sidecar.core import envelope, events, marks
from sidecar.core.accepted import Accepted
from sidecar.core.objects import beat
from sidecar.sync.store import FILE
from tests import builders

TRUST = builders.make_trust()
EPOCH = builders.make_epoch(TRUST)
TWINS = tuple(builders.beat_bytes(TRUST, EPOCH, seq=7, interval_ms=ms) for ms in (500, 501))


def conflict(accepted: Accepted) -> events.Conflict:
    """Beat 7, twice."""
    _, found = [accepted.witness(builders.open_beat(raw, TRUST), raw) for raw in TWINS]
    assert found is not None
    return found


@pytest.fixture
def accepted() -> Accepted:
    """A sidecar that has seen two beats with one number."""
    accepted = Accepted(TRUST, None)
    accepted.latch(conflict(accepted))
    return accepted


def ask(folder: Path, accepted: Accepted, *options: str) -> Result:
    (folder / FILE).write_bytes(accepted.encode())
    return CliRunner().invoke(evidence, ["--state", str(folder), *options])


def test_both_sides_of_a_contradiction_are_shown(tmp_path: Path, accepted: Accepted) -> None:
    done = ask(tmp_path, accepted)
    assert done.exit_code == 0
    assert "EG803" in done.output
    assert done.output.count("epochgate.beat.v1+json 7 ") == 2


def test_the_envelopes_verify_by_themselves(tmp_path: Path, accepted: Accepted) -> None:
    """Whoever is handed them needs the trust document and nothing of ours."""
    (found,) = json.loads(ask(tmp_path, accepted, "-o", "json").output)
    raws = [item["envelope"].encode() for item in found["objects"]]
    assert set(raws) == set(TWINS)
    says = [builders.open_beat(raw, TRUST) for raw in raws]
    assert len({item.seq for item in says}) == 1
    assert len({item.sha256 for item in says}) == 2


def test_the_envelopes_are_written_as_they_were_received(
    tmp_path: Path, accepted: Accepted
) -> None:
    ask(tmp_path, accepted, "--out", str(tmp_path / "out"))
    kept = {path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert kept == set(TWINS)
    assert all(envelope.parse(raw, beat.MAX_BYTES).signatures for raw in kept)


def test_a_cleared_contradiction_is_still_shown_and_called_so(
    tmp_path: Path, accepted: Accepted
) -> None:
    name = conflict(Accepted(TRUST, None)).evidence
    accepted.add_orders([builders.make_order(TRUST, clears=name)])
    (found,) = json.loads(ask(tmp_path, accepted, "-o", "json").output)
    assert (found["evidence"], found["cleared"]) == (name, True)


def test_nothing_kept_is_said(tmp_path: Path) -> None:
    assert "no contradiction" in ask(tmp_path, Accepted(TRUST, None)).output


def test_damaged_marks_are_refused_and_left_alone(tmp_path: Path, accepted: Accepted) -> None:
    raw = accepted.encode()[:-2]
    (tmp_path / FILE).write_bytes(raw)
    done = CliRunner().invoke(evidence, ["--state", str(tmp_path)])
    assert done.exit_code == 80
    assert "keep the file" in done.output
    assert (tmp_path / FILE).read_bytes() == raw


@pytest.mark.parametrize(("options", "code"), [([], 64), (["--state", "nowhere"], 65)])
def test_what_cannot_be_shown_says_what_to_do(options: list[str], code: int) -> None:
    assert CliRunner().invoke(evidence, options).exit_code == code


def test_marks_of_another_form_are_not_mistaken_for_none(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(marks.TYPE.encode())
    assert CliRunner().invoke(evidence, ["--state", str(tmp_path)]).exit_code == 80
