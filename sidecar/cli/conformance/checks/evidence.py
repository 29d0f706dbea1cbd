"""Checks of what strangers can verify: a receipt, a proof and its grounds, a copy of the log.

Source: protocol b.15 sections 5.3, 5.5, 5.6, 6.3, 6.6, 8.4, 8.5.
"""

import asyncio
import shutil
from pathlib import Path
from typing import Any

from sidecar.audit import segments
from sidecar.cli.conformance.check import BrokenError, covers, expect, settle
from sidecar.cli.conformance.deployment import DOMAIN, Deployment
from sidecar.cli.conformance.signs import contained, until_open
from sidecar.cli.conformance.view import View
from sidecar.cli.text import VERIFICATION_FAILED
from sidecar.core import layout
from sidecar.core.log import checkpoint, merkle, note, tiles
from sidecar.core.log.checkpoint import Checkpoint
from sidecar.core.log.merkle import Tree

OK = 200


@covers("5.5", "5.6", "6.6", "8.4")
async def proved_decision(deployment: Deployment) -> str:
    """From an answer to a file that proves its record and what it rested on; one letter changed."""
    view = deployment.view
    got = await view.ask()
    decision, receipt = (
        got.headers.get(f"x-epochgate-{of}", "") for of in ("decision-id", "receipt")
    )
    expect(got.status == OK and decision and receipt, f"{got} names {decision!r}, {receipt!r}")
    assert view.journal is not None
    file, vkey = deployment.folder / "proof.json", str(view.journal / "log.vkey")
    verify = ("--key-file", vkey, "--trust", "trust/trust.json", "--receipt", receipt)
    said = await settle(lambda: _proved(deployment, decision, file, verify), deployment.limit_s)
    for what in ("receipt is of this very record", "cosigned", "epoch", "beat was live"):
        expect(what in said, f"verify does not say that it checked: {what}")
    raw = file.read_bytes()
    file.write_bytes(raw.replace(b"/v1/chat", b"/v1/chap", 1))
    done = await deployment.command("proof", "verify", str(file), "--key-file", vkey)
    expect(done.status == VERIFICATION_FAILED, f"changed: exit {done.status}: {done.out}")
    return "receipt, record, proof, cosigned checkpoint, trust, epoch and beat from one file"


@covers("2.5", "5.3", "5.6", "7.5", "9.10")
async def witnessed_log(deployment: Deployment) -> str:
    """An older copy of a log comes back, and every peer forgets: the witness does not."""
    gate = deployment.there
    journal = gate.view.journal
    assert journal is not None
    older, newer = deployment.folder / "older", deployment.folder / "newer"
    await gate.end()
    await asyncio.to_thread(shutil.copytree, journal, older)
    await gate.start()
    await until_open(gate.view)
    size = await settle(lambda: _cosigned(gate.view), deployment.limit_s)
    await gate.end()
    await asyncio.to_thread(shutil.copytree, journal, newer)
    try:
        await _forgotten(deployment, journal, older)
        await gate.start()
        said = await settle(lambda: _contradicted(gate.view), deployment.limit_s)
        await gate.end()
    finally:
        await _forgotten(deployment, journal, newer)
    await gate.start()
    await until_open(gate.view)
    return f"{said}: a witness had cosigned {size} records"


@covers("5.3", "8.5")
async def exported_log(deployment: Deployment) -> str:
    """The log as tiles, twice: a tree over the entries gives both signed roots."""
    view, journal = deployment.view, deployment.view.journal
    assert journal is not None
    copy, heads = deployment.folder / "export", list[Checkpoint]()

    async def grown() -> None:
        await view.ask()
        await deployment.succeed("audit", "export", str(journal), str(copy))
        heads.append(_signed(copy, journal / "log.vkey"))
        expect(heads[0].size < heads[-1].size, f"the log stays at {heads[0].size} records")

    await settle(grown, deployment.limit_s)
    roots = _roots(copy, heads[-1].size)
    for head in heads:
        expect(roots[head.size] == head.root, f"another root over {head.size} entries")
    return f"the entries give the signed roots over {heads[0].size} and {heads[-1].size} of them"


