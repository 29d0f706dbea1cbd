"""Families of decisions over the journals of several pods."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from sidecar.audit.lineage import family
from sidecar.audit.recorder import Recorder
from sidecar.core import canonical, policy
from sidecar.core.gate import Denial, Gate
from sidecar.core.parent import NO_CLAIM, Claim
from sidecar.core.policy_body import ParentBody
from sidecar.core.reason import Reason
from tests import builders
from tests.audit import journals

ALPHA, BETA = "a" * 16, "b" * 16  # boot ids of two pods


def asking() -> policy.Policy:
    body = canonical.load(builders.POLICY, policy.Body, policy.MAX_BYTES)
    asks = ParentBody(max_age_ms=1000, required=False)
    return policy.parse(canonical.dump(msgspec.structs.replace(body, parent=asks)))


def write(folder: Path, boot: str, parents: list[str | None]) -> Path:
    """A journal with one denial for each of these parents; None: it has none."""
    journal = journals.open_journal(folder)
    recorder = Recorder(journal, boot, "pod", Gate().place, lambda settle: settle(), bytes(32))
    denial = Denial(Reason.POLICY_DENY, replace(journals.make_snapshot(), policy=asking()))
    for number, parent in enumerate(parents):
        claim = NO_CLAIM if parent is None else Claim("permit", parent, 1)
        head = replace(journals.HEAD, parent=claim)
        assert recorder.decision(denial, head, None, builders.now(number)) == f"{boot}-{number}"
    journal.close()
    return folder


@pytest.fixture(scope="module")
def pods(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Path]:
    """a-0 has the children b-0 and b-1; b-1 has a-1 and a-2; b-2 has a parent in a third pod."""
    folder = tmp_path_factory.mktemp("lineage")
    return {
        "alpha": write(folder / "alpha", ALPHA, [None, f"{BETA}-1", f"{BETA}-1", None]),
        "beta": write(folder / "beta", BETA, [f"{ALPHA}-0", f"{ALPHA}-0", "c" * 16 + "-9"]),
    }


def tree(folders: list[Path], decision_id: str) -> list[tuple[str, int, bool]]:
    return [
        (one.decision_id[0] + one.decision_id[16:], one.depth, one.said is not None)
        for one in family(folders, decision_id)
    ]


def test_elders_come_first_then_the_one_then_all_that_descend(pods: Mapping[str, Path]) -> None:
    both = [*pods.values()]
    assert tree(both, f"{ALPHA}-0") == [
        ("a-0", 0, True), ("b-0", 1, True), ("b-1", 1, True), ("a-1", 2, True), ("a-2", 2, True),
    ]  # fmt: skip
    middle = [("a-0", 0, True), ("b-1", 1, True), ("a-1", 2, True), ("a-2", 2, True)]
    assert tree(both, f"{BETA}-1") == middle
    assert tree(both, f"{ALPHA}-2") == [("a-0", 0, True), ("b-1", 1, True), ("a-2", 2, True)]
    assert tree(both, f"{ALPHA}-3") == [("a-3", 0, True)]


def test_what_no_journal_holds_is_missing_and_named(pods: Mapping[str, Path]) -> None:
    assert tree([*pods.values()], f"{BETA}-2") == [("c-9", 0, False), ("b-2", 1, True)]
    assert tree([pods["beta"]], f"{BETA}-1") == [("a-0", 0, False), ("b-1", 1, True)]
    assert tree([pods["beta"]], "d" * 16 + "-1") == [("d-1", 0, False)]


def test_a_circle_that_somebody_wrote_ends_where_it_began(tmp_path: Path) -> None:
    folder = write(
        tmp_path / "forged", ALPHA, [f"{ALPHA}-1", f"{ALPHA}-2", f"{ALPHA}-0", f"{ALPHA}-3"]
    )
    assert tree([folder], f"{ALPHA}-0") == [
        ("a-2", 0, True), ("a-1", 1, True), ("a-0", 2, True), ("a-2", 3, True), ("a-1", 4, True),
    ]  # fmt: skip
    assert tree([folder], f"{ALPHA}-3") == [("a-3", 0, True)]
