"""Where records come from: a journal, several, an export, a file; verified, or said not to be."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from sidecar.audit import checkpoints, prune
from sidecar.cli.audit import audit
from sidecar.cli.source import load_policy
from sidecar.cli.workbench import logs
from sidecar.cli.workbench.judging import Candidate, Replay, Terms
from sidecar.core.log.note import NoteKey
from tests.audit import journals
from tests.cli.workbench.made import CHAT, policy_file, request, table_file, write_log

COUNT = 5


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    file = policy_file(tmp_path, "p", [CHAT])
    requests = [request("GET", "/v1/chat")] * COUNT
    return write_log(tmp_path / "audit", file, table_file(tmp_path), requests)


def read(place: Path, *keys: NoteKey, verify: bool = True) -> list[logs.Source]:
    file = policy_file(place.parent, "p", [CHAT])
    trial = Candidate(load_policy(file), Terms())
    return list(logs.read(place, keys, lambda: Replay(trial, None, None), verify=verify))


def only(place: Path, *keys: NoteKey, verify: bool = True) -> logs.Source:
    (found,) = read(place, *keys, verify=verify)
    return found


def export(folder: Path) -> Path:
    to = folder.parent / "export"
    done = CliRunner().invoke(audit, ["export", str(folder), str(to)])
    assert done.exit_code == 0, done.output
    return to


def test_a_journal_is_verified_with_a_key_that_was_given(folder: Path) -> None:
    found = only(folder, journals.KEY)
    assert (found.kind, found.result, found.replay.flips.records) == ("journal", "verified", COUNT)
    assert not any("lies beside the log" in why for why in found.why)


def test_a_key_beside_the_log_leaves_something_open(folder: Path) -> None:
    found = only(folder)
    assert found.result == "verified"
    assert "lies beside the log" in found.why[0]


def test_without_a_key_only_the_chain_is_checked_and_that_is_said(folder: Path) -> None:
    (folder / checkpoints.VKEY).unlink()
    found = only(folder)
    assert (found.result, found.replay.flips.records) == ("not verified", COUNT)
    assert "no key to check it with; give --key" in found.why


@pytest.mark.parametrize("kind", ["journal", "export"])
def test_a_changed_record_fails_and_only_reading_does_not_see_it(folder: Path, kind: str) -> None:
    place = folder if kind == "journal" else export(folder)
    for path in place.rglob("*"):
        if path.is_file() and b'"GET"' in path.read_bytes():
            path.write_bytes(path.read_bytes().replace(b'"GET"', b'"PUT"', 1))
    assert only(place, journals.KEY).result == "failed"
    assert only(place, journals.KEY, verify=False).result == "not verified"


def test_an_export_is_verified_or_read(folder: Path) -> None:
    to = export(folder)
    found = only(to, journals.KEY)
    assert (found.kind, found.result, found.replay.flips.records) == ("export", "verified", COUNT)
    for one in (only(to), only(to, journals.KEY, verify=False)):  # no key lies beside an export
        assert (one.result, one.replay.flips.records) == ("not verified", COUNT)


def test_an_export_that_lacks_a_file_fails(folder: Path) -> None:
    to = export(folder)
    next(path for path in (to / "tile" / "entries").rglob("*") if path.is_file()).unlink()
    found = only(to, journals.KEY)
    assert (found.result, "is missing" in found.why[0]) == ("failed", True)


def test_a_log_of_more_than_one_bundle_is_read_to_its_end(tmp_path: Path) -> None:
    file = policy_file(tmp_path, "p", [CHAT])
    requests = [request("GET", "/v1/chat")] * 300
    folder = write_log(tmp_path / "audit", file, table_file(tmp_path), requests)
    assert only(export(folder), verify=False).replay.flips.decisions == 300


def test_a_file_of_records_is_read_and_what_is_none_is_counted(folder: Path) -> None:
    file = folder.parent / "some.jsonl"
    file.write_bytes((folder / "00000000.jsonl").read_bytes() + b"no record\n")
    found = only(file)
    assert (found.kind, found.result) == ("file", "not verified")
    assert (found.replay.flips.records, found.replay.flips.unreadable) == (COUNT, 1)


def test_a_log_for_each_process_is_read(folder: Path, tmp_path: Path) -> None:
    parent = tmp_path / "all"
    parent.mkdir()
    folder.rename(parent / "worker-0")
    (found,) = read(parent)
    assert (found.path, found.result) == (parent / "worker-0", "verified")


def test_of_an_attempt_that_was_given_up_nothing_is_counted(tmp_path: Path) -> None:
    folder = tmp_path / "audit"
    lines = journals.make_journal(folder, 20, 20, segment_bytes=1500)
    begins = journals.announce(folder, lines, 2)
    journals.write_checkpoint(folder, lines)
    trial = Candidate(load_policy(policy_file(tmp_path, "p", [CHAT])), Terms())
    asked = 0

    def begin() -> Replay:
        nonlocal asked
        asked += 1
        if asked == 2:  # the first attempt has begun
            prune.carry_out(folder, begins)
        return Replay(trial, None, None)

    (found,) = logs.read(folder, [journals.KEY], begin, verify=True)
    assert found.result == "verified"
    assert found.replay.flips.records == len(lines) - begins.pruned
