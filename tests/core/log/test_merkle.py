"""The tree against the published roots, and against the recursive definition of RFC 6962."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.log.merkle import (
    EMPTY_ROOT,
    Tree,
    included,
    leaf_hash,
    levels,
    node_hash,
    path,
)

# Source: transparency-dev/merkle and certificate-transparency-go, their shared test tree.
LEAVES = [
    bytes.fromhex(leaf)
    for leaf in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def grow(records: list[bytes]) -> Tree:
    tree = Tree()
    for record in records:
        tree.append(leaf_hash(record))
    return tree


def defined_root(records: list[bytes]) -> bytes:
    """MTH of RFC 6962 section 2.1, as it is written there."""
    if not records:
        return hashlib.sha256(b"").digest()
    if len(records) == 1:
        return leaf_hash(records[0])
    split = 1 << ((len(records) - 1).bit_length() - 1)
    return node_hash(defined_root(records[:split]), defined_root(records[split:]))


@pytest.mark.parametrize("size", range(len(ROOTS)))
def test_the_published_tree_has_the_published_roots(size: int) -> None:
    assert grow(LEAVES[:size]).root().hex() == ROOTS[size]


def test_a_leaf_and_a_node_over_the_same_bytes_differ() -> None:
    left, right = leaf_hash(b"a"), leaf_hash(b"b")
    assert leaf_hash(left + right) != node_hash(left, right)


@given(st.lists(st.binary(max_size=8), max_size=70))
def test_the_root_is_the_one_that_the_standard_defines(records: list[bytes]) -> None:
    tree = grow(records)
    assert tree.size == len(records)
    assert tree.root() == defined_root(records)


@given(st.lists(st.binary(max_size=8), max_size=40), st.data())
def test_a_tree_that_was_stored_grows_on_as_if_it_had_not_been(
    records: list[bytes], data: st.DataObject
) -> None:
    split = data.draw(st.integers(0, len(records)))
    first = grow(records[:split])
    resumed = Tree(first.size, first.subtrees)
    for record in records[split:]:
        resumed.append(leaf_hash(record))
    assert resumed.root() == defined_root(records)


def test_subtrees_of_another_size_are_refused() -> None:
    with pytest.raises(AssertionError, match="do not belong"):
        Tree(3, [EMPTY_ROOT])


def test_levels_end_in_the_published_roots() -> None:
    for size in range(1, 9):
        assert levels([leaf_hash(item) for item in LEAVES[:size]])[-1][0].hex() == ROOTS[size]


@given(st.integers(1, 70))
def test_every_leaf_is_included_and_no_other(size: int) -> None:
    leaves = [leaf_hash(b"%d" % index) for index in range(size)]
    tree = levels(leaves)
    root = grow([b"%d" % index for index in range(size)]).root()
    assert tree[-1] == [root]
    for index, leaf in enumerate(leaves):
        siblings = path(tree, index)
        assert included(index, size, leaf, siblings, root)
        assert not included(index, size, leaf_hash(b"x"), siblings, root)
        assert not included(size, size, leaf, siblings, root)
        assert not included(index, size, leaf, [*siblings, root], root)
        if siblings:
            assert not included(index, size, leaf, siblings[:-1], root)
            assert not included(index ^ 1, size, leaf, siblings, root)


def test_a_tree_without_leaves_includes_nothing() -> None:
    assert not included(0, 0, leaf_hash(b""), [], EMPTY_ROOT)
