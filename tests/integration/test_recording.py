"""What a signed policy says about records: through a real sidecar, to a proof for a stranger."""

import asyncio
import json
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner, Result

from sidecar.audit import checkpoints
from sidecar.cli.proof import proof
from sidecar.core import canonical, policy, recording
from tests import builders
from tests.integration.harness import LIMIT_S, World

ASKED = recording.Body(
    beats=True, durability="strict", receipts=True, subject="x-user", tenant="x-tenant",
    headers=("x-request-id",),
)  # fmt: skip
HEADERS = {"x-user": "alice", "x-tenant": "acme", "x-request-id": "r-1"}
CHAT = "/v1/chat/completions"


def asking() -> bytes:
    body = canonical.load(builders.POLICY, policy.Body, policy.MAX_BYTES)
    return canonical.dump(msgspec.structs.replace(body, audit=ASKED))


def call(*arguments: object) -> Result:
    return CliRunner().invoke(proof, [str(argument) for argument in arguments])


@pytest.mark.sidecar(audit={"checkpointPeriod": "50ms"})
async def test_a_client_can_prove_what_was_decided_about_its_request(
    world: World, tmp_path: Path
) -> None:
    world.hand.put_epoch(routes=world.routes, policy=asking())
    await world.open()
    url = world.sidecar.url + CHAT
    async with world.session.post(url, json={}, headers=HEADERS) as answer:
        assert answer.status == 200
        receipt = answer.headers["x-epochgate-receipt"]
        decision_id = answer.headers["x-epochgate-decision-id"]
    journal = world.sidecar.journal
    raw = b"".join(path.read_bytes() for path in sorted(journal.rglob("*.jsonl")))
    assert b"alice" not in raw
    assert b"acme" not in raw
    [said] = [line for line in map(json.loads, raw.splitlines()) if _is(line, decision_id)]
    key = bytes.fromhex((journal.parent / "digest.key").read_text())
    assert said["subject_h"] == recording.digest(key, b"subject", b"alice")
    assert said["tenant_h"] == recording.digest(key, b"tenant", b"acme")
    assert said["headers"] == {"x-request-id": "r-1"}

    file, pinned = tmp_path / "proof.json", tmp_path / "trust.json"
    pinned.write_bytes(world.hand.trust_raw)
    async with asyncio.timeout(LIMIT_S):
        while (await world.state())["audit"]["checkpoint_size"] <= said["seq"]:
            await asyncio.sleep(0.01)
    assert call("get", journal, decision_id, "-O", file).exit_code == 0
    vkey = journal / checkpoints.VKEY
    done = call("verify", file, "--key-file", vkey, "--trust", pinned, "--receipt", receipt)
    assert done.exit_code == 0, done.output
    for line in ("the receipt is of this very record", "epoch 1 is signed by", "the beat was live"):
        assert f"checked      {line}" in done.stdout


def _is(line: dict[str, object], decision_id: str) -> bool:
    return line["type"] == "decision" and line["decision_id"] == decision_id
