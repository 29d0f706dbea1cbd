"""`epochgate audit`, as it is called."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sidecar.audit.journal import Journal
from sidecar.cli.audit import audit
from sidecar.core.gate import Gate
from sidecar.core.head import RequestHead
from sidecar.core.log.note import NoteKey
from sidecar.signer import FileSigner
from tests import builders
from tests.audit import journals
from tests.audit.journals import DENIAL, KEY, make_journal


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "audit"
    make_journal(folder, records=5, signed=3)
    return folder


def call(*arguments: object) -> Result:
    return CliRunner().invoke(audit, [str(argument) for argument in arguments])


def spoil(folder: Path) -> None:
    path = folder / "00000000.jsonl"
    path.write_bytes(path.read_bytes().replace(b"EG905", b"EG904", 1))


def test_an_untouched_journal_verifies_with_a_key(folder: Path) -> None:
    done = call("verify", folder, "--key", KEY)
    assert done.exit_code == 0
    assert done.stdout.startswith("verified: 5 records")
    assert "not checked  the 2 records after the checkpoint" in done.stdout
    assert "log.vkey" not in done.stdout


def test_the_key_beside_the_log_is_used_and_called_what_it_is(folder: Path) -> None:
    done = call("verify", folder)
    assert done.exit_code == 0
    assert "not checked  the key: log.vkey lies beside the log" in done.stdout


def test_the_key_can_come_from_a_file(folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    assert call("verify", folder, "--key-file", file).exit_code == 0


def test_a_changed_record_exits_80_and_is_named(folder: Path) -> None:
    spoil(folder)
    done = call("verify", folder)
    assert done.exit_code == 80
    assert "failed: 1 records" in done.stdout
    assert "wrong        record 1, 00000000.jsonl, byte " in done.stdout


def test_the_key_of_somebody_else_exits_80(folder: Path) -> None:
    other = FileSigner(hashlib.sha256(b"other").digest())
    assert call("verify", folder, "--key", NoteKey(KEY.name, other.public)).exit_code == 80


@pytest.mark.parametrize("missing", ["log.vkey", "checkpoint"])
def test_nothing_to_verify_against_exits_81(folder: Path, missing: str) -> None:
    (folder / missing).unlink()
    done = call("verify", folder)
    assert done.exit_code == 81
    assert done.stdout.startswith("unverifiable: 5 records")


def test_a_damaged_chain_fails_even_without_a_key(folder: Path) -> None:
    (folder / "log.vkey").unlink()
    spoil(folder)
    assert call("verify", folder).exit_code == 80


def test_the_report_as_json_has_everything(folder: Path) -> None:
    value = json.loads(call("verify", folder, "-o", "json").stdout)
    assert (value["result"], value["records"], value["tail_records"]) == ("verified", 5, 2)
    assert value["checkpoint"]["size"] == 3
    assert value["fault"] is None
    assert value["checked"]
    assert value["unchecked"]
    spoil(folder)
    value = json.loads(call("verify", folder, "-o", "json").stdout)
    assert (value["result"], value["fault"]["index"]) == ("failed", 1)


@pytest.mark.parametrize("key", ["", "x", "name+00000000+AAAA"])
def test_what_is_no_key_exits_65(folder: Path, key: str) -> None:
    done = call("verify", folder, "--key", key)
    assert done.exit_code == 65
    assert "error: " in done.stderr
    assert "--key" in done.stderr


def test_two_keys_are_a_usage_error(folder: Path) -> None:
    file = folder / "log.vkey"
    assert call("verify", folder, "--key", KEY, "--key-file", file).exit_code == 2


def test_a_folder_that_does_not_exist_is_a_usage_error(tmp_path: Path) -> None:
    assert call("verify", tmp_path / "none").exit_code == 2


def test_tail_shows_the_last_records_one_line_each(folder: Path) -> None:
    lines = call("tail", folder, "-n", 2).stdout.splitlines()
    assert [line.rpartition("-")[2] for line in lines] == ["3", "4"]
    assert lines[0].startswith("2027-01-15T08:00:00.003Z deny EG905 starting POST /v1/chat ")
    assert "epoch=-" in lines[0]


def test_tail_shows_changes_of_state(folder: Path) -> None:
    journal = journals.open_journal(folder)
    journals.make_recorder(journal, Gate()).state("stop", {"why": "SIGTERM"}, builders.now())
    journal.close()
    assert call("tail", folder, "-n", 1).stdout.endswith('Z stop {"why": "SIGTERM"}\n')


def test_tail_as_json_gives_the_records_themselves(folder: Path) -> None:
    raw = (folder / "00000000.jsonl").read_text()
    assert call("tail", folder, "-o", "json").stdout == raw


def test_a_path_cannot_write_to_the_terminal(folder: Path) -> None:
    journal = journals.open_journal(folder)
    head = RequestHead(b"GET", b"/", b"/\x07\x08\x1b]0;\x9b", ())
    journals.make_recorder(journal, Gate()).decision(DENIAL, head, None, builders.now())
    journal.close()
    shown = call("tail", folder, "-n", 1).stdout
    assert shown.rstrip("\n").isprintable()


def test_a_line_that_is_no_record_is_said_on_stderr(folder: Path) -> None:
    with (folder / "00000000.jsonl").open("ab") as file:
        file.write(b"\x1b[2J\n")
    done = call("tail", folder, "-n", 1)
    assert done.stdout == ""
    assert "not a record" in done.stderr
    assert "\x1b" not in done.stderr


def test_tail_follows_what_is_appended(folder: Path) -> None:
    journal = journals.open_journal(folder)
    command = [sys.executable, "-m", "sidecar", "audit", "tail", str(folder), "-n", "1", "-f"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline().endswith("-4\n")
        journals.make_recorder(journal, Gate()).state("stop", {}, builders.now())
        assert child.stdout.readline().endswith("stop {}\n")
        child.terminate()
    journal.close()


@pytest.mark.parametrize("command", [["--help"], ["verify", "--help"], ["tail", "--help"]])
def test_help_ends_with_an_example(command: list[str]) -> None:
    assert call(*command).stdout.rstrip().splitlines()[-1].strip().startswith("Example: epochgate")


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """The logs of a sidecar with two workers."""
    for name in ("follower", "worker-0", "worker-1"):
        journal = Journal(tmp_path / name, journals.SEGMENT_BYTES)
        journal.recover(journals.SIGNER, f"epochgate/test/{name}", "ab" * 8, name, builders.now())
        journal.close()
    return tmp_path


def test_all_logs_of_a_sidecar_are_verified_and_named(logs: Path) -> None:
    done = call("verify", logs)
    assert done.exit_code == 0
    assert done.stdout.count("verified: 0 records") == 3
    assert "worker-1:\n" in done.stdout
    said = json.loads(call("verify", logs, "-o", "json").stdout)
    assert said["result"] == "verified"
    assert sorted(said["logs"]) == ["follower", "worker-0", "worker-1"]


def test_one_bad_log_of_several_exits_80(logs: Path) -> None:
    (logs / "worker-1" / "00000000.jsonl").write_bytes(b"{}\n")
    assert call("verify", logs).exit_code == 80
    assert json.loads(call("verify", logs, "-o", "json").stdout)["result"] == "failed"


def test_several_logs_take_a_file_of_keys(logs: Path, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    lines = [path.read_text() for path in sorted(logs.glob("*/log.vkey"))]
    file.write_text("".join(lines))
    assert call("verify", logs, "--key-file", file).exit_code == 0
    file.write_text("".join(lines[:2]))
    done = call("verify", logs, "--key-file", file)
    assert done.exit_code == 80
    assert "no key was given" in done.stdout


def test_a_key_without_its_log_exits_80_also_when_one_log_is_left(folder: Path) -> None:
    other = NoteKey("epochgate/test/other", KEY.public)
    done = call("verify", folder, "--key", KEY, "--key", other)
    assert done.exit_code == 80
    assert "its key was given: epochgate/test/other" in done.stdout
    assert call("verify", folder, "--key", KEY, "--key", KEY).exit_code == 0


def test_logs_that_are_all_gone_exit_80_when_their_keys_are_given(tmp_path: Path) -> None:
    other = NoteKey("epochgate/test/other", KEY.public)
    assert call("verify", tmp_path, "--key", KEY, "--key", other).exit_code == 80


def test_a_log_in_the_place_of_another_exits_80_without_any_key(logs: Path) -> None:
    shutil.rmtree(logs / "worker-1")
    shutil.copytree(logs / "worker-0", logs / "worker-1")
    done = call("verify", logs)
    assert done.exit_code == 80
    assert "is the log epochgate/test/worker-0, and worker-0 is it too" in done.stdout


def test_the_end_of_several_logs_is_read_one_by_one(logs: Path) -> None:
    done = call("tail", logs)
    assert done.exit_code == 2
    assert "name one of follower, worker-0, worker-1" in done.stderr
    assert call("tail", logs / "worker-0").exit_code == 0


def test_a_pruned_journal_verifies_and_says_what_is_gone(tmp_path: Path) -> None:
    _, begins = journals.make_pruned(tmp_path / "audit")
    done = call("verify", tmp_path / "audit", "--key", KEY)
    assert done.exit_code == 0
    gone = begins.pruned - 1
    assert f"record {begins.record} says that records 0 to {gone} were pruned" in done.stdout
    assert f"these {begins.pruned} records: only their root is known" in done.stdout
    said = json.loads(call("verify", tmp_path / "audit", "-o", "json").stdout)
    assert (said["result"], said["pruned"]) == ("verified", begins.pruned)


def test_a_pruned_journal_is_not_exported_in_part(tmp_path: Path) -> None:
    journals.make_pruned(tmp_path / "audit")
    done = call("export", tmp_path / "audit", tmp_path / "to")
    assert done.exit_code == 81
    assert "keep a copy from before" in done.stderr
