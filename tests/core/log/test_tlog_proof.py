"""The file of a proof: what is written comes back, and nothing else is taken for it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.log import tlog_proof
from sidecar.core.log.tlog_proof import HASHES_MAX, MAX_BYTES, TlogProof
from sidecar.core.reason import ProtocolError

NOTE = b"log\n5\n" + b"A" * 43 + b"=\n\n\xe2\x80\x94 log AAAAAAAA\n"
ONE = TlogProof(3, (b"\x01" * 32, b"\x02" * 32), NOTE)


def test_the_file_is_the_one_of_the_specification() -> None:
    assert ONE.text() == (
        b"c2sp.org/tlog-proof@v1\n"
        b"index 3\n"
        b"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=\n"
        b"AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=\n"
        b"\n" + NOTE
    )


@given(
    st.integers(0, 2**62),
    st.lists(st.binary(min_size=32, max_size=32), max_size=HASHES_MAX).map(tuple),
)
def test_what_is_written_comes_back(index: int, hashes: tuple[bytes, ...]) -> None:
    made = TlogProof(index, hashes, NOTE)
    assert tlog_proof.parse(made.text()) == made


def test_extra_data_is_passed_over() -> None:
    raw = ONE.text().replace(b"index 3", b"extra Zm9v\nindex 3")
    assert tlog_proof.parse(raw) == ONE


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"tlog-proof@v1", b"tlog-proof@v2"),
        (b"index 3", b"index 03"),
        (b"index 3", b"index -3"),
        (b"index 3", b"index 3 "),
        (b"index 3", b"index \xc2\xb3"),
        (b"index 3\n", b""),
        (b"AQEB", b"AQE"),
        (b"QE=", b"QF="),
        (b"AQEB", b"AQ!B"),
        (b"\n\n", b"\n"),
    ],
)
def test_other_files_are_refused(old: bytes, new: bytes) -> None:
    raw = ONE.text()
    with pytest.raises(ProtocolError):
        tlog_proof.parse(raw.replace(old, new))


def test_a_file_without_end_is_refused() -> None:
    with pytest.raises(ProtocolError):
        tlog_proof.parse(bytes(MAX_BYTES + 1))
    with pytest.raises(ProtocolError):
        tlog_proof.parse(TlogProof(0, (bytes(32),) * (HASHES_MAX + 1), NOTE).text())
