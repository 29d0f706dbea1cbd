"""Counting: groups, their order, examples, and a limit."""

import pytest

from sidecar.cli.workbench import flips
from sidecar.cli.workbench.flips import EXAMPLES, Flips, Group, Kind


def group(kind: Kind, rule: str = "r") -> Group:
    return Group(kind, "permit", None, rule, "route")


def test_the_kinds_that_matter_come_first_and_of_each_the_greatest() -> None:
    found = Flips()
    for kind, rule, count in (
        (Kind.SAME, "a", 9), (Kind.TIGHTER, "b", 1), (Kind.TIGHTER, "c", 2), (Kind.LOOSER, "d", 1),
    ):  # fmt: skip
        for number in range(count):
            found.of(group(kind, rule)).add(str(number))
    assert [one.was_rule for one, _ in found] == ["d", "c", "b", "a"]
    assert found.count(Kind.TIGHTER, Kind.LOOSER) == 4


def test_only_a_few_examples_are_kept_also_of_several_logs() -> None:
    one, two = Flips(), Flips()
    for number in range(2):
        one.of(group(Kind.TIGHTER)).add(f"a-{number}")
    for number in range(9):
        two.of(group(Kind.TIGHTER)).add(f"b-{number}")
    one.records, two.records, two.unreadable = 1, 2, 3
    one.merge(two)
    ((_, tally),) = list(one)
    assert (tally.count, tally.examples) == (11, ["a-0", "a-1", "b-0"][:EXAMPLES])
    assert (one.records, one.unreadable) == (3, 3)


def test_a_log_that_names_anything_takes_no_more_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flips, "GROUPS_MAX", 4)
    found = Flips()
    for number in range(20):
        found.of(group(Kind.TIGHTER, str(number))).add(str(number))
    assert found.count(Kind.TIGHTER) == 20
    assert len(list(found)) == 5
    assert found.of(group(Kind.TIGHTER, "99")).count == 16
