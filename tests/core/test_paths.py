"""Path patterns: what matches, what never does, and agreement with a naive matcher."""

from collections.abc import Sequence

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.core import paths
from sidecar.core.paths import PathIndex

# Few letters, so that generated patterns and paths meet; and all that makes a path not plain.
PIECES = ["a", "b", "*", "**", ".", "..", "", "a;b", "%61", "a.b", "\\"]
segments = st.lists(st.sampled_from(PIECES), min_size=1, max_size=5)
some_paths = segments.map(lambda parts: "/" + "/".join(parts))
some_patterns = some_paths.filter(lambda pattern: paths.problem(pattern) is None)


def naive(pattern: str, path: str) -> bool:
    """The rules of the module header, written as slowly and plainly as possible."""
    want, have = pattern.split("/")[1:], path.split("/")[1:]
    if not {"*", "**"} & set(want):
        return pattern == path
    if any(part in ("", ".", "..") for part in have[:-1]) or have[-1] in (".", ".."):
        return False
    if any(letter in path for letter in "%;\\"):
        return False
    if want[-1] == "**":
        if len(have) < len(want):
            return False
        want, have = want[:-1], have[: len(want) - 1]
    return len(want) == len(have) and all(
        (part != "" if piece == "*" else piece == part)
        for piece, part in zip(want, have, strict=True)
    )


@given(st.lists(st.lists(some_patterns, min_size=1, max_size=3), max_size=6), some_paths)
@example([["/a/**"], ["/a/*"], ["/a/b"], ["/**"]], "/a/b")
@example([["/a/*"]], "/a/")
@example([["/a/**"]], "/a")
@example([["/a/**"]], "/a/")
def test_the_index_agrees_with_a_naive_matcher(
    patterns: Sequence[Sequence[str]], path: str
) -> None:
    index = PathIndex([[pattern.encode() for pattern in entry] for entry in patterns])
    expected = tuple(
        number
        for number, entry in enumerate(patterns)
        if any(naive(pattern, path) for pattern in entry)
    )
    assert index.candidates(path.encode()) == expected


@given(st.binary(max_size=40))
def test_any_bytes_are_answered(path: bytes) -> None:
    PathIndex([[b"/a/*"], [b"/**"]]).candidates(path)


@pytest.mark.parametrize(
    "path",
    [
        b"/v1/%63hat", b"/v1%2Fchat", b"/v1//chat", b"//v1/chat", b"/v1/./chat", b"/v1/../chat",
        b"/v1/chat/..", b"/v1/chat/.", b"/v1/chat;x", b"/v1\\chat", b"/v1/ch\xc3\xa9", b"/v1/a b",
        b"/v1/\x00", b"/v1/<x>", b"/v1/{x}", b"/v1/a?b", b"/v1/a#b",
    ],
)  # fmt: skip
def test_attack_by_other_bytes_is_matched_by_no_wildcard(path: bytes) -> None:
    assert PathIndex([[b"/**"], [b"/v1/**"], [b"/v1/*"], [b"/*/*"]]).candidates(path) == ()


def test_odd_bytes_match_a_pattern_that_spells_them_out() -> None:
    odd = b"/v1/%63hat"
    assert PathIndex([[b"/v1/chat"], [odd], [b"/**"]]).candidates(odd) == (1,)


@pytest.mark.parametrize(
    "path", [b"/v1/a.b", b"/v1/.well-known", b"/v1/a..b", b"/v1/...", b"/v1/x"]
)
def test_dots_inside_of_a_segment_are_plain(path: bytes) -> None:
    assert PathIndex([[b"/v1/*"]]).candidates(path) == (0,)


def test_candidates_come_in_the_order_of_the_list() -> None:
    index = PathIndex([[b"/**"], [b"/a"], [b"/*"], [b"/b"], [b"/a", b"/a"]])
    assert index.candidates(b"/a") == (0, 1, 2, 4)


def test_attack_by_a_path_of_asterisks_does_not_multiply_the_work() -> None:
    """Work depends on the path: 200 segments visit 200 nodes, not two to the power of 200."""
    depth = 200
    index = PathIndex([[b"/*" * depth]])
    assert index.candidates(b"/*" * depth) == (0,)


@pytest.mark.parametrize(
    ("pattern", "says"),
    [
        ("v1", "start with /"), ("", "start with /"), ("/a b", "printable"), ("/\x7f\xff", "ASCII"),
        ("/a?b", "query"), ("/a#b", "query"), ("/**/a", "last segment"), ("/a*", "whole segment"),
        ("/***", "whole segment"), ("/%61/*", "plain"), ("/a//*", "plain"), ("/../**", "plain"),
        ("/a;b/*", "plain"),
    ],
)  # fmt: skip
def test_a_pattern_that_cannot_be_kept_is_refused_with_a_word(pattern: str, says: str) -> None:
    assert says in (paths.problem(pattern) or "")


@pytest.mark.parametrize("pattern", ["/", "/v1", "/v1/", "/*", "/**", "/a/*/b/**", "/%61", "/a//b"])
def test_a_pattern_that_can_be_kept_is_fine(pattern: str) -> None:
    assert paths.problem(pattern) is None
