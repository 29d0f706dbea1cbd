"""A log read back from its files, by somebody who has nothing but a key."""

from pathlib import Path

import pytest

from sidecar.audit import prover, published
from sidecar.core.log import merkle
from sidecar.core.log.note import NoteKey
from sidecar.core.reason import ProtocolError, Reason
from tests.audit.journals import KEY, ORIGIN, make_journal

COUNT = 259


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[bytes]]:
    folder = tmp_path_factory.mktemp("published")
    lines = make_journal(folder / "audit", COUNT, COUNT)
    prover.export(folder / "audit", folder / "to", KEY)
    return folder / "to", lines


def test_every_record_comes_back_and_the_roots_that_were_asked_for(
    copy: tuple[Path, list[bytes]],
) -> None:
    folder, lines = copy
    over = published.signed((folder / "checkpoint").read_bytes(), {ORIGIN: KEY})
    roots: dict[int, str] = {}
    found = list(
        published.records(lambda path: (folder / path).read_bytes(), over, roots, {5, 257, 999})
    )
    assert [one.seq for one in found] == list(range(COUNT))
    tree = merkle.Tree()
    wanted = {}
    for line in lines:
        tree.append(merkle.leaf_hash(line))
        wanted[tree.size] = tree.root().hex()
    assert roots == {5: wanted[5], 257: wanted[257]}


def test_a_bundle_of_another_length_is_refused(copy: tuple[Path, list[bytes]]) -> None:
    folder, _ = copy
    over = published.signed((folder / "checkpoint").read_bytes(), {ORIGIN: KEY})
    with pytest.raises(ProtocolError, match=r"tile/entries/000: 0 entries, not 256"):
        list(published.records(lambda _: b"", over, {}))


def test_a_checkpoint_counts_under_the_key_of_its_own_log_only(
    copy: tuple[Path, list[bytes]],
) -> None:
    raw = (copy[0] / "checkpoint").read_bytes()
    other = NoteKey("epochgate/test/other", KEY.public)
    with pytest.raises(ProtocolError) as caught:
        published.signed(raw, {other.name: other})
    assert caught.value.reason is Reason.KEY_UNKNOWN
