"""Checks of the authority's own log: what governs is in it, and what was changed in it is found.

Source: protocol b.13, b.15 sections 1.4, 6.2.
"""

import json
import shutil

from sidecar.cli.conformance.check import covers, expect
from sidecar.cli.conformance.deployment import Deployment
from sidecar.cli.text import VERIFICATION_FAILED

ENTRIES = "tile/entries"


@covers("1.4", "6.2")
async def governance_log(deployment: Deployment) -> str:
    """What the newest beat names is in a signed log that anybody can check; an edit is found."""
    said = deployment.newest_beat()
    expect(said, "no beat")
    assert said is not None
    source = ("--url", deployment.public_url, "--config", "authority.yaml", "-o", "json")
    entries = json.loads(await deployment.succeed("governance", "log", *source))["entries"]
    names = [(one["type"], json.dumps(one["sha256"])) for one in entries]
    expect(len(set(names)) == len(names), "something is in it twice")
    for kind, sha256 in (("trust", said.trust.sha256), ("epoch", said.epoch.sha256)):
        expect((kind, json.dumps(sha256)) in names, f"{kind} {sha256[:16]} is not in it")
    orders = sum(kind in ("halt", "clear") for kind, _ in names)
    expect(orders >= said.halts.seq, f"{orders} orders in it, {said.halts.seq} in the beat")
    return f"{len(names)} entries, each once; {orders} orders; {await _edited(deployment)}"


async def _edited(deployment: Deployment) -> str:
    """Change one letter in a copy of the public files."""
    copy = deployment.folder / "governance-copy"
    shutil.copytree(deployment.folder / "authority" / "governance" / "tiles", copy)
    try:
        # All sizes of the bundle: which of them is asked for depends on the size of the log.
        for path in (path for path in (copy / ENTRIES).rglob("*") if path.is_file()):
            path.write_bytes(path.read_bytes().replace(b'"number":1', b'"number":7', 1))
        said = ("--dir", str(copy), "--config", "authority.yaml")
        done = await deployment.command("governance", "verify", *said)
    finally:
        shutil.rmtree(copy)
    expect(done.status == VERIFICATION_FAILED, f"edited, and verify ends with {done.status}")
    return "one changed letter is found"


CHECKS = (governance_log,)
