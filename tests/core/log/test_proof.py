"""Proofs against the definitions of RFC 6962, written down here once more as they stand there."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.log import merkle, proof
from sidecar.core.log.proof import Roots

LEAVES = [merkle.leaf_hash(b"%d" % number) for number in range(70)]
SIZES = st.integers(1, len(LEAVES))


def mth(leaves: list[bytes]) -> bytes:
    """MTH(D[n]), over leaf hashes."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = power_below(len(leaves))
    return hashlib.sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:])).digest()


def power_below(n: int) -> int:
    k = 1
    while k * 2 < n:
        k *= 2
    return k


def path(m: int, leaves: list[bytes]) -> list[bytes]:
    """PATH(m, D[n])."""
    if len(leaves) == 1:
        return []
    k = power_below(len(leaves))
    if m < k:
        return [*path(m, leaves[:k]), mth(leaves[k:])]
    return [*path(m - k, leaves[k:]), mth(leaves[:k])]


def subproof(m: int, leaves: list[bytes], *, whole: bool) -> list[bytes]:
    """SUBPROOF(m, D[n], b)."""
    if m == len(leaves):
        return [] if whole else [mth(leaves)]
    k = power_below(len(leaves))
    if m <= k:
        return [*subproof(m, leaves[:k], whole=whole), mth(leaves[k:])]
    return [*subproof(m - k, leaves[k:], whole=False), mth(leaves[:k])]


def roots(runs: list[proof.Run], size: int) -> list[bytes]:
    found = Roots(runs)
    for leaf in LEAVES[:size]:
        found.take(leaf if found.wanted else None)
    return found.hashes()


@given(SIZES, st.data())
def test_inclusion_is_the_path_of_the_rfc_and_is_accepted(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    hashes = roots(proof.inclusion(index, size), size)
    assert hashes == path(index, LEAVES[:size])
    assert merkle.included(index, size, LEAVES[index], hashes, mth(LEAVES[:size]))


@given(SIZES, st.data())
def test_consistency_is_the_proof_of_the_rfc_and_is_accepted(
    size: int, data: st.DataObject
) -> None:
    old = data.draw(st.integers(1, size))
    hashes = roots(proof.consistency(old, size), size)
    assert hashes == subproof(old, LEAVES[:size], whole=True)
    assert proof.consistent(old, size, mth(LEAVES[:old]), mth(LEAVES[:size]), hashes)


@given(st.integers(2, 70), st.data())
def test_no_changed_proof_is_accepted(size: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, size - 1))
    hashes = roots(proof.consistency(old, size), size)
    before, after = mth(LEAVES[:old]), mth(LEAVES[:size])
    at = data.draw(st.integers(0, len(hashes) - 1))
    changed = [*hashes[:at], hashes[at][::-1], *hashes[at + 1 :]]
    assert not proof.consistent(old, size, before, after, changed)
    assert not proof.consistent(old, size, before, after, [*hashes, LEAVES[0]])
    assert not proof.consistent(old, size, before, after, hashes[:at])
    assert not proof.consistent(old, size, after, after, hashes)
    assert not proof.consistent(old, size, before, before, hashes)


@given(st.integers(2, 70), st.data())
def test_a_tree_with_another_past_is_not_consistent(size: int, data: st.DataObject) -> None:
    """Two histories spliced: the newer tree is right in itself, but not over the older one."""
    old = data.draw(st.integers(1, size - 1))
    at = data.draw(st.integers(0, old - 1))
    other = [*LEAVES[:at], merkle.leaf_hash(b"forged"), *LEAVES[at + 1 : size]]
    hashes = subproof(old, other, whole=True)
    assert not proof.consistent(old, size, mth(LEAVES[:old]), mth(other), hashes)


@pytest.mark.parametrize(
    ("old", "size", "held"), [(0, 5, True), (5, 5, True), (6, 5, False), (-1, 5, False)]
)
def test_sizes_that_need_no_proof(old: int, size: int, *, held: bool) -> None:
    before = mth(LEAVES[: max(old, 0)])
    assert proof.consistent(old, size, before, mth(LEAVES[:size]), []) == held
    assert not proof.consistent(old, size, before, mth(LEAVES[:size]), [LEAVES[0]])


def test_leaves_outside_every_run_need_no_hash() -> None:
    found = Roots([(2, 4)])
    wanted = []
    for leaf in LEAVES[:6]:
        wanted.append(found.wanted)
        found.take(leaf if found.wanted else None)
    assert wanted == [False, False, True, True, False, False]
    assert found.hashes() == [mth(LEAVES[2:4])]


@given(SIZES, st.data())
def test_proofs_of_later_leaves_need_only_the_subtrees_of_the_pruned_ones(
    size: int, data: st.DataObject
) -> None:
    pruned = data.draw(st.integers(0, size - 1))
    index = data.draw(st.integers(pruned, size - 1))
    older = data.draw(st.integers(pruned, size))
    tree = merkle.Tree()
    for leaf in LEAVES[:pruned]:
        tree.append(leaf)
    for runs in (proof.inclusion(index, size), proof.consistency(older, size)):
        found = Roots(runs, pruned, tree.subtrees)
        for leaf in LEAVES[pruned:size]:
            found.take(leaf if found.wanted else None)
        assert found.hashes() == roots(runs, size)
