"""`epochgate governance`, as it is called; and what becomes of files that somebody changed."""

import asyncio
import io
import json
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sidecar import clock
from sidecar.authority import ceremony
from sidecar.authority.ceremony import TrustPlan
from sidecar.cli.governance import governance
from sidecar.core.issuing import Entry
from sidecar.core.objects import trust
from sidecar.core.objects.trust import Limits, Quorum, Role
from sidecar.roles.governance import TILES, Ledger
from sidecar.telemetry import logs
from tests import builders

COUNT = 300  # more than one bundle


def write_trust(path: Path, *log_keys: int) -> trust.Trust:
    keys = {role: builders.signers(role, count) for role, (count, _) in builders.ROLES.items()}
    keys[Role.LOG] = [builders.signer(Role.LOG, number) for number in log_keys]
    plan = TrustPlan(
        domain="test", thresholds={Role.ROOT: 2}, quorum=Quorum(n=3, r=2, w=2),
        limits=Limits(ttl_max_ms=4000, skew_max_ms=500, drift_ppm=2000),
        expires_ms=builders.DAY_MS,
    )  # fmt: skip
    raw = ceremony.make_trust(plan, keys, clock.now().wall)
    path.write_bytes(raw)
    return trust.parse(raw, clock.now().wall)


def entry(number: int) -> Entry:
    digest = f"{number:064x}"
    return Entry(
        "epoch", {"number": number, "sha256": digest, "by": ["k" * 64], "reason": "\x1b[2J"}
    )


async def write_log(folder: Path, under: trust.Trust, count: int) -> None:
    log = logs.setup("error", io.StringIO(), lambda _: None)
    ledger = Ledger(folder, builders.signer(Role.LOG), "test", log)
    ledger.begin(under)
    for number in range(count):
        ledger._append(entry(number))
    ledger.end()
    await ledger.run()
    ledger._journal.close()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with trust.json and the public files of a log."""
    folder = tmp_path_factory.mktemp("governance")
    under = write_trust(folder / "trust.json", 1)
    asyncio.run(write_log(folder / "log", under, COUNT))
    shutil.move(folder / "log" / TILES, folder / "tiles")
    return folder


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made / "tiles", tmp_path / "tiles"))


def call(made: Path, *arguments: object) -> Result:
    said = [str(argument) for argument in (*arguments, "--trust", made / "trust.json")]
    return CliRunner().invoke(governance, said)


def test_a_whole_log_is_verified_and_says_what_was_not_checked(made: Path) -> None:
    done = call(made, "verify", "--dir", made / "tiles")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(f"verified: {COUNT + 2} records, {COUNT} of what governs\n")
    assert "  checked      the entries make the signed root" in done.stdout
    assert "  not checked  whether beats on the peers name this log" in done.stdout


def test_it_is_listed_oldest_first_and_plays_no_tricks_on_a_terminal(made: Path) -> None:
    done = call(made, "log", "--dir", made / "tiles")
    assert done.exit_code == 0, done.output
    head, first, *rest = done.stdout.splitlines()
    assert head.split() == ["INDEX", "TIME", "WHAT", "NUMBER", "DIGEST", "BY", "ABOUT"]
    assert first.split()[0] == "1"
    assert first.split()[2:6] == ["epoch", "0", "0" * 16, "k" * 16]
    assert "\\x1b[2J" in first
    assert len(rest) == COUNT - 1


def test_programs_get_entries_and_the_key_that_other_tools_take(made: Path) -> None:
    said = json.loads(call(made, "log", "--dir", made / "tiles", "-o", "json").stdout)
    assert [one["number"] for one in said["entries"]] == list(range(COUNT))
    assert said["log"]["vkey"].startswith(said["log"]["origin"] + "+")
    verified = json.loads(call(made, "verify", "--dir", made / "tiles", "-o", "json").stdout)
    assert (verified["result"], verified["wrong"]) == ("verified", None)


@pytest.fixture
def served(made: Path) -> Iterator[str]:
    """The same files behind any web server; the public address ends before /log."""
    if not (made / "www").exists():
        shutil.copytree(made / "tiles", made / "www" / "log")
    handler = partial(_Quiet, directory=str(made / "www"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Tests talk enough."""


def test_files_behind_any_web_server_verify(made: Path, served: str) -> None:
    assert call(made, "verify", "--url", served).exit_code == 0
    done = call(made, "verify", "--url", served + "/nowhere")
    assert done.exit_code == 69
    assert "spec.keys.log" in done.output


def change(path: Path, old: bytes, new: bytes) -> None:
    raw = path.read_bytes()
    assert old in raw
    path.write_bytes(raw.replace(old, new, 1))


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("tile/entries/000", "prev is not the record before"),
        ("tile/entries/001.p/46", "is not what the entries make"),
        ("tile/0/000", "is not what the entries make"),
        ("tile/1/000.p/1", "is not what the entries make"),
        ("checkpoint", "fails"),
    ],
)
def test_whatever_is_changed_is_found(made: Path, copy: Path, path: str, why: str) -> None:
    raw = bytearray((copy / path).read_bytes())
    if "entries" in path:
        at = raw.rindex(b'"ts":') + 5 if "001" in path else raw.index(b'"ts":') + 5
        raw[at + 3] ^= 1
    elif path == "checkpoint":
        raw = bytearray(raw.replace(b"\n302\n", b"\n301\n"))
    else:
        raw[-1] ^= 1
    (copy / path).write_bytes(raw)
    for command in ("verify", "log"):
        done = call(made, command, "--dir", copy)
        assert (done.exit_code, why in done.output) == (80, True), done.output
    assert "epoch" not in call(made, "log", "--dir", copy).stdout


def test_another_history_that_agrees_with_itself_is_not_what_was_signed(
    made: Path, copy: Path, tmp_path: Path
) -> None:
    under = trust.parse((made / "trust.json").read_bytes(), clock.now().wall)
    asyncio.run(write_log(tmp_path / "other", under, COUNT))
    shutil.copytree(tmp_path / "other" / TILES / "tile", copy / "tile", dirs_exist_ok=True)
    done = call(made, "verify", "--dir", copy)
    assert (done.exit_code, "do not make the root" in done.output) == (80, True), done.output


@pytest.mark.parametrize("path", ["tile/entries/000", "tile/entries/001.p/46", "tile/0/001.p/46"])
def test_what_is_missing_is_found(made: Path, copy: Path, path: str) -> None:
    (copy / path).unlink()
    done = call(made, "verify", "--dir", copy)
    assert (done.exit_code, f"{path} is missing" in done.output) == (80, True), done.output


def test_without_the_key_in_the_trust_document_nothing_is_known(made: Path, tmp_path: Path) -> None:
    write_trust(tmp_path / "trust.json", 2)
    done = call(tmp_path, "verify", "--dir", made / "tiles")
    assert done.exit_code == 81
    assert done.stdout.startswith("unverifiable: 0 records")
    assert call(tmp_path, "log", "--dir", made / "tiles").exit_code == 81


def test_no_log_there_is_said_with_what_to_do(made: Path, tmp_path: Path) -> None:
    done = call(made, "verify", "--dir", tmp_path)
    assert done.exit_code == 69
    assert "governance/tiles" in done.output
    assert call(made, "verify", "--url", "http://127.0.0.1:1").exit_code == 69
    assert call(made, "verify", "--url", "ftp://x").exit_code == 64
    assert call(made, "verify", "--url", "http://x", "--dir", tmp_path).exit_code == 2
    done = CliRunner().invoke(governance, ["verify", "--dir", str(tmp_path)])
    assert (done.exit_code, "--trust" in done.output) == (64, True)
