"""What a witness is asked and answers; the body of the specification's own example."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.log import merkle, note, proof, witness
from sidecar.core.log.checkpoint import Checkpoint
from sidecar.core.log.merkle import Tree
from sidecar.core.log.note import NoteKey
from sidecar.core.log.witness import Refusal, Status, Submission
from sidecar.core.reason import ProtocolError
from sidecar.signer import FileSigner

# tlog-witness, "add-checkpoint", the example request body.
EXAMPLE = """\
old 20852014
PlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=
jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=
5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=
/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=

example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V6267UEjw6QUXTS5Rovnzv++qbSzm9Q=
""".encode()  # noqa: E501

SIGNER = FileSigner(hashlib.sha256(b"log").digest())
KEY = NoteKey("epochgate/test/log", SIGNER.public)
LEAVES = [merkle.leaf_hash(b"%d" % number) for number in range(40)]


def head(size: int, leaves: list[bytes] = LEAVES) -> Checkpoint:
    tree = Tree()
    for leaf in leaves[:size]:
        tree.append(leaf)
    return Checkpoint(KEY.name, size, tree.root())


def proved(old: int, size: int) -> list[bytes]:
    roots = proof.Roots(proof.consistency(old, size))
    for leaf in LEAVES[:size]:
        roots.take(leaf)
    return roots.hashes()


def asked(
    old: int, made: Checkpoint, hashes: list[bytes] | None = None, signer: FileSigner = SIGNER
) -> Submission:
    text = made.text()
    signed = note.seal(text, NoteKey(KEY.name, signer.public), signer.sign(text.encode()))
    given = proved(old, made.size) if hashes is None else hashes
    return witness.parse(witness.write(old, given, signed.encode()))


def status(said: Submission, latest: Checkpoint | None, key: NoteKey | None = KEY) -> int:
    refused = witness.judge(said, key, latest)
    return 200 if refused is None else refused.status


def test_the_example_is_read_and_written_byte_for_byte() -> None:
    said = witness.parse(EXAMPLE)
    assert (said.old, len(said.proof), said.claims.size) == (20852014, 4, 20852163)
    assert said.claims.origin == "example.com/behind-the-sofa"
    assert witness.write(said.old, said.proof, said.note) == EXAMPLE


@pytest.mark.parametrize(
    "body",
    [
        b"", b"\n\n", EXAMPLE[4:], EXAMPLE.replace(b"old 2", b"old 02", 1),
        EXAMPLE.replace(b"old 2", b"old -2", 1), EXAMPLE.replace(b"PlRN", b"!lRN", 1),
        EXAMPLE.replace(b"pkaw=\n", b"pka\n", 1), EXAMPLE.replace(b"\n20852163\n", b"\n+1\n"),
        EXAMPLE.replace(b"kaw=\n", b"kax=\n", 1), EXAMPLE.replace(b"\n\n", b"\n"),
        EXAMPLE.replace(b"\n", b"\r\n"),
        b"old 0\n" + (b"A" * 43 + b"=\n") * 64 + EXAMPLE[EXAMPLE.index(b"\n\n") + 1 :],
        EXAMPLE + bytes(witness.MAX_BYTES),
    ],
)  # fmt: skip
def test_what_is_no_such_body_is_malformed(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        witness.parse(body)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    for raw in (body, EXAMPLE[:50] + body, b"old 1\n\n" + body):
        try:
            witness.parse(raw)
        except ProtocolError:
            continue


def test_a_log_is_cosigned_from_its_beginning_and_as_it_grows() -> None:
    latest = None
    for size in (0, 1, 1, 7, 8, 21, 40):
        said = asked(0 if latest is None else latest.size, head(size))
        assert witness.judge(said, KEY, latest) is None
        latest = said.claims


def test_a_log_that_nobody_knows_is_404() -> None:
    assert status(asked(0, head(3)), None, None) == Status.UNKNOWN
    assert status(asked(0, head(3)), None, NoteKey("other", KEY.public)) == 404


def test_what_the_log_did_not_sign_is_403() -> None:
    other = FileSigner(bytes(32))
    assert status(asked(0, head(3), signer=other), None) == Status.NOT_SIGNED
    forged = note.seal(head(3).text(), KEY, bytes(64)).encode()
    assert status(witness.parse(witness.write(0, [], forged)), None) == 403


def test_an_old_size_beyond_the_new_one_is_400_whatever_is_remembered() -> None:
    for latest in (None, head(9), head(7)):
        assert status(asked(9, head(7), []), latest) == Status.MALFORMED


@pytest.mark.parametrize(("old", "latest"), [(0, 5), (4, 5), (6, 5), (3, 0), (7, 9)])
def test_another_old_size_is_409_and_told_the_one_that_counts(old: int, latest: int) -> None:
    remembered = head(latest) if latest else None
    refused = witness.judge(asked(old, head(12)), KEY, remembered)
    assert refused == Refusal(Status.OTHER_SIZE, f"the size cosigned last is {latest}", latest)
    assert refused.status == 409
    assert witness.parse_size(witness.write_size(latest)) == latest


def test_two_roots_of_one_size_are_422() -> None:
    other = Checkpoint(KEY.name, 5, bytes(32))
    assert status(asked(5, other, []), head(5)) == Status.INCONSISTENT
    assert status(asked(0, Checkpoint(KEY.name, 0, bytes(32)), []), None) == 422


@pytest.mark.parametrize(("old", "size"), [(5, 12), (8, 9), (1, 40)])
def test_a_proof_that_fails_is_422(old: int, size: int) -> None:
    good = proved(old, size)
    assert status(asked(old, head(size), good), head(old)) == 200
    spoilt = [*good[:-1], bytes(32)]
    for hashes in (spoilt, good[:-1], [*good, bytes(32)], []):
        assert status(asked(old, head(size), hashes), head(old)) == 422
    rewritten = head(size, [*LEAVES[: old - 1], bytes(32), *LEAVES[old:]])
    assert status(asked(old, rewritten, good), head(old)) == 422


def test_a_first_checkpoint_needs_no_proof_and_takes_none() -> None:
    assert status(asked(0, head(4), []), None) == 200
    assert status(asked(0, head(4), [bytes(32)]), None) == 422


@pytest.mark.parametrize("body", [b"", b"5", b"05\n", b"-1\n", b"5\n\n", b"9" * 20 + b"\n"])
def test_what_is_no_size_is_refused(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        witness.parse_size(body)
