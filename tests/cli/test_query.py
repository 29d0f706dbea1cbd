"""`epochgate audit query`, `stats` and `export`, as they are called."""

import json
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from sidecar.cli.audit import audit
from sidecar.core import canonical, policy, recording
from sidecar.core.gate import Denial, Gate
from sidecar.core.log.note import NoteKey
from sidecar.core.reason import Reason
from tests import builders
from tests.audit import journals
from tests.audit.journals import BOOT, KEY, make_journal


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "audit"
    make_journal(folder, records=5, signed=4)
    return folder


def call(*arguments: object) -> Result:
    return CliRunner().invoke(audit, [str(argument) for argument in arguments])


def test_a_query_shows_what_fits_one_line_each(folder: Path) -> None:
    done = call("query", folder, "--decision", "deny", "-n", 2)
    assert done.exit_code == 0
    assert [line.rpartition("id=")[2] for line in done.stdout.splitlines()] == [
        f"{BOOT}-0", f"{BOOT}-1",
    ]  # fmt: skip


@pytest.mark.parametrize("reason", ["EG905", "eg905", "starting"])
def test_a_reason_may_be_a_code_or_a_name(folder: Path, reason: str) -> None:
    assert len(call("query", folder, "--reason", reason).stdout.splitlines()) == 5


def test_json_lines_are_the_records_themselves(folder: Path) -> None:
    lines = call("query", folder, "-o", "json").stdout.splitlines()
    assert lines == (folder / "00000000.jsonl").read_text().splitlines()


def test_nothing_that_fits_exits_1(folder: Path) -> None:
    done = call("query", folder, "--route", "nowhere")
    assert (done.exit_code, done.stdout) == (1, "")


@pytest.mark.parametrize(
    ("when", "count"),
    [("2027-01-15T08:00:00.003Z", 2), ("2027-01-15T08:00:00.003", 2), ("2027-01-16", 0)],
)
def test_times_are_utc_unless_they_say_otherwise(folder: Path, when: str, count: int) -> None:
    assert len(call("query", folder, "--since", when).stdout.splitlines()) == count


def test_a_duration_is_a_time_ago(folder: Path) -> None:
    """The records are dated ahead of any clock that runs this."""
    assert len(call("query", folder, "--since", "1h").stdout.splitlines()) == 5
    assert call("query", folder, "--until", "1h").exit_code == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--since", "soon"), "must be like 15m, 2h, 1d or 2026-"),
        (("--reason", "EG999"), "is no reason; see: epochgate explain"),
        (("--type", "rumour"), "is not one of"),
    ],
)
def test_a_filter_that_makes_no_sense_is_refused(
    folder: Path, words: tuple[str, ...], says: str
) -> None:
    done = call("query", folder, *words)
    assert done.exit_code == 2
    assert says in " ".join(done.stderr.split())


def test_people_are_found_by_their_digests(tmp_path: Path) -> None:
    key = tmp_path / "digest.key"
    key.write_text(journals.DIGEST_KEY.hex() + "\n")
    snapshot = journals.make_snapshot()
    body = canonical.load(snapshot.policy.raw, policy.Body, policy.MAX_BYTES)
    asking = msgspec.structs.replace(body, audit=recording.Body(subject="x-user"))
    snapshot = replace(snapshot, policy=policy.parse(canonical.dump(asking)))
    journal = journals.open_journal(tmp_path / "audit")
    recorder = journals.make_recorder(journal, Gate())
    for who in (b"alice", b"bob", b"alice"):
        head = replace(journals.HEAD, headers=((b"x-user", who),))
        recorder.decision(Denial(Reason.POLICY_DENY, snapshot), head, None, builders.now())
    journal.close()
    found = call("query", journal.folder, "--subject", "alice", "--digest-key", key)
    assert [line.rpartition("-")[2] for line in found.stdout.splitlines()] == ["0", "2"]
    assert call("query", journal.folder, "--tenant", "alice", "--digest-key", key).exit_code == 1
    assert "needs --digest-key" in call("query", journal.folder, "--subject", "alice").stderr
    key.write_text("no key")
    done = call("query", journal.folder, "--subject", "alice", "--digest-key", key)
    assert (done.exit_code, "is not 64 hex digits" in done.stderr + done.stdout) == (65, True)


def test_stats_are_a_table_and_say_that_they_are_unverified(folder: Path) -> None:
    said = call("stats", folder).stdout
    assert said.startswith("5 records, 2027-01-15T08:00:00.000Z to 2027-01-15T08:00:00.004Z; unv")
    assert "deny      EG905 starting  -      5      100.0%" in said
    assert "ended: 5 deny" in said


def test_stats_for_programs(folder: Path) -> None:
    said = json.loads(call("stats", folder, "-o", "json").stdout)
    assert said["decisions"] == [{"decision": "deny", "reason": "EG905", "route": None, "count": 5}]
    assert (said["records"], said["verified"]) == ({"decision": 5}, False)


def test_stats_of_nothing_say_so(folder: Path) -> None:
    assert call("stats", folder, "--decision", "permit").stdout == "no record fits\n"


def test_several_journals_are_counted_together(tmp_path: Path) -> None:
    for name in ("worker-0", "worker-1"):
        make_journal(tmp_path / name, 3, 3)
    assert json.loads(call("stats", tmp_path, "-o", "json").stdout)["records"] == {"decision": 6}


def test_an_export_says_what_it_holds(folder: Path, tmp_path: Path) -> None:
    done = call("export", folder, tmp_path / "to")
    assert done.stdout == f"4 records of {KEY.name}: {tmp_path / 'to'}\n"
    assert (tmp_path / "to" / "checkpoint").exists()


def test_each_of_several_journals_has_its_own_copy(tmp_path: Path) -> None:
    for name in ("worker-0", "worker-1"):
        make_journal(tmp_path / "audit" / name, 3, 3)
    assert call("export", tmp_path / "audit", tmp_path / "to").exit_code == 0
    assert (tmp_path / "to" / "worker-1" / "checkpoint").exists()


def test_what_cannot_be_exported_is_one_error(folder: Path, tmp_path: Path) -> None:
    other = NoteKey("epochgate/test/pod-2", KEY.public)
    done = call("export", folder, tmp_path / "to", "--key", other)
    assert (done.exit_code, done.stdout) == (81, "")
    assert f"no key: {folder} is the log {KEY.name}" in done.stderr
    path = folder / "00000000.jsonl"
    path.write_bytes(path.read_bytes().replace(b"EG905", b"EG904", 1))
    done = call("export", folder, tmp_path / "to")
    assert done.exit_code == 80
    assert "not those of the checkpoint" in done.stderr
    assert not (tmp_path / "to" / "checkpoint").exists()
