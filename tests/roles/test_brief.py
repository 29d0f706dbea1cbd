"""What a worker is told arrives whole, and what follows it stays in the channel."""

import json
import socket
from pathlib import Path

import pytest

from sidecar.config.read import read_sidecar
from sidecar.roles import brief
from sidecar.roles.brief import Brief
from tests.config import builders

SECRET = "hunter2"


def made(folder: Path) -> Brief:
    (folder / "password").write_text(SECRET)
    text = builders.SIDECAR.replace('0"}', '0", passwordFile: password}', 1)
    text += "  audit: {sinks: [{name: s, kind: redis, url: 'redis://h', passwordFile: password}]}\n"
    config = read_sidecar(builders.write(folder, text), {}).config
    assert config.sync.peers[0].password == SECRET
    settings = brief.settings_for(config, 3)
    return Brief(
        3, "epochgate/d/s-worker-3", "ab" * 32, settings, "00" * 32, ("11" * 32,), 5, 6, (7, 8)
    )


def test_it_arrives_and_a_notification_behind_it_stays(tmp_path: Path) -> None:
    told = made(tmp_path)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        brief.send(ours, told)
        ours.sendall(b"\0")
        received = brief.receive(theirs)
        assert received == told
        assert theirs.recv(10) == b"\0"


def test_a_worker_has_its_own_folder_and_no_peers_and_no_passwords(tmp_path: Path) -> None:
    told = made(tmp_path)
    assert told.config.audit.dir == tmp_path / "state" / "audit" / "worker-3"
    assert told.config.sync.peers == ()
    assert [(sink.name, sink.secret) for sink in told.config.audit.sinks] == [("s", None)]
    assert SECRET not in json.dumps(told.settings)


def test_no_brief_is_an_error_and_not_a_wait() -> None:
    ours, theirs = socket.socketpair()
    with theirs:
        ours.sendall(b'{"index"')
        ours.close()
        with pytest.raises(EOFError):
            brief.receive(theirs)
