"""What cannot start says so in one line, with what, where and what to do, and opens nothing."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.integration.harness import HOST, Hand, Sidecar
from tests.valkey import ValkeyServer

LIMIT_S = 20


def run(*arguments: str | Path) -> tuple[int, str]:
    """Run a role to its end; exit status and what it said on stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "sidecar", "run", *map(str, arguments)],
        capture_output=True, text=True, timeout=LIMIT_S, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr


class _Nowhere(ValkeyServer):
    """A peer address where nothing listens."""

    def __init__(self) -> None:
        self.port = 1


@pytest.fixture
def sidecar(tmp_path: Path) -> Sidecar:
    """A valid configuration of a sidecar whose peers are all down."""
    hand = Hand((_Nowhere(), _Nowhere(), _Nowhere()))
    hand.close()
    made = Sidecar(tmp_path / "sidecar", hand)
    document = yaml.safe_load((made.folder / "sidecar.yaml").read_text())
    for number, peer in enumerate(document["spec"]["sync"]["peers"], start=1):
        peer["url"] = f"redis://{HOST}:{number}/0"
    (made.folder / "sidecar.yaml").write_text(yaml.safe_dump(document))
    return made


def change(sidecar: Sidecar, section: str, key: str, value: object) -> Path:
    """Set one value of the configuration file; its path."""
    path = sidecar.folder / "sidecar.yaml"
    document = yaml.safe_load(path.read_text())
    document["spec"].setdefault(section, {})[key] = value
    path.write_text(yaml.safe_dump(document))
    return path


def refused(sidecar: Sidecar, path: Path, status: int, *words: str) -> None:
    """The sidecar ends with that status and one error line that has the words."""
    got, said = run("sidecar", "--config", path)
    lines = said.strip().splitlines()
    assert got == status, said
    assert len(lines) == 1, said
    assert lines[0].startswith("error: ")
    for word in words:
        assert word in lines[0]


def test_a_missing_configuration_is_named(tmp_path: Path) -> None:
    status, said = run("sidecar", "--config", tmp_path / "none.yaml")
    assert status == 78
    assert "none.yaml" in said


def test_every_problem_of_a_configuration_is_told_at_once(sidecar: Sidecar) -> None:
    change(sidecar, "sync", "quorum", 9)
    status, said = run("sidecar", "--config", change(sidecar, "sync", "tll", "4s"))
    assert status == 78
    assert "quorum" in said
    assert "tll" in said
    assert len(said.strip().splitlines()) >= 2


def test_a_local_number_that_would_loosen_the_signed_one_is_refused(sidecar: Sidecar) -> None:
    path = change(sidecar, "sync", "skew", "1ms")
    refused(sidecar, path, 78, "spec.sync.skew", "tighten")


def test_a_trust_document_that_was_edited_is_refused(sidecar: Sidecar) -> None:
    path = sidecar.folder / "trust.json"
    path.write_bytes(path.read_bytes()[:-3])
    refused(sidecar, sidecar.folder / "sidecar.yaml", 69, "trust document", "trust.json")


def test_a_missing_state_folder_is_named(sidecar: Sidecar) -> None:
    path = change(sidecar, "state", "dir", "elsewhere")
    refused(sidecar, path, 69, "state folder", "elsewhere")


@pytest.mark.parametrize("which", ["inbound", "status"])
def test_an_occupied_port_is_named_and_no_fence_key_replaced(sidecar: Sidecar, which: str) -> None:
    """Whoever holds the port may be the sidecar that the service has its key from."""
    key = sidecar.folder / "fence.key"
    key.write_text("theirs")
    change(sidecar, "fence", "keyFile", "fence.key")
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        path = change(sidecar, "listen", which, f"{HOST}:{port}")
        refused(sidecar, path, 69, f"{which} port", str(port), f"spec.listen.{which}")
    assert key.read_text() == "theirs"


def test_a_fence_key_that_cannot_be_written_is_named(sidecar: Sidecar) -> None:
    path = change(sidecar, "fence", "keyFile", "missing/fence.key")
    refused(sidecar, path, 69, "fence key", "missing/fence.key", "spec.fence.keyFile")


@pytest.mark.parametrize("what", ["another process", "no socket"])
def test_an_occupied_unix_socket_is_named(sidecar: Sidecar, what: str) -> None:
    place = sidecar.folder / "s"
    path = change(sidecar, "listen", "inbound", "unix:s")
    with socket.socket(socket.AF_UNIX) as taken:
        if what == "no socket":
            place.write_text("precious")
        else:
            taken.bind(str(place))
            taken.listen()
        refused(sidecar, path, 69, "inbound port", f"unix:{place}", what, "spec.listen.inbound")
    assert place.exists()


def test_an_instance_key_that_others_may_read_is_refused(sidecar: Sidecar) -> None:
    key = sidecar.folder / "state" / "instance.key"
    key.write_text("{}")
    key.chmod(0o644)
    refused(sidecar, sidecar.folder / "sidecar.yaml", 69, "instance.key", "chmod 600")


def test_a_second_sidecar_on_one_journal_is_refused(sidecar: Sidecar) -> None:
    sidecar.spawn()
    try:
        while not any(fact.get("event") == "listening" for fact in sidecar.facts()):
            os.sched_yield()
        path = sidecar.folder / "sidecar.yaml"
        refused(sidecar, path, 69, "audit log", "another process")
    finally:
        assert sidecar.end() == 0


async def test_unreachable_peers_leave_it_up_denying_with_a_reason(sidecar: Sidecar) -> None:
    import aiohttp  # noqa: PLC0415 - only here

    await sidecar.start()
    async with aiohttp.ClientSession() as session:
        async with session.post(sidecar.url + "/v1/chat/completions", json={}) as response:
            assert response.status == 503
            assert response.headers["x-epochgate-reason"] in ("EG905", "EG101")
        async with session.get(f"http://{HOST}:{sidecar.status}/readyz") as response:
            assert response.status == 503
        async with session.get(f"http://{HOST}:{sidecar.status}/livez") as response:
            assert response.status == 200
    assert sidecar.end() == 0


def test_a_running_sidecar_imports_no_terminal_library() -> None:
    """Issue: the container's process must not carry the command line with it."""
    code = "import sys, sidecar.roles; print(sorted({'click', 'rich'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_guarantee_is_logged_at_start_in_milliseconds(sidecar: Sidecar) -> None:
    sidecar.spawn()
    try:
        while not any(fact.get("event") == "listening" for fact in sidecar.facts()):
            os.sched_yield()
    finally:
        sidecar.end()
    told = next(fact for fact in sidecar.facts() if fact["event"] == "guarantee")
    assert told["superseded_epoch_honoured_ms_max"] == 1500
