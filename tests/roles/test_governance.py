"""The governance log of an authority, over a real disk."""

import asyncio
import base64
import contextlib
import hashlib
import io
import json
import resource
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
from click.testing import CliRunner

from sidecar.audit import reader, segments
from sidecar.authority.publisher import RecordError
from sidecar.cli.governance import governance
from sidecar.core import canonical, envelope, governed, layout
from sidecar.core.issuing import Entry
from sidecar.core.log import record
from sidecar.core.log.note import NoteKey
from sidecar.core.objects import beat, trust
from sidecar.core.objects.trust import LogHead, Role
from sidecar.roles.governance import FOLDER, TILES, Ledger
from sidecar.roles.start import StartError
from sidecar.telemetry import logs
from tests import builders
from tests.integration.harness import LIMIT_S, Hand
from tests.roles.test_authority import Authority
from tests.valkey import HOST, ValkeyServer

KEY = builders.signer(Role.LOG)
TRUST = builders.make_trust()
ORIGIN = governed.origin("test", KEY.key_id)


def entry(number: int) -> Entry:
    return Entry("epoch", {"number": number, "sha256": f"{number:064x}", "by": []})


def opened(folder: Path) -> Ledger:
    return Ledger(folder, KEY, "test", logs.setup("info", io.StringIO(), lambda _: None))


@contextlib.asynccontextmanager
async def running(folder: Path, under: trust.Trust = TRUST) -> AsyncIterator[Ledger]:
    ledger = opened(folder)
    ledger.begin(under)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(ledger.run())
        yield ledger
        ledger.end()
    ledger._journal.close()


async def recorded(ledger: Ledger, *entries: Entry) -> LogHead:
    """Record, and wait for as long as a busy disk takes."""
    while True:
        try:
            return await ledger.record(entries)
        except RecordError as error:
            if "nothing reached the disk" not in str(error):
                raise
        entries = ()


async def test_a_head_covers_what_was_recorded_and_is_that_of_the_signed_checkpoint(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as ledger:
        one = await recorded(ledger, entry(1))
        two = await recorded(ledger, entry(2), entry(3))
        same = await recorded(ledger)
    assert (one.origin, one.size, two.size) == (ORIGIN, 2, 4)
    assert same == two
    report = reader.verify(tmp_path, NoteKey(ORIGIN, KEY.public))
    assert (report.verified, report.records, report.tail_records) == (True, 5, 0)
    assert (tmp_path / TILES / "checkpoint").read_bytes() == (tmp_path / "checkpoint").read_bytes()
    assert (tmp_path / TILES / "tile" / "entries" / "000.p" / "5").exists()


async def test_what_it_holds_is_known_after_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path) as ledger:
        await recorded(ledger, entry(1))
    async with running(tmp_path) as ledger:
        assert ledger.governed._recorded == {governed.name("epoch", entry(1).detail)}
        assert (await recorded(ledger)).size == 4


async def test_a_disk_that_hangs_is_waited_for_a_second_and_no_entry_is_written_twice(
    tmp_path: Path,
) -> None:
    ledger = opened(tmp_path)
    ledger.begin(TRUST)
    with pytest.raises(RecordError, match="nothing reached the disk within 1 s"):
        await ledger.record([entry(1)])
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(ledger.run())  # only now is there somebody who takes it to the disk
        assert (await recorded(ledger)).size == 2
        ledger.end()
    ledger._journal.close()


async def test_a_journal_that_fails_says_so_for_good(tmp_path: Path) -> None:
    async with running(tmp_path) as ledger:
        await recorded(ledger, entry(1))
        (tmp_path / segments.name(0)).unlink()
        with pytest.raises(RecordError, match="removed, moved or cut; see to that disk"):
            await recorded(ledger, entry(2))
        with pytest.raises(RecordError):
            await ledger.record([])


