"""Which patterns can match one path, and which match all that another matches."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.cli.workbench.overlap import covers, meet
from sidecar.core.paths import PathIndex, problem
from sidecar.core.policy_body import RuleBody

segments = st.sampled_from(["a", "b", "*", "", "a;x"])
patterns = (
    st.tuples(st.lists(segments, min_size=1, max_size=3), st.sampled_from(["", "/**"]))
    .map(lambda made: "/" + "/".join(made[0]) + made[1])
    .filter(lambda pattern: problem(pattern) is None)
)
paths = st.lists(st.sampled_from(["a", "b", "", "a;x", "*"]), min_size=1, max_size=4).map(
    lambda parts: "/" + "/".join(parts)
)


def matches(pattern: str, path: str) -> bool:
    return bool(PathIndex([[pattern.encode()]]).candidates(path.encode()))


def rule(*paths: str, methods: tuple[str, ...] = ()) -> RuleBody:
    return RuleBody("r", "permit", methods, paths, (), "cut")


@given(patterns, patterns, paths)
def test_two_patterns_that_match_one_path_meet(one: str, two: str, path: str) -> None:
    if matches(one, path) and matches(two, path):
        assert meet(rule(one), rule(two))


@given(patterns, patterns, paths)
def test_a_pattern_that_covers_another_matches_all_of_it(one: str, two: str, path: str) -> None:
    if covers([one], [two]) and matches(two, path):
        assert matches(one, path)


@pytest.mark.parametrize(
    ("one", "two", "found"),
    [
        ("/v1/a", "/v1/a", True), ("/v1/a", "/v1/b", False), ("/v1/*", "/v1/a", True),
        ("/v1/*", "/v1/a/b", False), ("/v1/**", "/v1/a/b", True), ("/v1/**", "/v1", False),
        ("/*/a", "/b/*", True), ("/v1/*", "/v1/", False), ("/v1/*", "/v1/a;b", False),
    ],
)  # fmt: skip
def test_patterns_meet_or_do_not(one: str, two: str, found: bool) -> None:  # noqa: FBT001
    assert meet(rule(one), rule(two)) is meet(rule(two), rule(one)) is found


@pytest.mark.parametrize(
    ("wide", "narrow", "found"),
    [
        (["/v1/**"], ["/v1/a", "/v1/*/b"], True), (["/v1/*"], ["/v1/**"], False),
        (["/v1/*"], ["/v1/a"], True), (["/v1/a"], ["/v1/*"], False), (["/a"], ["/a", "/b"], False),
        (["/v1/**"], ["/v1/a;b"], False), (["/v1/*"], ["/v1/"], False),
        (["/v1/**"], ["/v1"], False),
    ],
)  # fmt: skip
def test_patterns_cover_or_do_not(wide: list[str], narrow: list[str], found: bool) -> None:  # noqa: FBT001
    assert covers(wide, narrow) is found


def test_rules_for_different_methods_do_not_meet() -> None:
    post, get, anything = (rule("/a", methods=said) for said in (("POST",), ("GET",), ()))
    assert not meet(post, get)
    assert meet(post, anything)
