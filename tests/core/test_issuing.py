"""Conditions are told when they begin, change and end: a log that is read has no repeats."""

from sidecar.core.issuing import Conditions, Fact, Tell


def test_condition_is_told_when_it_begins_changes_and_ends_and_never_in_between() -> None:
    conditions = Conditions()
    told = []
    for detail in ("", "", "one", "one", "two", "two", "", ""):
        told += conditions.set(Fact.UNCOMMITTED, detail)
    assert told == [
        Tell(Fact.UNCOMMITTED, "one"),
        Tell(Fact.UNCOMMITTED, "two"),
        Tell(Fact.UNCOMMITTED, "two", over=True),
    ]


def test_conditions_do_not_mix() -> None:
    conditions = Conditions()
    conditions.set(Fact.NO_EPOCH, "x")
    assert conditions.set(Fact.HALTED, "") == []


def test_facts_are_words_for_logs_and_metrics() -> None:
    assert all(fact.value.replace("-", "").isalpha() for fact in Fact)
    assert len({fact.value for fact in Fact}) == len(Fact)
