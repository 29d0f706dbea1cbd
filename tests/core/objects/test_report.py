"""Reports: signed by the instance they name, and covered by a beat or not at all."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core import canonical
from sidecar.core.log import merkle
from sidecar.core.objects import report
from sidecar.core.reason import ProtocolError, Reason
from sidecar.signer import FileSigner, sign
from tests import builders

KEY = builders.instance_key()
BODY = builders.report_body()
RAW = builders.report_bytes()


def reason_of(raw: bytes) -> Reason:
    with pytest.raises(ProtocolError) as caught:
        report.open_report(raw, builders.DOMAIN)
    return caught.value.reason


def sealed(key: FileSigner = KEY, kind: str = report.PAYLOAD_TYPE, **changes: Any) -> bytes:
    return sign(kind, canonical.dump(msgspec.structs.replace(BODY, **changes)), key)


def test_a_report_is_read_back_as_it_was_signed() -> None:
    opened = report.open_report(RAW, builders.DOMAIN)
    assert (opened.says, opened.raw, opened.key_id) == (BODY, RAW, KEY.key_id)


def test_a_report_under_the_name_of_another_instance_is_refused() -> None:
    other = builders.instance_key(2)
    assert reason_of(sealed(other, public=other.public.hex())) is Reason.KEY_UNKNOWN


def test_a_report_signed_by_another_key_than_it_carries_is_refused() -> None:
    assert reason_of(sealed(builders.instance_key(2))) is Reason.SIG_INVALID


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"domain": "other"}, Reason.TYPE_CONFUSION),
        ({"type": "urn:epochgate:beat:v1"}, Reason.TYPE_CONFUSION),
        ({"seq": 0}, Reason.TYPE_CONFUSION),
        ({"instance": "Model-0123456789abcdef"}, Reason.TYPE_CONFUSION),
        ({"build": "x" * 9000}, Reason.OVERSIZE),
    ],
)
def test_what_is_no_report_of_this_domain_is_refused(
    changes: dict[str, Any], reason: Reason
) -> None:
    assert reason_of(sealed(**changes)) is reason


def test_another_payload_type_is_refused() -> None:
    kind = "application/vnd.epochgate.beat.v1+json"
    assert reason_of(sealed(kind=kind)) is Reason.TYPE_CONFUSION


@given(st.binary(max_size=300))
def test_any_bytes_are_a_report_or_a_protocol_error(raw: bytes) -> None:
    with pytest.raises(ProtocolError):
        report.open_report(raw, builders.DOMAIN)
    with pytest.raises(ProtocolError):
        report.parse_proof(raw)


def proof_of(index: int, size: int) -> tuple[report.Proof, str]:
    digests = [canonical.digest(b"%d" % at) for at in range(size)]
    tree = merkle.levels([report.leaf(digest) for digest in digests])
    path = tuple(item.hex() for item in merkle.path(tree, index))
    beat = canonical.digest(b"beat")
    return report.Proof(beat=beat, report=digests[index], index=index, path=path), tree[-1][0].hex()


@given(st.integers(1, 40).flatmap(lambda size: st.tuples(st.integers(0, size - 1), st.just(size))))
def test_a_proof_leads_to_the_root(where: tuple[int, int]) -> None:
    proof, root = proof_of(*where)
    assert report.parse_proof(canonical.dump(proof)) == proof
    report.verify_proof(proof, where[1], root)


@pytest.mark.parametrize(
    "changes",
    [
        {"index": 3},
        {"index": 9},
        {"report": canonical.digest(b"other")},
        {"path": ()},
        {"path": (canonical.digest(b"x"),) * 4},
    ],
)
def test_a_proof_of_something_else_is_refused(changes: dict[str, object]) -> None:
    proof, root = proof_of(2, 9)
    with pytest.raises(ProtocolError) as caught:
        report.verify_proof(msgspec.structs.replace(proof, **changes), 9, root)
    assert caught.value.reason is Reason.NONCE_PROOF_INVALID


def test_a_leaf_of_a_log_is_no_leaf_of_the_fleet() -> None:
    digest = canonical.digest(b"record")
    assert report.leaf(digest) != merkle.leaf_hash(bytes.fromhex(digest))


@pytest.mark.parametrize("text", ["", "a b", "x" * 129, "a\n"])
def test_a_challenge_is_short_and_printable(text: str) -> None:
    assert not report.challenge(text)
    assert report.challenge("abc-1")


# --- the short way to read a report is the long way


def mutations() -> st.SearchStrategy[bytes]:
    """Bytes near a report: other values of its fields, other spellings of the same."""
    body = canonical.dump(BODY)
    texts = st.text(max_size=20).map(lambda said: msgspec.structs.replace(BODY, build=said))
    spelled = texts.map(lambda said: json.dumps(msgspec.to_builtins(said), ensure_ascii=True))
    numbers = st.sampled_from(["1.0", "1e0", "01", "-0", "9007199254740992", "true", "null", "1 "])
    return st.one_of(
        texts.map(lambda said: json.dumps(
            msgspec.to_builtins(said), ensure_ascii=False, sort_keys=True, separators=(",", ":")
        ).encode("utf-8", "surrogatepass")),
        spelled.map(str.encode),
        numbers.map(lambda said: body.replace(b'"seq":1', b'"seq":' + said.encode())),
        st.binary(max_size=3).map(lambda said: body.replace(b'"build":"test"',
                                                            b'"build":"' + said + b'"')),
        st.sampled_from([
            body, body + b" ", b"[" + body + b"]", body[:-1], body.replace(b"}", b',"x":1}', 1),
            body.replace(b'"seq":1', b'"seq":1,"seq":1'),
            body.replace(b'"build":"test"', b'"build":"\\ud800"'),
            body.replace(b'"build":"test"', b'"build":"\xed\xa0\x80"'),
            body.replace(b"test", b"t\\u0065st"),
            body.replace(b'"counters":{}', b'"counters":{"b":1,"a":2}'),
            body.replace(b'"counters":{}', b'"counters":{"a":1,"b":2}'),
            body.replace(b'"counters":{}', b'"counters":{"\xc3\xa9":1}'),
            body.replace(b'"build":"test"', b'"build":"' + b"x" * report.MAX_BYTES + b'"'),
        ]),
    )  # fmt: skip


def outcome(read: Callable[[], report.Body]) -> report.Body | Reason:
    try:
        return read()
    except ProtocolError as error:
        return error.reason


@settings(max_examples=400)
@given(mutations())
def test_a_report_is_read_exactly_as_any_canonical_object(raw: bytes) -> None:
    long = outcome(lambda: canonical.load(raw, report.Body, report.MAX_BYTES))
    assert outcome(lambda: report.read_body(raw)) == long


def test_every_character_is_spelled_the_same_in_both_ways() -> None:
    """They differ, if anywhere, in what they escape."""
    for start in range(0, 0x3000, 256):
        said = "".join(chr(code) for code in range(start, start + 256))
        body = msgspec.structs.replace(BODY, build=said)
        assert report.read_body(canonical.dump(body)) == body
        assert report._ENCODER.encode(body) == canonical.dump(body)
