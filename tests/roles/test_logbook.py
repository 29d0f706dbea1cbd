"""The audit log of a process is opened, or says why not."""

import io
from pathlib import Path

import pytest

from sidecar import clock
from sidecar.audit import reader, segments
from sidecar.config.sections import Audit
from sidecar.core import recording
from sidecar.core.gate import Gate
from sidecar.core.log.note import NoteKey
from sidecar.core.reason import Reason
from sidecar.roles import logbook
from sidecar.roles.logbook import Keys, Logbook
from sidecar.roles.start import StartError
from sidecar.signer import FileSigner
from sidecar.telemetry import logs

KEY = FileSigner(b"k" * 32)
ORIGIN = "epochgate/test/chat-worker-0"


def opened(folder: Path, gate: Gate) -> Logbook:
    log = logs.setup("info", io.StringIO(), lambda _: None)
    return logbook.open_logbook(Audit(folder), Keys(KEY, bytes(32)), ORIGIN, gate, log, worker=0)


def test_the_instance_key_is_made_once(tmp_path: Path) -> None:
    first = logbook.instance_key(tmp_path)
    assert logbook.instance_key(tmp_path).key_id == first.key_id


def test_the_key_of_digests_is_made_once_and_is_nobody_elses(tmp_path: Path) -> None:
    key = logbook.digest_key(tmp_path, None)
    assert (len(key), logbook.digest_key(tmp_path, None)) == (recording.KEY_BYTES, key)
    assert (tmp_path / logbook.DIGEST_KEY).stat().st_mode & 0o777 == 0o600


def test_a_key_that_is_given_is_used_and_never_made(tmp_path: Path) -> None:
    given = tmp_path / "shared.key"
    with pytest.raises(StartError, match=r"No such file.*audit\.digestKeyFile"):
        logbook.digest_key(tmp_path, given)
    given.write_text("ab" * 31)
    with pytest.raises(StartError, match=r"is not 64 hex digits"):
        logbook.digest_key(tmp_path, given)
    given.write_text("ab" * 32 + "\n")
    assert logbook.digest_key(tmp_path, given) == b"\xab" * 32
    assert not (tmp_path / logbook.DIGEST_KEY).exists()


async def test_a_log_of_its_own_is_whole_after_its_end(tmp_path: Path) -> None:
    gate = Gate()
    book = opened(tmp_path / "worker-0", gate)
    book.end()
    await book.run()
    book.journal.close()
    report = reader.verify(tmp_path / "worker-0", NoteKey(ORIGIN, KEY.public))
    assert (report.verified, report.records, report.tail_records) == (True, 2, 0)
    assert gate.snapshot.holds == ()


async def test_a_folder_that_another_process_writes_is_refused(tmp_path: Path) -> None:
    book = opened(tmp_path, Gate())
    with pytest.raises(StartError, match="another process writes it"):
        opened(tmp_path, Gate())
    book.journal.close()


async def test_a_damaged_journal_holds_the_gate(tmp_path: Path) -> None:
    book = opened(tmp_path, Gate())
    book.recorder.state("sync", {"x": 1}, clock.now())
    book.journal.close()
    path = tmp_path / segments.name(0)
    path.write_bytes(path.read_bytes().replace(b'"x":1', b'"x":2').replace(b'"start"', b'"stop"'))
    gate = Gate()
    opened(tmp_path, gate).journal.close()
    assert gate.snapshot.closed is Reason.AUDIT_CHAIN_BREAK
