"""What runs here is not what the epoch demands: each way, through the real sidecar.

Where its code has to change under it, a copy of the package runs: a child finds the folder that it
is started in before the installed one.
"""

import asyncio
import hashlib
import os
import re
import shutil
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

import sidecar
from sidecar.config import fingerprint
from sidecar.config.read import read_sidecar
from sidecar.core.objects.epoch import NO_DEMANDS
from sidecar.core.reason import Reason
from tests.integration.harness import HOST, LIMIT_S, World
from tests.integration.reasons import produces

OFTEN = {"period": "1s"}  # and so changes are looked for each second
FILES = {"files": [{"name": "weights", "path": "weights"}], **OFTEN}
BODY = b"weights" * 1000
CHANGED = BODY[:-1] + b"S"
OTHER = "0" * 64


def sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def demand(world: World, **digests: Any) -> None:
    """Vouch for an epoch that demands these."""
    runtime = msgspec.structs.replace(NO_DEMANDS, **digests)
    world.hand.put_epoch(routes=world.routes, runtime=runtime)


def write(path: Path, body: bytes) -> None:
    path.unlink(missing_ok=True)
    path.write_bytes(body)


def spoil(path: Path, what: str) -> None:
    """Put something in the place of a file that is no such file."""
    path.unlink()
    if what == "fifo":
        os.mkfifo(path)


