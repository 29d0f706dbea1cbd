"""Where drafts are edited: one draft takes many edits, signatures fall, floors come from peers."""

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sidecar import clock
from sidecar.authority import rollout, rotation
from sidecar.cli import epochgate
from sidecar.cli.text import BAD_DATA, UNAVAILABLE, USAGE, VERIFICATION_FAILED
from sidecar.core.objects.trust import Mark, Role
from sidecar.sync.peer import Peer
from tests import builders
from tests.builders import signer
from tests.cli.fleet import Fleet, make_fleet
from tests.valkey import ValkeyServer

Three = tuple[ValkeyServer, ValkeyServer, ValkeyServer]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(epochgate, ["trust", *(str(part) for part in arguments)])


def edit(folder: Path, *arguments: object) -> Result:
    out = folder / "draft.json"
    return run(*arguments, "--trust", folder / "trust.json", "--out", out)


def sign(folder: Path, *numbers: int) -> Result:
    keys = [part for number in numbers for part in ("--key", folder / f"root-{number}.key")]
    return run("sign", folder / "draft.json", "--previous", folder / "trust.json", *keys)


def draft(folder: Path) -> rotation.Draft:
    return rotation.read((folder / "draft.json").read_bytes())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_fleet(tmp_path, [])
    return tmp_path


def test_edits_add_up_in_one_draft(folder: Path) -> None:
    assert edit(folder, "set-threshold", "--role", "epoch", 3).exit_code == 0
    key = signer(Role.HALT, 2).key_id
    result = edit(folder, "revoke", key[:12], "--reason", "lost")
    assert result.exit_code == 0
    body = draft(folder).body
    assert (body.version, body.roles.epoch.threshold, body.revoked[0].keyid) == (2, 3, key)
    for line in ("epoch threshold", "key revoked", "halt key leaves", "trust sign"):
        assert line in result.output


def test_edit_drops_signatures_and_says_so(folder: Path) -> None:
    edit(folder, "set", "--expires", "30d")
    assert sign(folder, 1).exit_code == 0
    assert draft(folder).signatures
    result = edit(folder, "set-threshold", "--role", "epoch", 3)
    assert result.exit_code == 0
    assert "1 signatures dropped" in result.stderr
    assert not draft(folder).signatures


def test_complete_draft_is_not_edited(folder: Path) -> None:
    """It may be in force: another version 2 would split the fleet."""
    edit(folder, "set", "--expires", "30d")
    assert sign(folder, 1, 2).exit_code == 0
    before = (folder / "draft.json").read_bytes()
    result = edit(folder, "set-threshold", "--role", "epoch", 3)
    assert (result.exit_code, before) == (BAD_DATA, (folder / "draft.json").read_bytes())
    assert "is complete and may be in force" in result.output


def test_draft_that_follows_another_document_is_not_edited(folder: Path) -> None:
    edit(folder, "set")
    sign(folder, 1, 2)
    (folder / "draft.json").rename(folder / "trust.json")
    edit(folder, "set")
    kept = (folder / "draft.json").read_bytes()
    make_fleet(_made(folder / "other"), [])
    result = run("set", "--trust", folder / "other" / "trust.json", "--out", folder / "draft.json")
    assert result.exit_code == BAD_DATA
    assert "give the one before it" in result.output
    assert (folder / "draft.json").read_bytes() == kept


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_draft_is_named_by_its_version_unless_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert run("set", "--trust", "trust.json").exit_code == 0
    assert (folder / "trust-2.draft.json").exists()


def test_other_file_is_no_draft_and_stays(folder: Path) -> None:
    (folder / "draft.json").write_text("notes")
    assert edit(folder, "set").exit_code == BAD_DATA
    assert (folder / "draft.json").read_text() == "notes"


def test_document_in_force_must_be_named_and_verify(folder: Path) -> None:
    assert run("set", "--out", folder / "draft.json").exit_code == USAGE
    raw = (folder / "trust.json").read_bytes()
    (folder / "trust.json").write_bytes(raw.replace(b'"sig":"', b'"sig":"AA', 1))
    assert edit(folder, "set").exit_code == VERIFICATION_FAILED


def test_lowest_epoch_may_be_named_by_its_file(folder: Path) -> None:
    fleet = make_fleet(_made(folder / "f"), [])
    now = clock.now().wall
    raw = builders.epoch_bytes(fleet.trust, issued_at=now)
    (fleet.folder / "epoch.json").write_bytes(raw)
    arguments = ["set", "--floor-epoch", fleet.folder / "epoch.json"]
    assert edit(fleet.folder, *arguments).exit_code == 0
    made = builders.open_epoch(raw, fleet.trust, now)
    assert draft(fleet.folder).body.floors.epoch == Mark(seq=1, sha256=made.sha256)
    (fleet.folder / "epoch.json").write_bytes(builders.epoch_bytes(fleet.trust, signed_by=1))
    assert edit(fleet.folder, *arguments).exit_code == VERIFICATION_FAILED


@pytest.fixture
def fleet(valkeys: Three, tmp_path: Path) -> Fleet:
    return make_fleet(tmp_path, valkeys)


def put_epoch(fleet: Fleet) -> Mark:
    raw = builders.epoch_bytes(fleet.trust)
    made = builders.open_epoch(raw, fleet.trust, clock.now().wall)
    lines = rollout.epoch_commands(fleet.trust, made, raw, (builders.POLICY, builders.ROUTES))

    async def put() -> None:
        peers = [Peer(server.address("p"), 2000) for server in fleet.servers]
        await rollout.publish(peers, lines)
        for peer in peers:
            peer.close()

    asyncio.run(put())
    return Mark(seq=made.seq, sha256=made.sha256)


@pytest.mark.redis
def test_floors_come_from_the_peers_that_are_named(fleet: Fleet) -> None:
    mark = put_epoch(fleet)
    fleet.json("halt", *fleet.peers(), *fleet.keys(Role.HALT, 1), "--reason", "why")
    result = run("set", *fleet.peers(), "--out", fleet.folder / "draft.json")
    assert result.exit_code == 0, result.output
    floors = draft(fleet.folder).body.floors
    assert (floors.epoch, floors.halt) == (mark, 1)


@pytest.mark.redis
def test_what_the_next_document_could_not_read_any_more_is_said(fleet: Fleet) -> None:
    put_epoch(fleet)
    keys = [
        part for number in (7, 8) for part in ("--new-key", signer(Role.EPOCH, number).public.hex())
    ]
    out = fleet.folder / "draft.json"
    result = run("rotate", "--role", "epoch", *keys, *fleet.peers(), "--out", out)
    assert result.exit_code == 0, result.output
    assert "epoch 1 is not signed by enough epoch keys of version 2" in result.stderr


@pytest.mark.redis
def test_peers_that_do_not_answer_are_an_error_and_needed_by_nobody(fleet: Fleet) -> None:
    for server in fleet.servers[:2]:
        server.stop()
    out = fleet.folder / "draft.json"
    result = run("set", *fleet.peers(), "--out", out)
    assert result.exit_code == UNAVAILABLE
    assert not out.exists()
    assert edit(fleet.folder, "set").exit_code == 0
