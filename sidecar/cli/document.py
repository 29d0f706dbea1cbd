"""How a trust document is printed: what it says, what it changes, who has signed it."""

import base64
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import starmap

import click
import msgspec

from sidecar.authority.rotation import Tally
from sidecar.cli import text
from sidecar.config import units
from sidecar.core.envelope import PublicKey
from sidecar.core.objects.trust import Body, Floors, Limits, Quorum, Role, RoleKeys, Trust

SHORT = 12  # letters of a key id: enough to tell keys apart, and to name one in a command

Change = tuple[str, str | None, str | None]  # what, before, after


def moment(at_ms: int) -> str:
    """A signed time for people: UTC, to the second."""
    return datetime.fromtimestamp(at_ms / 1000, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def show(found: Trust) -> None:
    """Print what a document says."""
    body = found.body
    for name, value in (
        ("domain", body.domain),
        ("version", body.version),
        ("sha256", found.sha256),
        ("follows", body.prev_sha256 or "-"),
        ("issued", moment(body.issued_at)),
        ("expires", moment(body.expires)),
        ("quorum", _quorum(body.quorum)),
        ("limits", _limits(body.limits)),
        ("floors", _floors(body.floors)),
    ):
        click.echo(f"{name + ':':9}{value}")
    click.echo()
    text.table(["role", "threshold", "keys", "key ids", "not after"], _rows(found))
    if body.revoked:
        click.echo()
        text.table(
            ["revoked", "since", "reason"],
            [[item.keyid[:SHORT], moment(item.at), item.reason] for item in body.revoked],
        )


def show_changes(before: Body, after: Body) -> None:
    """Print what the next document changes."""
    text.table(["change", "before", "after"], changes(before, after))


def show_tallies(sides: Sequence[Tally]) -> None:
    """Print who has signed, for both thresholds."""
    text.table(
        ["root keys of", "need", "signed", "missing", "signed by", "may still sign"],
        [
            [
                f"version {side.version}", side.need, len(side.signed), side.missing,
                short(side.signed), short(side.waiting),
            ]
            for side in sides
        ],
    )  # fmt: skip


def as_json(body: Body) -> dict[str, object]:
    """What a document says, for programs."""
    said: dict[str, object] = msgspec.to_builtins(body)
    return said


def tally_json(side: Tally) -> dict[str, object]:
    """Who has signed under one threshold, for programs."""
    return {
        "version": side.version,
        "need": side.need,
        "missing": side.missing,
        "signed": side.signed,
        "waiting": side.waiting,
    }


def change_json(before: Body, after: Body) -> list[dict[str, str | None]]:
    """What the next document changes, for programs."""
    return [
        {"change": what, "before": old, "after": new} for what, old, new in changes(before, after)
    ]


def pem(public: PublicKey) -> str:
    """An Ed25519 public key as RFC 8410 section 10.1 writes it."""
    der = bytes.fromhex("302a300506032b6570032100") + public  # SubjectPublicKeyInfo of 1.3.101.112
    body = base64.b64encode(der).decode()
    return f"-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n"


def changes(before: Body, after: Body) -> list[Change]:
    """Everything that differs and is more than the next number of the next document."""
    found = [
        ("domain", before.domain, after.domain),
        ("expires", moment(before.expires), moment(after.expires)),
        ("quorum", _quorum(before.quorum), _quorum(after.quorum)),
        ("limits", _limits(before.limits), _limits(after.limits)),
        ("floors", _floors(before.floors), _floors(after.floors)),
    ]
    differ: list[Change] = [*starmap(_change, (one for one in found if one[1] != one[2]))]
    for role in Role:
        differ += _role_changes(role, before, after)
    for key, described in after.keys.items():
        old = before.keys.get(key)
        if old is not None and old.not_after != described.not_after:
            differ.append(
                (f"key {key[:SHORT]} not after", _end(old.not_after), _end(described.not_after))
            )
    return [*differ, *_revocations(before, after)]


def _change(what: str, before: str, after: str) -> Change:
    return what, before, after


def _role_changes(role: Role, before: Body, after: Body) -> Iterator[Change]:
    old: RoleKeys = getattr(before.roles, role.value)
    new: RoleKeys = getattr(after.roles, role.value)
    if old.threshold != new.threshold:
        yield f"{role.value} threshold", str(old.threshold), str(new.threshold)
    for key in sorted(set(old.keyids) ^ set(new.keyids)):
        name = key[:SHORT]
        if key in old.keyids:
            yield f"{role.value} key leaves", name, None
        else:
            yield (
                f"{role.value} key joins",
                None,
                f"{name} {_end(after.keys[key].not_after)}".rstrip(),
            )


def _revocations(before: Body, after: Body) -> Iterator[Change]:
    old = {item.keyid for item in before.revoked}
    new = {item.keyid: item for item in after.revoked}
    for key in sorted(new.keys() - old):
        yield "key revoked", None, f"{key[:SHORT]} {new[key].reason}".rstrip()
    for key in sorted(old - new.keys()):
        yield "revocation dropped", key[:SHORT], None


def _quorum(said: Quorum) -> str:
    return f"{said.r} of {said.n} peers to run, {said.w} to commit a write"


def _limits(said: Limits) -> str:
    ttl, skew = units.show_duration(said.ttl_max_ms), units.show_duration(said.skew_max_ms)
    return f"ttl at most {ttl}, skew {skew}, drift {said.drift_ppm}ppm"


def _floors(said: Floors) -> str:
    epoch = "-" if said.epoch is None else f"{said.epoch.seq} ({said.epoch.sha256[:SHORT]})"
    beats = " ".join(f"{key[:SHORT]}={seq}" for key, seq in sorted(said.beat.items()))
    return f"epoch {epoch}, beats {beats or '-'}, halts {said.halt}"


def _end(not_after: int | None) -> str:
    return "" if not_after is None else f"until {moment(not_after)}"


def short(keys: Sequence[str]) -> str | None:
    """Key ids, as long as people need them."""
    return " ".join(key[:SHORT] for key in keys) or None


def _rows(found: Trust) -> list[list[object]]:
    rows: list[list[object]] = []
    for role in Role:
        named = found.role(role)
        if not named.keyids:
            continue
        limits = {found.body.keys[key].not_after for key in named.keyids} - {None}
        short = " ".join(
            key[:SHORT] + ("(revoked)" if key in found.revoked else "") for key in named.keyids
        )
        ends = moment(min(limit for limit in limits if limit is not None)) if limits else None
        rows.append([role.value, named.threshold, len(named.keyids), short, ends])
    return rows