async def measured(world: World, **wanted: object) -> dict[str, Any]:
    """What the sidecar found, once it has found this."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            found: dict[str, Any] = (await world.state())["runtime"]
            if found.get("code_sha256") and wanted.items() <= found.items():
                return found
            await asyncio.sleep(0.01)


async def mismatches(world: World) -> list[str]:
    """Reasons that the metrics say, now."""
    url = f"http://{HOST}:{world.sidecar.status}/metrics"
    async with world.session.get(url) as response:
        said = await response.text()
    assert "epochgate_integrity_measured_timestamp_seconds" in said
    return re.findall(r'epochgate_integrity_mismatch{reason="(EG\d+)"} 1.0', said)


@pytest.fixture
def weights(world: World) -> Path:
    path = world.sidecar.folder / "weights"
    path.write_bytes(BODY)
    return path


@pytest.fixture
def package(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package; the sidecar will run this one."""
    world.sidecar.forks = None  # a fork has imported the other one
    copied = tmp_path / "copy" / "sidecar"
    source = Path(sidecar.__file__).parent
    shutil.copytree(source, copied, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.chdir(copied.parent)
    return copied


@produces(Reason.CODE_DIGEST_MISMATCH)
@pytest.mark.sidecar(integrity={"imageDigest": "sha256:one", **OFTEN})
@pytest.mark.parametrize("what", ["code_sha256", "image_digests"])
async def test_an_epoch_for_other_code_gives_no_lease_and_one_for_this_code_does(
    world: World, what: str
) -> None:
    demand(world, **{what: (OTHER,)})
    world.hand.start()
    await world.sidecar.start()
    await world.until_cause("EG401")
    assert (await world.ask())[0] == 503
    found = await measured(world)
    right = found["code_sha256"] if what == "code_sha256" else "sha256:one"
    demand(world, **{what: (OTHER, right)})
    await world.until(200)


@pytest.mark.sidecar(integrity=OFTEN)
async def test_a_change_of_its_own_code_closes_the_gate_until_it_is_undone(
    world: World, package: Path
) -> None:
    await world.open()
    demand(world, code_sha256=((await measured(world))["code_sha256"],))
    await world.until(200)
    module = package / "cli" / "explain.py"
    before = module.read_bytes()
    module.write_bytes(before + b"\n")
    await world.until(503, "EG401")
    module.write_bytes(before)
    await world.until(200)


@produces(Reason.CONFIG_DIGEST_MISMATCH)
@pytest.mark.sidecar(integrity=OFTEN)
async def test_a_change_of_the_configuration_closes_the_gate_until_it_is_undone(
    world: World,
) -> None:
    file = world.sidecar.folder / "sidecar.yaml"
    expected = fingerprint.digest(read_sidecar(file, os.environ).origins)
    demand(world, config_sha256=(expected,))
    await world.open()
    before = file.read_text()
    file.write_text(before.replace("poll: 50ms", "poll: 51ms"))
    await world.until(503, "EG402")
    file.write_text(f"# only a comment\n{before}")
    await world.until(200)


@produces(Reason.MODEL_DIGEST_MISMATCH)
@pytest.mark.sidecar(integrity=FILES)
async def test_one_byte_of_a_model_closes_the_gate_until_it_is_undone(
    world: World, weights: Path
) -> None:
    demand(world, model_digests={"weights": sha256(BODY)})
    await world.open()
    write(weights, CHANGED)
    body = await world.until(503, "EG403")
    assert body["state"] == "contained"
    state = await world.until_cause("EG403")
    assert {"reason": "EG403", "kind": "passing", "evidence": ""} in state["holds"]
    await measured(world, models={"weights": sha256(CHANGED)})
    assert await mismatches(world) == ["EG403"]
    write(weights, BODY)
    await world.until(200)
    assert await mismatches(world) == []
    found = [line["detail"]["models"] for line in world.sidecar.records()
             if line["type"] == "runtime"]  # fmt: skip
    assert {"weights": sha256(CHANGED)} in found
    assert found[-1] == {"weights": sha256(BODY)}


@pytest.mark.sidecar(integrity=FILES)
async def test_a_running_stream_is_cut_when_the_model_behind_it_changes(
    world: World, weights: Path
) -> None:
    demand(world, model_digests={"weights": sha256(BODY)})
    await world.open()
    asked = {"model": "m", "stream": True, "max_tokens": 1000}
    url = world.sidecar.url + "/v1/chat/completions"
    async with world.session.post(url, json=asked) as response:
        await response.content.readline()
        write(weights, CHANGED)
        rest = b""
        with pytest.raises(aiohttp.ClientPayloadError):
            async for piece in response.content.iter_any():
                rest += piece
    assert b"event: error" in rest
    assert b"EG403" in rest


@pytest.mark.sidecar(integrity=FILES)
@pytest.mark.parametrize("what", ["undeclared", "fifo"])
async def test_a_file_that_cannot_be_what_is_demanded_gives_no_lease(
    world: World, weights: Path, what: str
) -> None:
    name = "another" if what == "undeclared" else "weights"
    if what != "undeclared":
        spoil(weights, what)
    demand(world, model_digests={name: sha256(BODY)})
    world.hand.start()
    await world.sidecar.start()
    await world.until_cause("EG403")
    assert (await world.ask())[0] == 503
    assert not world.service.seen
    write(weights, BODY)
    if what != "undeclared":
        await world.until(200)


@pytest.mark.sidecar(integrity=FILES, workers=2)
async def test_every_worker_closes_and_one_process_measures(world: World, weights: Path) -> None:
    demand(world, model_digests={"weights": sha256(BODY)})
    await world.open()
    write(weights, CHANGED)
    async with asyncio.timeout(LIMIT_S):
        while {worker.get("reason") for worker in (await world.state())["workers"]} != {"EG403"}:
            await asyncio.sleep(0.01)
    write(weights, BODY)
    await world.until(200)
    assert (await world.state())["runtime"]["models"] == {"weights": sha256(BODY)}


HANGS = """

_stamp = stamp


def stamp(path):
    while os.path.exists("server-is-away"):
        os.sched_yield()
        __import__("time").sleep(0.01)
    return _stamp(path)
"""


@produces(Reason.INTEGRITY_STALE)
@pytest.mark.sidecar(integrity={"maxAge": "5s", "period": "1s"})
async def test_a_file_system_that_hangs_closes_the_gate_when_the_last_look_is_too_old(
    world: World, package: Path
) -> None:
    """As one of a server that is away: whoever asks for a file waits until it is back."""
    module, away = package / "sync" / "digest.py", package.parent / "server-is-away"
    module.write_text(module.read_text() + HANGS)
    away.touch()
    demand(world, image_digests=("sha256:one",))
    world.hand.start()
    await world.sidecar.start()
    await world.until_cause("EG404")  # nothing was measured yet
    away.unlink()
    found = await measured(world)
    demand(world, code_sha256=(found["code_sha256"],))
    await world.until(200)
    away.touch()
    await world.until(503, "EG404")
    assert (await world.state())["state"] == "contained"
    away.unlink()
    await world.until(200)


@pytest.mark.sidecar(integrity=FILES)
async def test_nobody_is_denied_for_what_no_epoch_demands(world: World, weights: Path) -> None:
    await world.open()
    await measured(world, models={"weights": sha256(BODY)})
    spoil(weights, "missing")
    async with asyncio.timeout(LIMIT_S):
        while not (await world.state())["runtime"]["problems"]:
            await asyncio.sleep(0.01)
    assert (await world.state())["state"] == "running"
    assert (await world.ask())[0] == 200
