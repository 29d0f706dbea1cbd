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


# Source: transparency-dev/merkle v0.0.2, proof/verify_test.go; their leaves count from 1 there, and
# the leaves and roots are those of test_merkle.
PUBLISHED = [
    merkle.leaf_hash(bytes.fromhex(leaf))
    for leaf in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
INCLUSIONS = [
    (0, 1, ()),
    (0, 8, ("96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4")),
    (5, 8, ("bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7")),
    (2, 3, ("fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",)),
    (1, 5, ("6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b")),
]  # fmt: skip
CONSISTENCIES = [
    (1, 1, ()),
    (1, 8, ("96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4")),
    (6, 8, ("0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7")),
    (2, 5, ("5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b")),
    (6, 7, ("0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "b08693ec2e721597130641e8211e7eedccb4c26413963eee6c1e2ed16ffb1a5f",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7")),
]  # fmt: skip


def made(runs: list[proof.Run], size: int) -> list[str]:
    found = Roots(runs)
    for leaf in PUBLISHED[:size]:
        found.take(leaf)
    return [one.hex() for one in found.hashes()]


@pytest.mark.parametrize(("index", "size", "published"), INCLUSIONS)
def test_inclusion_is_the_published_proof(
    index: int, size: int, published: tuple[str, ...]
) -> None:
    assert made(proof.inclusion(index, size), size) == list(published)
    hashes = [bytes.fromhex(one) for one in published]
    assert merkle.included(index, size, PUBLISHED[index], hashes, mth(PUBLISHED[:size]))


@pytest.mark.parametrize(("old", "size", "published"), CONSISTENCIES)
def test_consistency_is_the_published_proof(
    old: int, size: int, published: tuple[str, ...]
) -> None:
    assert made(proof.consistency(old, size), size) == list(published)
    hashes = [bytes.fromhex(one) for one in published]
    assert proof.consistent(old, size, mth(PUBLISHED[:old]), mth(PUBLISHED[:size]), hashes)


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
