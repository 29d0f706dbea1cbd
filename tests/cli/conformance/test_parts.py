"""What can be done to the parts of a deployment is undone."""

import contextlib
from pathlib import Path

import pytest

from sidecar.cli.conformance.parts import Peer, changed, paused
from sidecar.cli.demo import processes
from sidecar.cli.demo.processes import Process


def state(process: Process) -> str:
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_file_is_put_back_whatever_happens(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"before")
    with pytest.raises(ZeroDivisionError), changed(path, b"meanwhile"):
        assert path.read_bytes() == b"meanwhile"
        raise ZeroDivisionError
    assert path.read_bytes() == b"before"


def test_a_process_runs_on_whatever_happens(tmp_path: Path) -> None:
    process = Process("idle", ["sleep", "60"], tmp_path / "log")
    with processes.ending(process):
        process.start()
        with contextlib.suppress(ZeroDivisionError), paused(process):
            while state(process) != "T":
                pass
            raise ZeroDivisionError
        while state(process) == "T":
            pass


def test_a_peer_holds_what_it_is_given_and_says_nothing_when_it_is_gone(tmp_path: Path) -> None:
    peer = Peer(1, processes.free_ports(1)[0], tmp_path)
    with contextlib.closing(peer.client):
        with processes.ending(peer.process):
            peer.start()
            peer.put("key", b"value", "hash", {"field": b"one"})
            assert peer.get("key") == b"value"
            assert peer.hash("hash") == {"field": b"one"}
            peer.delete("key")
            assert peer.get("key") is None
        assert peer.get("key") is None
        assert peer.hash("hash") == {}
