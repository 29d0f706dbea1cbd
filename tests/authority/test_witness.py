"""A witness over real HTTP: what it answers, what it remembers, and what it never cosigns."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import aiohttp
import pytest

from sidecar import durable
from sidecar.authority import witness, witnessed
from sidecar.core.fleet import Fleet
from sidecar.core.log import checkpoint, cosignature, note
from sidecar.core.log import witness as asking
from sidecar.core.log.checkpoint import Checkpoint
from tests import builders, witnesses
from tests.audit.journals import KEY, SIGNER
from tests.core.log.test_witness import head, proved
from tests.witnesses import WitnessServer

PATH = f"/{hashlib.sha256(KEY.name.encode()).hexdigest()}/checkpoint"


def signed(size: int, root: bytes | None = None) -> bytes:
    made = Checkpoint(KEY.name, size, head(size).root if root is None else root)
    text = made.text()
    return note.seal(text, KEY, SIGNER.sign(text.encode())).encode()


def body(old: int, size: int, hashes: Sequence[bytes] | None = None) -> bytes:
    return asking.write(old, proved(old, size) if hashes is None else hashes, signed(size))


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[WitnessServer]:
    async with witnesses.serving(tmp_path / "witness") as made:
        made.known[KEY.name] = KEY.public
        yield made


async def ask(
    server: WitnessServer, raw: bytes | None, path: str = "/add-checkpoint"
) -> tuple[int, bytes, str]:
    method = "GET" if raw is None else "POST"
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, server.url + path, data=raw) as answer,
    ):
        return answer.status, await answer.read(), answer.content_type


async def test_it_cosigns_a_log_that_grows_and_shows_what_it_cosigned(
    server: WitnessServer,
) -> None:
    old = 0
    for size in (3, 3, 20):
        status, line, kind = await ask(server, body(old, size))
        assert (status, kind) == (200, "text/plain")
        text, [made] = cosignature.find(signed(size) + line, [server.witness.key.public])
        assert checkpoint.parse(text).size == size
        assert made.key == server.witness.key
        shown = await ask(server, None, PATH)
        assert shown == (200, signed(size) + line, "text/plain")
        old = size


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"rubbish", 400), (body(7, 5, []), 400),
        (body(0, 5).replace(b"pod-1", b"pod-2"), 404),
        (asking.write(0, [], note.seal(head(5).text(), KEY, bytes(64)).encode()), 404),
        (asking.write(0, [], note.seal(head(5).text().replace("log", "pod-1"), KEY, bytes(64))
                      .encode()), 403),
        (body(3, 5), 409), (body(0, 5, [bytes(32)]), 422),
    ],
)  # fmt: skip
async def test_what_it_does_not_cosign(server: WitnessServer, raw: bytes, status: int) -> None:
    assert (await ask(server, raw))[0] == status
    assert (await ask(server, None, PATH))[0] == 404
    assert list(server.folder.iterdir()) == [], "nothing was remembered"


async def test_whoever_asks_from_another_size_is_told_the_one_that_counts(
    server: WitnessServer,
) -> None:
    await ask(server, body(0, 5))
    assert await ask(server, body(0, 9)) == (409, b"5\n", asking.SIZE_TYPE)
    assert (await ask(server, body(5, 9)))[0] == 200


async def test_a_second_past_is_never_cosigned(server: WitnessServer) -> None:
    await ask(server, body(0, 5))
    other = asking.write(5, [], signed(5, bytes(32)))
    assert (await ask(server, other))[0] == 422
    longer = asking.write(5, proved(5, 9), signed(9, bytes(32)))
    assert (await ask(server, longer))[0] == 422
    assert (await ask(server, None, PATH))[1].startswith(signed(5))


async def test_it_remembers_across_a_restart_also_logs_that_report_no_more(
    server: WitnessServer, tmp_path: Path
) -> None:
    await ask(server, body(0, 5))
    await server.server.close()
    async with witnesses.serving(tmp_path / "witness") as again:
        assert (await ask(again, body(0, 5)))[:2] == (409, b"5\n")
        assert (await ask(again, body(5, 9)))[0] == 200


async def test_it_is_on_the_disk_before_anybody_is_answered(
    server: WitnessServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The write fails: no cosignature leaves, and what was there before still counts."""
    await ask(server, body(0, 5))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(durable, "replace", full)
        status, said, _ = await ask(server, body(5, 9))
        assert (status, said) == (500, b"the record of this log cannot be used\n")
        await ask(server, body(5, 9))
    assert len(server.complaints) == 1, "said once"
    assert (await ask(server, None, PATH))[1].startswith(signed(5))
    assert (await ask(server, body(5, 9)))[0] == 200


async def test_a_damaged_record_refuses_its_log_and_no_other(server: WitnessServer) -> None:
    await ask(server, body(0, 5))
    path = next(server.folder.glob("*.json"))
    path.write_bytes(path.read_bytes()[:-9])
    async with witnesses.serving(server.folder) as again:
        again.known[KEY.name] = KEY.public
        for raw in (body(0, 5), body(5, 9), body(0, 9)):
            assert (await ask(again, raw))[0] == 500
        assert (await ask(again, None, PATH))[0] == 500
        assert again.complaints == [again.complaints[0]]
        assert "EG405" in again.complaints[0]
        other = note.NoteKey("epochgate/test/other", SIGNER.public)
        again.known[other.name] = other.public
        text = Checkpoint(other.name, 0, head(0).root).text()
        raw = note.seal(text, other, SIGNER.sign(text.encode())).encode()
        assert (await ask(again, asking.write(0, [], raw)))[0] == 200


async def test_of_two_at_once_only_one_is_judged_against_what_was(server: WitnessServer) -> None:
    """Else the later answer could take back what the first one cosigned."""
    await ask(server, body(0, 5))
    answers = await asyncio.gather(*(ask(server, body(5, size)) for size in range(6, 26)))
    assert sorted(answer[0] for answer in answers) == [200] + [409] * 19
    shown = checkpoint.parse(note.unverified((await ask(server, None, PATH))[1]))
    good = next(answer for answer in answers if answer[0] == 200)
    assert [answer[1] for answer in answers if answer is not good] == [b"%d\n" % shown.size] * 19


async def test_there_is_an_end_to_how_many_logs_it_takes(
    server: WitnessServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(witnessed, "LOGS_MAX", 0)
    assert (await ask(server, body(0, 5)))[0] == 503


def test_a_log_is_known_by_the_report_of_its_instance() -> None:
    fleet = Fleet("test", 10_000)
    fleet.look([[builders.report_bytes(1), builders.report_bytes(2)]], builders.now())
    one, two = fleet.members
    name, public = one.name, bytes.fromhex(one.report.says.public)

    def known(origin: str, domain: str = "test") -> bytes | None:
        return witness.key_of(origin, domain, fleet.members)

    for suffix in ("", "-follower", "-worker-0", "-worker-63"):
        assert known(f"epochgate/test/{name}{suffix}") == public
    assert known(f"epochgate/test/{two.name}") != public
    for origin in (
        name, f"epochgate/other/{name}", f"epochgate/test/{name}x", f"epochgate/test/x{name[1:]}",
        f"epochgate/test/{name}-worker-", f"epochgate/test/{name}/worker-1",
        "epochgate/test/governance", f"epochgate/test/{name[:-1]}0-follower-worker-1",
    ):  # fmt: skip
        assert known(origin) is None, origin
    assert known(f"epochgate/test/{name}", "other") is None