async def test_a_full_disk_says_so_and_what_to_do(tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with running(tmp_path) as ledger:
        await recorded(ledger, entry(1))
        limit = (tmp_path / segments.name(0)).stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
        try:
            with pytest.raises(RecordError, match="File too large; see to that disk"):
                await recorded(ledger, entry(2))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    async with running(tmp_path) as ledger:
        assert governed.name("epoch", entry(2).detail) not in ledger.governed._recorded


async def test_a_log_that_was_changed_is_not_gone_on_with(tmp_path: Path) -> None:
    async with running(tmp_path) as ledger:
        await recorded(ledger, entry(1))
    path = tmp_path / segments.name(0)
    path.write_bytes(path.read_bytes().replace(b'"number":1', b'"number":2'))
    before = path.read_bytes()
    with pytest.raises(StartError, match="a log of one key has one history"):
        opened(tmp_path)
    assert path.read_bytes() == before


async def test_a_key_without_the_role_starts_nothing(tmp_path: Path) -> None:
    ledger = opened(tmp_path)
    roles = {**builders.ROLES, Role.LOG: (0, 1)}
    with pytest.raises(StartError, match="no role log"):
        ledger.begin(builders.make_trust(roles=roles))
    assert (tmp_path / segments.name(0)).read_bytes() == b""


async def test_two_authorities_do_not_write_one_log(tmp_path: Path) -> None:
    async with running(tmp_path):
        with pytest.raises(StartError, match="another authority writes it"):
            opened(tmp_path)


async def test_files_for_others_that_cannot_be_written_end_nothing(tmp_path: Path) -> None:
    (tmp_path / TILES).write_text("in the way")
    async with running(tmp_path) as ledger:
        assert (await recorded(ledger, entry(1))).size == 2


# --- a real authority


def root_of(leaves: list[bytes]) -> bytes:
    """RFC 6962 2.1, word for word, and not the code under test."""
    if len(leaves) == 1:
        return hashlib.sha256(b"\x00" + leaves[0]).digest()
    half = 1 << ((len(leaves) - 1).bit_length() - 1)
    both = root_of(leaves[:half]) + root_of(leaves[half:])
    return hashlib.sha256(b"\x01" + both).digest()


class Public:
    """The public port of an authority, asked as anybody would."""

    def __init__(self, session: aiohttp.ClientSession, port: int) -> None:
        self._session = session
        self.address = f"http://{HOST}:{port}"
        self._url = f"{self.address}/log/"

    async def get(self, path: str) -> bytes:
        async with self._session.get(self._url + path) as response:
            assert response.status == 200, path
            return await response.read()

    async def checkpoint(self) -> tuple[str, int, bytes]:
        origin, size, root = (await self.get("checkpoint")).decode().split("\n")[:3]
        return origin, int(size), base64.b64decode(root)

    async def entries(self, size: int) -> list[bytes]:
        raw, found = await self.get(f"tile/entries/000.p/{size}"), []
        while raw:
            length = int.from_bytes(raw[:2], "big")
            found.append(raw[2 : 2 + length])
            raw = raw[2 + length :]
        return found

    async def governed(self, *wanted: tuple[str, int]) -> list[tuple[str, int]]:
        """What it lists once it lists all that is wanted; the root of it is the signed one."""
        async with asyncio.timeout(LIMIT_S):
            while True:
                _, size, root = await self.checkpoint()
                held = await self.entries(size) if size else []
                assert not held or root_of(held) == root
                said = [json.loads(line) for line in held]
                found = [(one["type"], one["detail"]["number"]) for one in said
                         if one["type"] not in ("start", "stop")]  # fmt: skip
                if set(wanted) <= set(found):
                    return found
                await asyncio.sleep(0.02)


@contextlib.contextmanager
def authority_of(folder: Path, hand: Hand) -> Iterator[Authority]:
    """One with a log key and a public port; killed in the end."""
    keys = {"beat": "beat.key", "log": "log.key"}
    listen = {"status": f"{HOST}:0", "public": f"{HOST}:0"}
    authority = Authority(folder, hand, 1, keys=keys, listen=listen)
    KEY.save(folder / "log.key")
    try:
        yield authority
    finally:
        authority.end(signal.SIGKILL)
        hand.close()


@pytest.mark.redis
@pytest.mark.slow
async def test_epoch_halt_clear_and_rotation_appear_once_each_also_over_a_kill(
    peers: tuple[ValkeyServer, ...], tmp_path: Path
) -> None:
    hand = Hand(peers)
    first = hand.put_epoch()
    head = layout.head_key(hand.trust.domain)
    hand.put(head, first.sha256.encode())
    async with aiohttp.ClientSession() as session:
        with authority_of(tmp_path / "authority", hand) as authority:
            authority.start()
            public = Public(session, await authority.port("public_listening"))
            await public.governed(("trust", 1), ("epoch", 1))
            hand.put_order(hand.order(), 1)
            await public.governed(("halt", 1))
            authority.end(signal.SIGKILL)
            authority.start()
            clear = hand.order(number=2, clears=builders.halt_id("1"))
            hand.put_order(clear)
            hand.rotate()
            hand.put(head, hand.put_epoch().sha256.encode())
            public = Public(session, await authority.port("public_listening"))
            found = await public.governed(("clear", 2), ("trust", 2), ("epoch", 2))
            assert sorted(found) == sorted(
                [("trust", 1), ("epoch", 1), ("halt", 1), ("clear", 2), ("trust", 2), ("epoch", 2)]
            )
            config = str(authority.folder / "authority.yaml")
            asked = ["verify", "--url", public.address, "--config", config, "-o", "json"]
            done = await asyncio.to_thread(CliRunner().invoke, governance, asked)
            assert (done.exit_code, "beats on the peers name roots" in done.stdout) == (0, True)
            assert authority.end() == 0
            assert beat_on(hand).gov_log.origin == ORIGIN
            held = authority.folder / FOLDER
            report = reader.verify(held, NoteKey(ORIGIN, KEY.public))
            assert (report.verified, report.tail_records) == (True, 0)
            said = [record.parse(line) for line in segments.whole(held, 0, report.records)]
            root = root_of(list(segments.whole(held, 0, beat_on(hand).gov_log.size))).hex()
            assert beat_on(hand).gov_log.root == root
            assert [one.type for one in said].count("start") == 2
            assert said[-1].type == "stop"


@pytest.mark.redis
@pytest.mark.slow
async def test_an_authority_whose_log_is_gone_signs_no_beat_says_why_and_spreads_halts(
    peers: tuple[ValkeyServer, ...], tmp_path: Path
) -> None:
    hand = Hand(peers)
    hand.put(layout.head_key(hand.trust.domain), hand.put_epoch().sha256.encode())
    async with aiohttp.ClientSession() as session:
        with authority_of(tmp_path / "authority", hand) as authority:
            authority.start()
            status = f"http://{HOST}:{await authority.port('status_listening')}"
            await until_ready(session, status)
            (authority.folder / FOLDER / segments.name(0)).unlink()
            hand.put_order(hand.order(), 1)
            async with asyncio.timeout(LIMIT_S):
                while True:
                    async with session.get(status + "/v1/state") as response:
                        state = await response.json()
                    if "governance-unwritten" in state["conditions"]:
                        break
                    await asyncio.sleep(0.02)
            assert "spec.keys.log" in state["conditions"]["governance-unwritten"]
            key = layout.halts_key(hand.trust.domain)
            async with asyncio.timeout(LIMIT_S):
                while not all(client.hlen(key) for client in hand.clients):
                    await asyncio.sleep(0.02)
            last = beat_on(hand)
            assert last.halts.seq == 0, "no beat names an order that is not in the log"
            await asyncio.sleep(0.5)  # five beats: nothing announces that there will be none
            assert beat_on(hand).seq == last.seq


@pytest.mark.redis
def test_a_key_without_the_role_ends_the_process_in_one_line(
    peers: tuple[ValkeyServer, ...], tmp_path: Path
) -> None:
    hand = Hand(peers, roles={**builders.ROLES, Role.LOG: (0, 1)})
    with authority_of(tmp_path / "authority", hand) as authority:
        status, said = authority.refused()
    assert status == 69
    assert said.startswith("error: governance log: trust version 1 gives key ")


def beat_on(hand: Hand) -> beat.Body:
    raw = hand.clients[0].get(hand.beat_key)
    assert isinstance(raw, bytes)
    payload = envelope.parse(raw, beat.MAX_BYTES).unverified_payload
    return canonical.load(payload, beat.Body, beat.MAX_BYTES)


async def until_ready(session: aiohttp.ClientSession, status: str) -> None:
    async with asyncio.timeout(LIMIT_S):
        while True:
            async with session.get(status + "/readyz") as response:
                if response.status == 200:
                    return
            await asyncio.sleep(0.02)
