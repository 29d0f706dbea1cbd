"""What follows what."""

from pathlib import Path

import pytest

from sidecar.audit.chain import Chain
from sidecar.core.log.merkle import Tree, leaf_hash
from sidecar.core.reason import ProtocolError, Reason
from tests.audit.journals import make_journal


@pytest.fixture
def lines(folder: Path) -> list[bytes]:
    return make_journal(folder, records=3, signed=0)


def test_records_in_order_are_taken_and_grow_the_tree(lines: list[bytes]) -> None:
    chain, tree = Chain(), Tree()
    for line in lines:
        chain.check(line)
        tree.append(leaf_hash(line))
    assert chain.tree.root() == tree.root()


def test_taking_unread_leads_to_the_same_place(lines: list[bytes]) -> None:
    read, unread = Chain(), Chain()
    for line in lines:
        read.check(line)
        unread.extend(line)
    assert (read.prev, read.tree.root()) == (unread.prev, unread.tree.root())


@pytest.mark.parametrize("order", [[1], [0, 2], [0, 0], [0, 1, 1]])
def test_a_record_that_does_not_follow_is_refused_and_not_taken(
    lines: list[bytes], order: list[int]
) -> None:
    chain = Chain()
    for index in order[:-1]:
        chain.check(lines[index])
    before = (chain.tree.size, chain.prev)
    with pytest.raises(ProtocolError) as caught:
        chain.check(lines[order[-1]])
    assert caught.value.reason is Reason.AUDIT_CHAIN_BREAK
    assert (chain.tree.size, chain.prev) == before


def test_a_gap_in_the_numbers_is_refused_though_the_digests_fit(lines: list[bytes]) -> None:
    with pytest.raises(ProtocolError, match="seq is 7, expected 0"):
        Chain().check(lines[0].replace(b'"seq":0', b'"seq":7'))


def test_a_record_changed_after_its_successor_was_written_is_found(lines: list[bytes]) -> None:
    chain = Chain()
    chain.check(lines[0].replace(b"EG905", b"EG904"))
    with pytest.raises(ProtocolError, match="prev"):
        chain.check(lines[1])


def test_a_decision_under_the_id_of_another_is_refused(lines: list[bytes]) -> None:
    with pytest.raises(ProtocolError, match="not that of its place"):
        Chain().check(lines[0].replace(b'-0","epoch', b'-1","epoch'))


def test_a_chain_goes_on_from_where_it_was_cut(lines: list[bytes]) -> None:
    whole = Chain()
    whole.check(lines[0])
    rest = Chain(whole.cut(1))
    for line in lines[1:]:
        whole.check(line)
        rest.check(line)
    assert (rest.tree.root(), rest.prev) == (whole.tree.root(), whole.prev)
    assert rest.cut(7) == whole.cut(7)
