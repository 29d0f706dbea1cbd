"""Every decoder that meets bytes from outside: what must hold, where to begin, which words to use.

A check takes any bytes and returns nothing: it throws when something does not hold. The beginnings
are made anew from the builders of the tests, so they follow every change of a format. What a fuzzer
found beyond them is kept in `corpus/`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sidecar.core import canonical, envelope, issued, marks, share
from sidecar.core.objects import epoch, trust
from sidecar.core.objects.trust import Role
from sidecar.core.snapshot import CLOSED
from tests import builders, covering
from tests.config.builders import AUTHORITY, SIDECAR
from tests.fuzz import exchanges, files, objects
from tests.fuzz.objects import EPOCH, TRUST

Words = tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Target:
    """One decoder.

    Attributes:
        check: Throws when something does not hold for these bytes.
        seeds: Makes well-formed inputs.
        words: What mutations are made of.
        max_bytes: Longest input worth trying.
        tries: Mutations in `make test`: fewer, where one takes long.
    """

    check: Callable[[bytes], None]
    seeds: Callable[[], list[bytes]]
    words: Words
    max_bytes: int = 4096
    tries: int = 1500


JSON = (
    b'"', b'\\"', b"{", b"}", b"[", b"]", b":", b",", b"null", b"true", b"0", b"1", b"-1",
    b"9007199254740991", b"9007199254740992", b"1.0", b"1e3", b"NaN", b'""', b'"a"', b"{}", b"[]",
    b"\\u0000", b"\\ud800", b"\xc3\xa9", b"\xff", b" ", b"a" * 64, b"0" * 64, b"f" * 32,
)  # fmt: skip
HTTP = (
    b"\r\n", b"\n", b"\r", b"\r\n\r\n", b":", b" ", b"\t", b"\0", b"\x85", b"\xff", b",", b";",
    b"_", b"%", b"%0d", b"%00", b"*", b"//", b"..", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0",
    b"Host: a", b"Content-Length: ", b"Transfer-Encoding: chunked", b"Transfer_Encoding: chunked",
    b"Connection: ", b"close", b"keep-alive", b"upgrade", b"Upgrade: h2c", b"Expect: 100-continue",
    b"Trailer: x", b"0", b"1", b"+1", b"0x", b"00", b"a", b"ffffffffffffffff", b"1000000000000000",
    b"0\r\n\r\n", b"1\r\na\r\n", b"1;x=y\r\n", b"GET ", b"POST ", b"HEAD ", b"OPTIONS ", b"PRI ",
)  # fmt: skip
REQUESTS = (
    b"GET /v1/a?b=c HTTP/1.1\r\nHost: a:80\r\nX-Y:  z \r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n"
    b"0\r\nx: y\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"\r\nPUT http://a/b HTTP/1.1\r\nHost: a\r\nConnection: x-y, close\r\nX-Y: z\r\n"
    b"Content-Length: 0\r\n\r\n",
    b"OPTIONS / HTTP/1.1\r\nHost: [::1]:8\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n1",
    b"GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: foo\r\n\r\nGET /b HTTP/1.1\r\n"
    b"Host: a\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n",
)
_OK = b"HTTP/1.1 200 OK\r\n"
RESPONSES = (
    b"\0" + _OK + b"Content-Length: 5\r\nServer: x\r\n\r\nhello",
    b"\0" + _OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx: y\r\n\r\n",
    b"\0" + _OK + b"Content-Type: text/event-stream\r\n\r\ndata: 1\n\n",
    b"\4" + _OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"\1" + _OK + b"Content-Length: 5\r\n\r\n",
    b"\x0aHTTP/1.1 100 Continue\r\n\r\n" + _OK + b"Content-Length: 0\r\n\r\n",
    b"\2HTTP/1.0 404 Not Found\r\nConnection: close\r\n\r\ngone",
    b"\0HTTP/1.1 204 No Content\r\nConnection: x\r\nX: y\r\n\r\n",
    b"\0HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 304 \r\nContent-Length: 9\r\n\r\n",
)
YAML = (
    b": ", b"- ", b"\n", b"  ", b"{", b"}", b"[", b"]", b",", b'"', b"'", b"#", b"|", b">", b"&a",
    b"*a", b"!!str", b"<<", b"%YAML 9", b"---", b"...", b"null", b"~", b"yes", b"0", b"4s", b"1ms",
    b"0ms", b"64KiB", b"2000ppm", b"spec", b"limits", b"timeouts", b"audit", b"\\x", b"\\U00110000",
    b"\t", b"\xc2\x85", b"\xff", b"?", b"redis://a:1", b"rediss://u@[::1]:1/2", b"127.0.0.1:1",
)  # fmt: skip
FENCE = (
    b":", b"\n", b";boot=", b"9" * 18, b"0", b"x-epochgate-fence", b"X-EPOCHGATE-EPOCH:1", b"\xff",
)  # fmt: skip
RESP = (
    b"$", b"*", b"+", b"-", b":", b"\r\n", b"\r", b"\n", b"0", b"1", b"2", b"-1", b"4096", b"4097",
    b"9999999999", b"$-1\r\n", b"*0\r\n", b"+OK\r\n", b"-NOAUTH x\r\n", b":1\r\n", b"ab",
    b"%", b"_", b"#", b"\xff",
)  # fmt: skip


def _payload(raw: bytes) -> bytes:
    return envelope.parse(raw, epoch.MAX_BYTES).unverified_payload


def _beats() -> list[bytes]:
    return [builders.beat_bytes(TRUST, EPOCH), builders.beat_bytes(TRUST, EPOCH, number=2)]


def _orders() -> list[bytes]:
    return [builders.order_bytes(TRUST), builders.order_bytes(TRUST, clears="a" * 32)]


def _trusts() -> list[bytes]:
    one = builders.trust_bytes()
    return [one, builders.trust_bytes(not_after={Role.ROOT: builders.NOW + 1}, version=2)]


def _successors() -> list[bytes]:
    after: dict[str, Any] = {"version": 2, "prev_sha256": TRUST.sha256}
    gone = trust.Revoked(keyid=builders.signer(Role.ROOT, 3).key_id, reason="x", at=builders.NOW)
    return [builders.trust_bytes(**after), builders.trust_bytes(**after, revoked=(gone,))]


def _reports() -> list[bytes]:
    return [builders.report_bytes(), builders.report_bytes(seq=2, prev_sha256="a" * 64)]


def _proofs() -> list[bytes]:
    return [covering.proof("b" * 64, objects.COVERED, one) for one in objects.COVERED]


def _epochs() -> list[bytes]:
    return [builders.epoch_bytes(TRUST), builders.epoch_bytes(TRUST, EPOCH)]


def _payloads(raws: list[bytes]) -> list[bytes]:
    return [_payload(raw) for raw in raws]


def _stored() -> list[bytes]:
    kept = marks.encode(objects.stored()[0])
    return [kept, kept[marks.DIGEST_LINE :]]


def _issued() -> list[bytes]:
    kept = issued.encode(objects.stored()[1])
    return [kept, kept[issued.DIGEST_LINE :]]


def _shared() -> list[bytes]:
    return [share.encode(objects.snapshot()), share.encode(CLOSED)]


def _notes() -> list[bytes]:
    key = str(files.KEY).encode()
    return [*objects.signed_notes(), objects.CHECKPOINT.encode(), key]


def _policies() -> list[bytes]:
    rule: dict[str, canonical.Json] = {
        "name": "b", "action": "deny", "methods": [], "paths": ["/v1/*", "/"], "in_flight": "cut",
        "headers": [{"name": "x-a", "value": "b"}],
    }  # fmt: skip
    body: dict[str, canonical.Json] = {"_type": "urn:epochgate:policy:v1", "name": "p"}
    return [builders.POLICY, canonical.encode({**body, "rules": [rule]})]


def _records() -> list[bytes]:
    return files.journal_seed().split(b"\n")[:-1]


def _configs() -> list[bytes]:
    more = SIDECAR + '  audit: {syncPeriod: 20ms, segmentSize: 64KiB}\n  log: {level: "debug"}\n'
    return [SIDECAR.encode(), AUTHORITY.encode(), more.encode()]


RESP_SEEDS = (
    b"+OK\r\n$3\r\nabc\r\n",
    b"*3\r\n$1\r\na\r\n:-5\r\n$-1\r\n",
    b"*-1\r\n*0\r\n-WRONGTYPE x\r\n",
)

TARGETS: dict[str, Target] = {
    "request": Target(exchanges.check_requests, lambda: list(REQUESTS), HTTP, 768),
    "response": Target(exchanges.check_responses, lambda: list(RESPONSES), HTTP, 768),
    "canonical": Target(objects.check_canonical, lambda: _payloads(_orders()), JSON, 1024),
    "envelope": Target(objects.check_envelope, lambda: _beats() + _orders(), JSON),
    "trust": Target(objects.check_trust, lambda: _payloads(_trusts()), JSON, 8192, 600),
    "rotate": Target(objects.check_rotate, lambda: _payloads(_successors()), JSON, 8192, 600),
    "report": Target(objects.check_report, lambda: _payloads(_reports()), JSON, 2048, 600),
    "proof": Target(objects.check_proof, _proofs, JSON, 1024),
    "epoch": Target(objects.check_epoch, lambda: _payloads(_epochs()), JSON),
    "beat": Target(objects.check_beat, lambda: _payloads(_beats()), JSON, 2048),
    "halt": Target(objects.check_halt, lambda: _payloads(_orders()), JSON, 1024, 600),
    "reply": Target(objects.check_reply, lambda: _beats() + _orders(), JSON, tries=600),
    "marks": Target(objects.check_marks, _stored, JSON, 12288),
    "issued": Target(objects.check_issued, _issued, JSON, 8192),
    "record": Target(objects.check_record, _records, JSON, 2048),
    "note": Target(objects.check_note, _notes, (*JSON, b"\n\n", b"\xe2\x80\x94 log ", b"+"), 1024),
    "policy": Target(objects.check_policy, _policies, JSON, 2048),
    "routes": Target(objects.check_routes, lambda: [builders.ROUTES, objects.TOLD], JSON, 2048),
    "share": Target(objects.check_share, _shared, JSON),
    "fence": Target(objects.check_fence, lambda: [objects.fence_lines()], FENCE, 512),
    "config": Target(files.check_config, _configs, YAML, 2048, 300),
    "journal": Target(
        files.check_journal, lambda: [files.journal_seed()], (*JSON, b"\n"), 8192, 600
    ),
    "resp": Target(files.check_resp, lambda: list(RESP_SEEDS), RESP, 512, 600),
}
