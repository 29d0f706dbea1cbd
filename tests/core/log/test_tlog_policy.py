"""The policy file, in the form that its specification shows."""

import pytest

from sidecar.core.log import tlog_policy
from sidecar.core.log.cosignature import WitnessKey
from sidecar.core.log.note import NoteKey
from sidecar.core.objects.trust import Role
from tests import builders
from tests.audit.journals import KEY

ONE, TWO = (WitnessKey(f"w/{n}", builders.signer(Role.WITNESS, n).public) for n in (1, 2))


def test_it_names_logs_witnesses_and_how_many_are_needed() -> None:
    assert tlog_policy.write([KEY, NoteKey("b", KEY.public)], [ONE, TWO], 2).splitlines() == [
        f"log {KEY}",
        f"log {NoteKey('b', KEY.public)}",
        f"witness w1 {ONE}",
        f"witness w2 {TWO}",
        "group witnesses 2 w1 w2",
        "quorum witnesses",
    ]


def test_without_witnesses_nobody_has_to_cosign() -> None:
    assert tlog_policy.write([KEY], [], 1) == f"log {KEY}\nquorum none\n"


def test_a_threshold_out_of_reach_is_never_written() -> None:
    with pytest.raises(AssertionError):
        tlog_policy.write([KEY], [ONE], 2)
