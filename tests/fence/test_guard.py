"""The key file as it comes, changes and goes; and what is exempt."""

import time
from pathlib import Path
from typing import Any

import pytest

from sidecar.fence import check
from sidecar.fence.check import Refusal
from sidecar.fence.guard import Guard, problem, read_clocks
from tests.fence.caller import KEY, fenced, write_key

OTHER = bytes(reversed(KEY))


def judge(guard: Guard, key: bytes, method: str = "POST", target: str = "/x") -> Refusal | None:
    headers = [(n.encode(), v.encode()) for n, v in fenced(method, target, key=key).items()]
    return guard.refusal(method.encode(), [target.encode()], headers)


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    return tmp_path / "fence.key"


def test_refuses_everything_while_there_is_no_key_and_passes_once_there_is(key_file: Path) -> None:
    guard = Guard(key_file, ())
    assert judge(guard, KEY) is check.NO_KEY
    write_key(key_file)
    assert judge(guard, KEY) is None


def test_refuses_everything_while_the_key_file_holds_no_key(key_file: Path) -> None:
    key_file.write_text("not a key\n")
    guard = Guard(key_file, ())
    assert judge(guard, KEY) is check.NO_KEY
    write_key(key_file)
    assert judge(guard, KEY) is None


def test_follows_the_key_of_a_sidecar_that_started_anew(key_file: Path) -> None:
    guard = Guard(write_key(key_file), ())
    assert judge(guard, KEY) is None
    write_key(key_file, OTHER)
    assert judge(guard, OTHER) is None
    assert judge(guard, KEY) is check.INVALID


def test_a_new_key_that_another_thread_has_just_read_counts_for_this_request_too(
    key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = Guard(write_key(key_file), ())
    assert judge(guard, KEY) is None
    write_key(key_file, OTHER)
    verify = check.verify

    def verify_and_be_overtaken(*args: Any) -> Refusal | None:
        found = verify(*args)
        monkeypatch.setattr(check, "verify", verify)
        assert judge(guard, OTHER) is None
        return found

    monkeypatch.setattr(check, "verify", verify_and_be_overtaken)
    assert judge(guard, OTHER) is None


def test_goes_on_with_the_known_key_when_the_file_is_gone(key_file: Path) -> None:
    """The sidecar that made it may still run; nobody else can have made that MAC."""
    guard = Guard(write_key(key_file), ())
    assert judge(guard, KEY) is None
    key_file.unlink()
    assert judge(guard, KEY) is None
    assert judge(guard, OTHER) is check.INVALID


def test_a_forged_mac_does_not_make_it_read_a_file_that_did_not_change(
    key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    guard = Guard(write_key(key_file), ())
    assert judge(guard, KEY) is None
    parsed: list[bytes] = []
    monkeypatch.setattr(check, "parse_key", parsed.append)
    assert judge(guard, OTHER) is check.INVALID
    assert parsed == []


def test_an_exempt_target_passes_without_a_permit_and_without_a_key(key_file: Path) -> None:
    guard = Guard(key_file, ["/health"])
    for method in (b"GET", b"HEAD"):
        assert guard.refusal(method, [b"/health"], []) is None


@pytest.mark.parametrize(
    ("method", "target"),
    [
        (b"POST", b"/health"), (b"OPTIONS", b"/health"), (b"get", b"/health"),
        (b"GET", b"/health/"), (b"GET", b"/health?x=1"), (b"GET", b"//health"),
        (b"GET", b"/Health"), (b"GET", b"/%68ealth"), (b"GET", b"/"),
    ],
)  # fmt: skip
def test_what_only_resembles_an_exempt_target_is_judged(
    key_file: Path, method: bytes, target: bytes
) -> None:
    guard = Guard(write_key(key_file), ["/health"])
    judge(guard, KEY)
    assert guard.refusal(method, [target], []) is check.MISSING


def test_refuses_when_the_server_does_not_tell_the_target(key_file: Path) -> None:
    guard = Guard(write_key(key_file), ["/health"])
    assert guard.refusal(b"GET", [], []) is check.NO_TARGET


def test_exempt_given_as_one_string_is_an_error(key_file: Path) -> None:
    """A string is a list of letters, and "/" would be one of them."""
    with pytest.raises(TypeError, match="list of targets"):
        Guard(key_file, "/health")


def test_the_clocks_are_those_that_the_sidecar_reads() -> None:
    before = time.clock_gettime(time.CLOCK_BOOTTIME), time.time()
    read = read_clocks()
    after = time.clock_gettime(time.CLOCK_BOOTTIME), time.time()
    assert int(before[0] * 1000) <= read.boot_ms <= after[0] * 1000
    assert int(before[1] * 1000) <= read.wall_ms <= after[1] * 1000


def test_the_answer_says_which_kind_and_nothing_of_the_request() -> None:
    fields, body = problem(check.LATE)
    assert dict(fields)["content-type"] == "application/problem+json"
    assert dict(fields)["content-length"] == str(len(body))
    assert b'"urn:epochgate:fence:late"' in body
