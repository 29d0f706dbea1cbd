"""Cosignatures: bytes of the specification's example, who counts, and what refuses a note."""

import pytest

from sidecar.core.instant import WallMs
from sidecar.core.log import cosignature, note
from sidecar.core.log.cosignature import Cosignature, Witnesses, WitnessKey
from sidecar.core.log.note import NoteKey
from sidecar.core.objects.trust import Role
from sidecar.core.reason import ProtocolError, Reason
from sidecar.signer import FileSigner
from tests import builders

# tlog-cosignature, the example at its beginning; and what its text says is signed.
TEXT = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
LOG_LINE = (
    "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/"
    "Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
)
WITNESS_LINE = (
    "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2"
    "oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
)
EXAMPLE = f"{TEXT}\n{LOG_LINE}{WITNESS_LINE}".encode()
MESSAGE = b"cosignature/v1\ntime 1679315147\n" + TEXT.encode()

ONE, TWO = builders.signer(Role.WITNESS, 1), builders.signer(Role.WITNESS, 2)


def cosign(key: FileSigner, name: str = "w.example/1", time_s: int = 1679315147) -> Cosignature:
    signature = key.sign(cosignature.message(TEXT, time_s))
    return Cosignature(WitnessKey(name, key.public), time_s, signature)


def noted(*lines: str) -> bytes:
    return f"{TEXT}\n{LOG_LINE}{''.join(lines)}".encode()


def test_what_is_signed_is_what_the_specification_says() -> None:
    assert cosignature.message(TEXT, 1679315147) == MESSAGE


def test_the_line_of_the_example_has_its_time_before_the_signature() -> None:
    _, lines = note.signatures(EXAMPLE)
    name, blob = lines[1]
    assert name == "witness.example.com/w1"
    assert (int.from_bytes(blob[4:12], "big"), len(blob)) == (1679315147, 76)
    assert note.line(name, blob) == WITNESS_LINE


def test_the_example_is_passed_over_where_its_witness_is_not_trusted() -> None:
    assert cosignature.find(EXAMPLE, [ONE.public]) == (TEXT, [])


def test_a_cosignature_is_found_whatever_name_it_bears() -> None:
    made = cosign(ONE, "anything/at-all")
    assert cosignature.find(noted(made.line), [TWO.public, ONE.public]) == (TEXT, [made])


def test_a_key_counts_once_under_two_names() -> None:
    first, second = cosign(ONE, "a"), cosign(ONE, "b")
    assert cosignature.find(noted(first.line, second.line), [ONE.public]) == (TEXT, [first])


def test_two_keys_count_twice() -> None:
    made = [cosign(ONE), cosign(TWO)]
    raw = noted(*(one.line for one in made))
    assert cosignature.find(raw, [ONE.public, TWO.public]) == (TEXT, made)


@pytest.mark.parametrize("changed", ["text", "time", "signature", "short", "far"])
def test_a_line_of_a_trusted_key_that_fails_refuses_the_note(changed: str) -> None:
    made, good = cosign(ONE), cosign(TWO).line
    key, text = made.key, TEXT
    if changed == "text":
        text = TEXT.replace("20852163", "20852164")
    time_s = made.time_s + (changed == "time")
    if changed == "far":
        time_s = 2**63
        made = cosign(ONE, time_s=time_s)
    signature = made.signature if changed != "signature" else bytes(64)
    if changed == "short":
        signature = signature[:-1]
    line = note.line(key.name, key.id + time_s.to_bytes(8, "big") + signature)
    with pytest.raises(ProtocolError) as caught:
        cosignature.find(f"{text}\n{good}{line}".encode(), [ONE.public])
    assert caught.value.reason is Reason.SIG_INVALID


def test_a_signature_of_the_same_key_as_a_log_is_no_cosignature() -> None:
    """The algorithm is part of the key id, so one cannot pass for the other."""
    raw = note.seal(TEXT, NoteKey("w", ONE.public), ONE.sign(TEXT.encode())).encode()
    assert cosignature.find(raw, [ONE.public]) == (TEXT, [])
    with pytest.raises(ProtocolError):
        note.open_note(noted(cosign(ONE, "w").line), {"w": NoteKey("w", ONE.public)})


def test_a_verifier_key_is_read_as_it_is_written() -> None:
    key = WitnessKey("w.example/1", ONE.public)
    assert cosignature.parse_key(str(key)) == key


@pytest.mark.parametrize(
    "text",
    ["", "w", "w+00000000+", str(NoteKey("w", ONE.public)), f"{WitnessKey('w', ONE.public)}="],
)
def test_what_is_no_key_of_a_witness_is_refused(text: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        cosignature.parse_key(text)
    assert caught.value.reason is Reason.NONCANONICAL


def test_a_key_counts_until_its_end() -> None:
    by = Witnesses({ONE.public: None, TWO.public: 1000}, 1)
    assert by.usable(WallMs(999)) == {ONE.public, TWO.public}
    assert by.usable(WallMs(1000)) == {ONE.public}


def test_the_name_of_an_authority_as_a_witness_can_stand_in_a_note() -> None:
    name = cosignature.witness_name("test", ONE.key_id)
    assert note.valid_name(name)
    assert name.endswith(ONE.key_id[:16])