@covers("6.3")
async def copied_log(deployment: Deployment) -> str:
    """The log in a second place: record by record what stands in the journal, without a gap."""
    got = await deployment.view.ask()
    decision = got.headers.get("x-epochgate-decision-id", "")
    expect(got.status == OK and decision, f"{got} names no decision")
    found: dict[int, bytes] = {}

    async def arrived() -> None:
        found.update(await asyncio.to_thread(_copied, deployment))
        expect(any(decision.encode() in line for line in found.values()), "it has not arrived")

    await settle(arrived, deployment.limit_s)
    assert deployment.view.journal is not None
    lines = list(segments.whole(deployment.view.journal, 0, max(found) + 1))
    expect(sorted(found) == list(range(min(found), len(lines))), "there is a gap in the copy")
    for number, line in found.items():
        expect(lines[number] == line, f"record {number} is another one in the copy")
    return f"{len(found)} records are in a second place, byte for byte"


def _copied(deployment: Deployment) -> dict[int, bytes]:
    """The stream that a sink fills; a record that came twice came alike."""
    domain, journal = deployment.hand.trust.domain, deployment.view.journal
    assert journal is not None
    log = note.parse_key((journal / "log.vkey").read_text().strip()).name
    entries: Any = deployment.peers[-1].client.xrange(layout.audit_key(domain, log))
    found: dict[int, bytes] = {}
    for _, fields in entries:
        number = int(fields[b"seq"])
        expect(found.get(number, fields[b"line"]) == fields[b"line"], f"record {number} differs")
        found[number] = fields[b"line"]
    return found


async def _proved(
    deployment: Deployment, decision: str, file: Path, verify: tuple[str, ...]
) -> str:
    """Get a proof and verify it; what was said. It takes a checkpoint, and a witness."""
    assert deployment.view.journal is not None
    await deployment.succeed(
        "proof", "get", str(deployment.view.journal), decision, "-O", str(file)
    )
    return await deployment.succeed("proof", "verify", str(file), *verify)


async def _cosigned(view: View) -> int:
    """How much of a log is cosigned: all that is signed."""
    audit = (await view.state()).get("audit", {})
    acked = audit.get("acked", 0)
    expect(acked and acked == audit["checkpoint_size"], f"cosigned: {audit}")
    return int(acked)


async def _contradicted(view: View) -> str:
    """Which of both depends on how much the old copy has grown since it was started."""
    try:
        return await contained(view, 7, "EG707", "EG707")
    except BrokenError:
        return await contained(view, 7, "EG706", "EG706")


async def _forgotten(deployment: Deployment, journal: Path, copy: Path) -> None:
    """Put a copy in the place of a log, and let the peers forget what it held."""
    await asyncio.to_thread(shutil.rmtree, journal)
    await asyncio.to_thread(copy.rename, journal)
    for peer in deployment.peers:
        peer.delete(layout.heads_key(DOMAIN))


def _signed(copy: Path, vkey: Path) -> Checkpoint:
    key = note.parse_key(vkey.read_text().strip())
    raw = (copy / "checkpoint").read_bytes()
    return checkpoint.parse(note.open_note(raw, {key.name: key}))


def _roots(copy: Path, size: int) -> list[bytes]:
    """Read the entries of a copy as the specification says; the root over each number of them."""
    tree = Tree()
    roots = [tree.root()]
    for number in range(-(-size // tiles.WIDTH)):
        width = min(tiles.WIDTH, size - number * tiles.WIDTH)
        path = tiles.path(tiles.ENTRIES, number, width)
        for entry in _entries((copy / path).read_bytes()):
            tree.append(merkle.leaf_hash(entry))
            roots.append(tree.root())
    expect(tree.size == size, f"{tree.size} entries, not {size}")
    return roots


def _entries(raw: bytes) -> list[bytes]:
    found = []
    while raw:
        size = int.from_bytes(raw[:2], "big")
        found.append(raw[2 : 2 + size])
        raw = raw[2 + size :]
    return found


CHECKS = (witnessed_log, proved_decision, exported_log, copied_log)
