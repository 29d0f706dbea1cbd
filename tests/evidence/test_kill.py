"""A kill, and what is told of a sidecar that forgets."""

import json
import shutil
from pathlib import Path

import pytest

from tests.evidence import kill, specimen
from tests.evidence.kill import Found, Journal, Lane, Plain
from tests.evidence.stage import Upstream
from tests.integration.harness import Sidecar

pytestmark = pytest.mark.slow


@pytest.mark.redis
def test_a_kill_loses_nothing() -> None:
    line = kill.run(1, 4, lambda _: None, lanes=1)[0]
    assert not line.wrong
    assert line.count == 1


class _Gone(Sidecar):
    """One that has been killed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder


def test_a_request_without_a_permit_and_a_lost_record_are_told(tmp_path: Path) -> None:
    made = specimen.make(tmp_path / "state" / "audit", 6, 6, 100_000)
    records = [json.loads(line) for line in made.lines]
    permit, denial = (
        next(one["decision_id"] for one in records if one.get("decision") == verdict)
        for verdict in ("permit", "deny")
    )
    upstream, found = Upstream(), Found()
    lane = Lane("x", tmp_path, None, upstream, found, 1)  # type: ignore[arg-type] # starts none
    journal = Journal("x", _Gone(tmp_path), lane)
    upstream.seen = {"/v1/x/1": [permit], "/v1/x/2": [denial], "/v1/x/3": ["none"]}
    journal._clients.told = [denial, "forgotten"]
    assert journal._read() == [
        f"/v1/x/1 reached the service, and there is no permit {permit}",  # of another path
        f"/v1/x/2 reached the service, and there is no permit {denial}",
        "/v1/x/3 reached the service, and there is no permit none",
        "a client was told forgotten, which is lost",
    ]
    assert (found.forwarded, found.told) == (3, 2)


def test_a_journal_that_was_replaced_between_two_kills_is_told(tmp_path: Path) -> None:
    made = specimen.make(tmp_path / "one", 6, 6, 100_000)
    plain = Plain(made.folder)
    assert not list(plain.read())
    assert len(plain.decisions) == 4
    other = specimen.make(tmp_path / "two", 9, 9, 100_000, salt=1)
    shutil.copy(other.places[0][0], made.places[0][0])
    assert "replaced" in "".join(plain.read())
