"""How a trust document is printed: nothing that changes goes unsaid, nothing moves the cursor."""

import click
import msgspec
import pytest
from click.testing import CliRunner

from sidecar.authority import edits
from sidecar.cli import document
from sidecar.core.envelope import PublicKey
from sidecar.core.objects import trust
from sidecar.core.objects.trust import Body, Floors, Limits, Mark, Quorum, Role
from sidecar.signer import FileSigner
from tests import builders
from tests.builders import DAY_MS, NOW, signer

BODY = builders.trust_body()
NEW = FileSigner(bytes([7] * 32))
BEAT = signer(Role.BEAT)


def test_next_version_that_says_the_same_changes_nothing() -> None:
    after = msgspec.structs.replace(BODY, version=2, prev_sha256="0" * 64, issued_at=NOW)
    assert document.changes(BODY, after) == []


@pytest.mark.parametrize(
    ("after", "what"),
    [
        (msgspec.structs.replace(BODY, domain="other"), ["domain"]),
        (msgspec.structs.replace(BODY, expires=NOW), ["expires"]),
        (msgspec.structs.replace(BODY, quorum=Quorum(n=5, r=3, w=3)), ["quorum"]),
        (
            msgspec.structs.replace(
                BODY, limits=Limits(ttl_max_ms=4000, skew_max_ms=500, drift_ppm=1999)
            ),
            ["limits"],
        ),
        (
            edits.set_floors(BODY, Floors(epoch=Mark(seq=1, sha256="0" * 64), beat={}, halt=0)),
            ["floors"],
        ),
        (edits.set_floors(BODY, Floors(epoch=None, beat={BEAT.key_id: 1}, halt=0)), ["floors"]),
        (edits.set_floors(BODY, Floors(epoch=None, beat={}, halt=1)), ["floors"]),
        (edits.set_threshold(BODY, Role.RESUME, 1), ["resume threshold"]),
        (edits.add_keys(BODY, Role.WITNESS, [NEW.public]), ["witness key joins"]),
        (edits.retire_keys(BODY, Role.BEAT, [BEAT.key_id]), ["beat key leaves"]),
        (
            edits.revoke_key(BODY, BEAT.key_id, "stolen", NOW),
            ["beat key leaves", "key revoked"],
        ),
        (
            edits.set_not_after(BODY, Role.BEAT, NOW + DAY_MS),
            [f"key {key.key_id[:12]} not after" for key in builders.signers(Role.BEAT, 2)],
        ),
    ],
)
def test_everything_that_a_signer_agrees_to_is_a_line(after: Body, what: list[str]) -> None:
    assert sorted(line for line, _, _ in document.changes(BODY, after)) == sorted(what)


def test_revocation_that_is_dropped_is_a_line() -> None:
    before = edits.revoke_key(BODY, BEAT.key_id, "stolen", NOW)
    after = msgspec.structs.replace(before, revoked=())
    assert document.changes(before, after) == [("revocation dropped", BEAT.key_id[:12], None)]


def test_every_field_of_a_document_is_compared() -> None:
    """A new field has to be added to `changes`, or signers would not see it."""
    seen = {"domain", "expires", "quorum", "limits", "floors", "roles", "keys", "revoked"}
    constant = {"type", "version", "prev_sha256", "issued_at"}
    assert set(Body.__struct_fields__) == seen | constant


def test_document_is_printed_with_its_floors_and_revoked_keys() -> None:
    body = edits.revoke_key(BODY, BEAT.key_id, "stolen \x1b[2J", NOW)
    body = edits.set_floors(body, Floors(epoch=Mark(seq=4, sha256="ab" * 32), beat={}, halt=2))

    @click.command()
    def command() -> None:
        document.show(trust.unsigned(body))

    output = CliRunner().invoke(command).output
    assert "floors:  epoch 4 (abababababab), beats -, halts 2" in output
    assert "stolen" in output
    assert "\x1b" not in output


def test_key_is_written_as_the_example_of_rfc_8410() -> None:
    public = PublicKey(
        bytes.fromhex("19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1")
    )
    assert document.pem(public) == (
        "-----BEGIN PUBLIC KEY-----\n"
        "MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n"
        "-----END PUBLIC KEY-----\n"
    )
