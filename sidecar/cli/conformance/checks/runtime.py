"""Checks of what runs: measured files, stored state, the closed start.

Source: protocol b.15 sections 1, 3.4, 4.7, 5.2, 9.1, 9.4, 9.8.
"""

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import msgspec

from sidecar.cli.conformance.check import BrokenError, covers, expect, settle
from sidecar.cli.conformance.deployment import Deployment
from sidecar.cli.conformance.parts import WEIGHTS, changed, paused
from sidecar.cli.conformance.signs import (
    answered,
    contained,
    until_answered,
    until_contained,
    until_failed,
    until_open,
)
from sidecar.core.objects.epoch import NO_DEMANDS, Runtime


@covers("3.4", "4.7", "5.2", "9.4")
async def changed_model(deployment: Deployment) -> str:
    """The epoch demands the digest of a model, and one byte of the model changes."""
    gate, view = deployment.here, deployment.view
    demand = {"weights": hashlib.sha256(WEIGHTS).hexdigest()}
    async with deployment.instead() as hand:
        await deployment.serve(hand.put_epoch(runtime=_demanding(model_digests=demand)))
        after = len(view.records("lifecycle"))
        with changed(gate.weights, WEIGHTS[:-1] + b"S"):
            said = await until_contained(view, 4, "EG403", "EG403")
            failed = await until_failed(view, 4, "EG403", after)
            await until_open(deployment.there.view)
        await until_open(view)
        found = [line["detail"] for line in view.records("runtime")]
        expect(len(found) >= 3, f"measurements on record: {found}")  # noqa: PLR2004, before, changed, after
        await deployment.serve(hand.put_epoch(runtime=NO_DEMANDS))
    return f"{said}; {failed}; measured three times on record; the other sidecar goes on"


@covers("4.7", "5.2", "9.4")
async def other_code(deployment: Deployment) -> str:
    """An epoch is for other code than what runs here."""
    async with deployment.instead() as hand:
        hand.put_epoch(runtime=_demanding(code_sha256=("0" * 64,)))
        said = await until_contained(deployment.view, 4, "EG401")
        await deployment.serve(hand.put_epoch(runtime=NO_DEMANDS))
    return said


@covers("4.7", "9.1")
async def damaged_state(deployment: Deployment) -> str:
    """A sidecar starts with stored marks of which one bit was changed."""
    gate = deployment.there
    await gate.end()
    raw = bytearray(gate.marks.read_bytes())
    raw[-10] ^= 1
    with changed(gate.marks, bytes(raw)):
        await gate.start()
        said = await settle(lambda: contained(gate.view, 4, "EG405", "EG405"), deployment.limit_s)
        expect(gate.marks.read_bytes() == bytes(raw), "the damaged file was replaced")
        await gate.end()
    await gate.start()
    await until_open(gate.view)
    return f"{said}; the file is left as evidence; open with the right one"


@covers("3.4", "9.7", "9.8")
async def unwritable_state(deployment: Deployment) -> str:
    """Marks cannot be stored: nothing is approved, and the lease runs out."""
    gate, view = deployment.there, deployment.there.view
    after = len(view.records("lifecycle"))
    in_the_way = gate.marks.with_name("marks.new")
    await settle(lambda: _made(in_the_way), deployment.limit_s)
    try:
        said = await until_contained(view, 4, "EG406")
        failed = await settle(lambda: _failed(deployment, after), deployment.limit_s)
    finally:
        in_the_way.rmdir()
    await until_open(view)
    return f"{said}; {failed}; open when they can be stored again"


@covers("1.6", "4.9", "9.1")
async def closed_start(deployment: Deployment) -> str:
    """A sidecar starts while no peer answers: it listens, and denies everything."""
    gate = deployment.there
    await gate.end()
    arrived = len(deployment.arrived())
    with paused(*(peer.process for peer in deployment.peers)):
        await gate.start()
        first = await gate.view.ask()
        expect(first.code in ("EG905", "EG101"), f"the first request got {first}")
        said = await until_answered(gate.view, "EG101")
        for _ in range(20):
            await answered(gate.view, "EG101")
        expect(len(deployment.arrived()) == arrived, "requests reached the service")
    await until_open(gate.view)
    await deployment.open()
    return f"{said}; nothing reached the service; open when the peers answer"


def _demanding(**digests: Any) -> Runtime:  # noqa: ANN401
    return msgspec.structs.replace(NO_DEMANDS, **digests)


async def _made(folder: Path) -> None:
    try:
        await asyncio.to_thread(folder.mkdir)
    except FileExistsError:  # marks are being stored just now
        raise BrokenError(f"{folder} exists") from None


async def _failed(deployment: Deployment, after: int) -> str:
    found = [line["detail"] for line in deployment.there.view.records("lifecycle")[after:]]
    told = [one["step"] for one in found if "EG406" in one["evidence"].get("reasons", [])]
    expect(told, f"steps on record: {found}")
    expect(not [one for one in found if one["step"] == 8 and one["ok"]], "approved all the same")  # noqa: PLR2004
    return f"step {told[0]} failed on record and none is approved"


CHECKS = (changed_model, other_code, damaged_state, unwritable_state, closed_start)
