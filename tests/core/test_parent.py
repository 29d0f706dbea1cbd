"""Tokens of parent decisions: made, read, and never believed when a byte of one is another's."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core import parent
from sidecar.core.parent import FALSE, NO_CLAIM, UNCHECKED, Claim, Demand, Tokens, Verdict
from sidecar.core.reason import Reason
from tests.builders import NOW

KEY, OTHER_KEY = bytes(range(32)), bytes(32)
AHEAD_MS = 1000
TOKENS = Tokens([KEY], AHEAD_MS)
ID = "0123456789abcdef-17"

ids = st.builds("{:016x}-{}".format, st.integers(0, 2**64 - 1), st.integers(0, 2**63 - 1).map(str))
verdicts: st.SearchStrategy[Verdict] = st.sampled_from(["permit", "deny"])
times = st.integers(0, 2**50)


def claim(*values: bytes, name: bytes = parent.HEADER, at: int = NOW) -> Claim:
    """What is made of a request with these lines between others."""
    lines = [(name, value) for value in values]
    return TOKENS.claim([(b"host", b"a"), *lines, (b"x-trace-number", b"1")], at)


@given(ids, verdicts, times, st.integers(0, 2**40))
def test_what_was_made_is_read_with_its_age(
    decision_id: str, verdict: Verdict, made: int, later: int
) -> None:
    token = TOKENS.make(decision_id, verdict, made)
    assert claim(token, at=made + later) == Claim(verdict, decision_id, later)


@given(ids, verdicts, times)
def test_the_mac_is_keyed_blake2s_over_all_that_stands_before_it(
    decision_id: str, verdict: Verdict, made: int
) -> None:
    said, _, mac = TOKENS.make(decision_id, verdict, made).rpartition(b".")
    assert said == f"{decision_id}.{verdict}.{made}".encode()
    expected = hashlib.blake2s(said, key=KEY, digest_size=16, person=b"eg-token")
    assert mac == expected.hexdigest().encode()


@given(st.binary(max_size=120))
def test_whatever_bytes_come_none_of_them_is_believed_and_nothing_is_raised(raw: bytes) -> None:
    assert claim(raw) == FALSE


@given(ids, verdicts, times, st.data())
def test_a_token_with_another_byte_is_none(
    decision_id: str, verdict: Verdict, made: int, data: st.DataObject
) -> None:
    token = TOKENS.make(decision_id, verdict, made)
    at = data.draw(st.integers(0, len(token) - 1))
    byte = data.draw(st.integers(0, 255).filter(lambda value: value != token[at]))
    changed = data.draw(
        st.sampled_from(
            [
                token[:at] + bytes([byte]) + token[at + 1 :],
                token[:at] + bytes([byte]) + token[at:],
                token[:at] + token[at + 1 :],
            ]
        ).filter(lambda value: value != token)
    )
    assert claim(changed, at=made) == FALSE


@pytest.mark.parametrize("more", [b"0", b".", b" ", b"\n", b".permit"])
def test_nothing_stands_before_or_after_a_token(more: bytes) -> None:
    token = TOKENS.make(ID, "permit", NOW)
    assert claim(token).kind == "permit"
    assert claim(token + more) == FALSE
    assert claim(more + token) == FALSE


def test_a_verdict_an_id_or_a_time_cannot_be_lent_from_another_token() -> None:
    """The parts of true tokens, put together anew."""
    made: list[tuple[str, Verdict, int]] = [
        (ID, "deny", NOW), (ID, "permit", NOW - 10), ("f" * 16 + "-1", "permit", NOW)
    ]  # fmt: skip
    tokens = [TOKENS.make(*one).split(b".") for one in made]
    true = {b".".join(token) for token in tokens}
    mixed = {
        b".".join((a[0], b[1], c[2], d[3]))
        for a in tokens for b in tokens for c in tokens for d in tokens
    }  # fmt: skip
    believed = {token for token in mixed if claim(token) != FALSE}
    assert believed == true


@pytest.mark.parametrize(
    "spelling",
    [
        "{id}.PERMIT.{ms}", "0{id}.permit.{ms}", "{id}.permit.0{ms}", "{id}.permit.+{ms}",
        " {id}.permit.{ms}", "{id}.permit.{ms}.", "{id}.permit.-1", "{id}.permit.",
        "0123456789ABCDEF-17.permit.{ms}", "0123456789abcdef-017.permit.{ms}",
        "0123456789abcdef-.permit.{ms}", "{id}.permit.1" + "0" * 16, "{id}.observe.{ms}",
    ],
)  # fmt: skip
def test_another_spelling_is_no_token_whatever_its_mac(spelling: str) -> None:
    said = spelling.format(id=ID, ms=NOW).encode()
    mac = hashlib.blake2s(said, key=KEY, digest_size=16, person=b"eg-token").hexdigest().encode()
    assert claim(said + b"." + mac) == FALSE
    token = TOKENS.make(ID, "permit", NOW)
    assert claim(token[:-32] + token[-32:].upper()) == FALSE


def test_a_token_of_another_fleet_or_for_another_purpose_is_none() -> None:
    assert claim(Tokens([OTHER_KEY], 0).make(ID, "permit", NOW)) == FALSE
    said = f"{ID}.permit.{NOW}".encode()
    fence = hashlib.blake2s(said, key=KEY, digest_size=16, person=b"eg-fence").hexdigest()
    assert claim(said + b"." + fence.encode()) == FALSE


def test_a_token_from_the_future_is_none_but_for_what_clocks_may_differ() -> None:
    token = TOKENS.make(ID, "permit", NOW + AHEAD_MS)
    assert claim(token) == Claim("permit", ID, 0)
    assert claim(token, at=NOW - 1) == FALSE


def test_a_request_without_the_header_claims_nothing() -> None:
    assert claim() == NO_CLAIM
    assert claim(b"x", name=b"parent-decisions") == NO_CLAIM


def test_a_header_twice_or_spelled_so_that_others_read_it_alike_is_false() -> None:
    token = TOKENS.make(ID, "permit", NOW)
    assert claim(token, token) == FALSE
    assert claim(token, name=b"parent_decision") == FALSE
    both = [(b"parent-decision", token), (b"parent_decision", token)]
    assert TOKENS.claim(both, NOW) == FALSE


OPTIONAL, REQUIRED = Demand(1000, required=False), Demand(1000, required=True)


@pytest.mark.parametrize("demand", [OPTIONAL, REQUIRED])
@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (Claim("permit", ID, 1000), None),
        (Claim("permit", ID, 1001), Reason.PARENT_DENIED),
        (Claim("deny", ID, 0), Reason.PARENT_DENIED),
        (FALSE, Reason.PARENT_DENIED),
        (UNCHECKED, Reason.PROFILE_UNSUPPORTED),
    ],
)
def test_only_a_young_permit_is_good_enough(
    demand: Demand, found: Claim, reason: Reason | None
) -> None:
    assert demand.refuses(found) is reason


def test_only_where_a_parent_is_required_one_that_has_none_is_denied() -> None:
    assert OPTIONAL.refuses(NO_CLAIM) is None
    assert REQUIRED.refuses(NO_CLAIM) is Reason.PARENT_DENIED


def test_a_profile_can_only_tighten_what_a_policy_asks_for() -> None:
    assert parent.together(None, by_profile=False) is None
    assert parent.together(OPTIONAL, by_profile=False) == OPTIONAL
    assert parent.together(OPTIONAL, by_profile=True) == REQUIRED
    assert parent.together(REQUIRED, by_profile=True) == REQUIRED
    alone = parent.together(None, by_profile=True)
    assert alone == Demand(parent.PROFILE_MAX_AGE_MS, required=True)


def test_a_key_has_32_bytes() -> None:
    with pytest.raises(ValueError, match="32"):
        Tokens([KEY, b"short"], 0)
    with pytest.raises(ValueError, match="32"):
        Tokens([], 0)


def test_a_second_key_is_believed_and_nothing_is_made_with_it() -> None:
    """So a fleet goes from one key to the next: first all believe it, then all use it."""
    both = Tokens([KEY, OTHER_KEY], 0)
    assert both.make(ID, "permit", NOW) == TOKENS.make(ID, "permit", NOW)
    for made in (TOKENS, Tokens([OTHER_KEY], 0)):
        headers = [(parent.HEADER, made.make(ID, "permit", NOW))]
        assert both.claim(headers, NOW) == Claim("permit", ID, 0)
