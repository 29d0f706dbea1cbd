"""Checks of the trust document: thresholds, a newer one that is withheld, a rotation.

Source: protocol b.15 sections 4.4, 5.4, 7.4, 9.5.
"""

import msgspec

from sidecar import signer
from sidecar.cli.conformance.check import covers, expect, settle
from sidecar.cli.conformance.deployment import Deployment
from sidecar.cli.conformance.signs import until_contained
from sidecar.core import layout

AGREED = 'epochgate_rounds_total{result="agreed"}'
PERMITTED = 200
ROOTS = ("--key", "trust/keys/root-1.key", "--key", "trust/keys/root-2.key")


@covers("4.4", "5.4", "9.5")
async def too_few_signatures(deployment: Deployment) -> str:
    """An epoch carries one signature where the trust document asks for two."""
    one_key = ("--key", "trust/keys/epoch-1.key")
    refused = await deployment.command(*deployment.issuing("policy.yaml")[:-4], *one_key)
    expect(refused.status, "the command took one key for an epoch")
    async with deployment.instead() as hand:
        before = hand.newest()
        hand.put_epoch(head=False, keys=1, reason="one key")
        said = await until_contained(deployment.view, 6, "EG602")
        hand.vouched = before
        await deployment.open()
    return f"{said}; the command refuses to sign one"


@covers("5.4", "7.4", "4.4")
async def withheld_trust(deployment: Deployment) -> str:
    """Beats name a newer trust document, and no peer shows it."""
    async with deployment.instead() as hand:
        newer = msgspec.structs.replace(
            hand.newest().says.trust, version=hand.trust.version + 1, sha256="0" * 64
        )
        hand.changes = {"trust": newer}
        said = await until_contained(deployment.view, 6, "EG607")
        hand.changes = {}
        await deployment.open()
    return said


@covers("2.7", "5.4", "7.4")
async def rotated_trust(deployment: Deployment) -> str:
    """A key is revoked by root's threshold: authority and sidecars walk there while they serve."""
    before = deployment.hand.trust.version
    keys = deployment.folder / "trust" / "keys"
    old = "trust/trust.json" if before == 1 else f"trust/trust-{before}.json"
    new = f"trust/trust-{before + 1}.json"
    revoked = signer.load(keys / "halt-2.key").key_id
    said = ("--reason", "conformance", "--trust", old, "--out", new)
    await deployment.succeed("trust", "revoke", revoked, *said)
    one = await deployment.command("trust", "publish", new, "--config", "authority.yaml")
    expect(one.status, "a trust document without signatures was published")
    await deployment.succeed("trust", "sign", new, "--previous", old, *ROOTS)
    await deployment.succeed("trust", "publish", new, "--config", "authority.yaml")

    async def walked() -> None:
        found = [(await gate.view.state())["trust_version"] for gate in deployment.gates]
        said = deployment.newest_beat()
        found.append(0 if said is None else said.trust.version)
        expect(set(found) == {before + 1}, f"trust versions of both and of the beats: {found}")

    await settle(walked, deployment.limit_s)
    await deployment.open()
    told = [line["detail"]["version"] for line in deployment.view.records("trust")]
    expect(before + 1 in told, f"trust documents on record: {told}")
    await _halt_revoked(deployment)
    return f"both and the authority at version {before + 1}, on record; a revoked key stops nothing"


async def _halt_revoked(deployment: Deployment) -> None:
    """Order a halt with the revoked key: whatever the command thinks of it, nobody obeys."""
    key = layout.halts_key(deployment.hand.trust.domain)
    before = deployment.peers[0].hash(key)
    await deployment.command(
        "halt", "--config", "authority.yaml", "--reason", "conformance",
        "--key", "trust/keys/halt-2.key",
    )  # fmt: skip
    rounds = (await deployment.view.gauges())[AGREED]

    async def passed() -> None:
        seen = (await deployment.view.gauges())[AGREED]
        expect(seen > rounds + 3, f"{seen - rounds:.0f} rounds since")

    await settle(passed, deployment.limit_s)
    for gate in deployment.gates:
        told = await gate.view.ask()
        expect(told.status == PERMITTED, f"a revoked key stopped a sidecar: {told}")
    for peer in deployment.peers:
        for field in peer.hash(key).keys() - before.keys():
            peer.client.hdel(key, field)
    await deployment.open()


CHECKS = (too_few_signatures, withheld_trust, rotated_trust)
