"""A sidecar measures itself: real files, a real log; what is handed on, recorded and shown."""

import asyncio
import hashlib
import io
import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from sidecar import clock
from sidecar.config import fingerprint
from sidecar.config.read import read_sidecar
from sidecar.config.sections import Audit
from sidecar.core.gate import Gate
from sidecar.roles import logbook
from sidecar.roles.logbook import Keys, Logbook
from sidecar.roles.measuring import Measuring
from sidecar.signer import FileSigner
from sidecar.telemetry import logs
from sidecar.telemetry.metrics import Metrics
from tests.config import builders as config_builders

LIMIT_S = 10.0
TEXT = (
    config_builders.SIDECAR
    + "  integrity: {period: 1s, imageDigest: one, files: [{name: weights, path: weights}]}\n"
)


class Rig:
    """What measures, in a folder with a configuration and weights."""

    def __init__(self, folder: Path) -> None:
        (folder / "weights").write_bytes(b"weights")
        self.loaded = read_sidecar(config_builders.write(folder, TEXT), {})
        self.lines = io.StringIO()
        self.log = logs.setup("info", self.lines, lambda _: None)
        self.metrics = Metrics(clock.now)
        self.book = self.opened(folder)
        self.measuring = Measuring(self.loaded, self.book.recorder, self.log, self.metrics)

    def opened(self, folder: Path) -> Logbook:
        keys = Keys(FileSigner(b"k" * 32), bytes(32))
        return logbook.open_logbook(
            Audit(folder / "audit"), keys, "epochgate/test/chat", Gate(), self.log
        )

    def records(self) -> list[dict[str, Any]]:
        found = []
        for path in sorted(self.book.journal.folder.rglob("*.jsonl")):
            found += [json.loads(line) for line in path.read_bytes().splitlines()]
        return [line["detail"] for line in found if line.get("type") == "runtime"]

    async def until(self, **wanted: object) -> Mapping[str, object]:
        async with asyncio.timeout(LIMIT_S):
            while not wanted.items() <= (found := self.measuring.state()).items():
                await asyncio.sleep(0.01)
        return found


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    made = Rig(tmp_path)
    yield made
    made.book.journal.close()


async def test_before_the_first_look_nothing_is_said(rig: Rig) -> None:
    assert rig.measuring.state() == {
        "measured_at": None, "duration_ms": None, "problems": {}, "progress": None,
    }  # fmt: skip


async def test_what_is_found_is_shown_logged_and_recorded_once(rig: Rig) -> None:
    task = asyncio.get_running_loop().create_task(rig.measuring.run(None))
    sha256 = hashlib.sha256(b"weights").hexdigest()
    found = await rig.until(models={"weights": sha256}, problems={})
    assert found["config_sha256"] == fingerprint.digest(rig.loaded.origins)
    assert found["image_digest"] == "one"
    assert found["progress"] is None
    first = found["measured_at"]
    async with asyncio.timeout(LIMIT_S):
        while rig.measuring.state()["measured_at"] == first:  # one more look finds the same
            await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    digests = {key: found[key] for key in ("code_sha256", "config_sha256", "models")}
    assert rig.records()[-1] == {**digests, "image_digest": "one"}
    assert len({json.dumps(record) for record in rig.records()}) == len(rig.records())
    said = [json.loads(line) for line in rig.lines.getvalue().splitlines()]
    assert [line["models"] for line in said if line["event"] == "measured"][-1] == found["models"]
    shown, _ = rig.metrics.render("")
    assert b"epochgate_integrity_measured_timestamp_seconds 1" in shown


async def test_settings_that_the_file_does_not_say_any_more_have_no_digest(
    rig: Rig, tmp_path: Path
) -> None:
    task = asyncio.get_running_loop().create_task(rig.measuring.run(None))
    in_effect = fingerprint.digest(rig.loaded.origins)
    await rig.until(config_sha256=in_effect)
    for text in (TEXT.replace("ttl: 4s", "ttl: 5s"), "no YAML: ["):
        config_builders.write(tmp_path, text)
        await rig.until(config_sha256=None)
        config_builders.write(tmp_path, f"# the same\n{TEXT}")
        await rig.until(config_sha256=in_effect)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
