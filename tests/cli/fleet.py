"""A fleet for tests of commands: real keys and a real trust document in a folder, real peers."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from sidecar import clock
from sidecar.authority import ceremony
from sidecar.authority.ceremony import TrustPlan
from sidecar.cli import epochgate
from sidecar.core.objects.trust import Limits, Quorum, Role, Trust, parse
from tests import builders
from tests.valkey import ValkeyServer


@dataclass(frozen=True, slots=True)
class Fleet:
    """Files in `folder`, peers that run."""

    folder: Path
    servers: Sequence[ValkeyServer]
    trust: Trust

    def run(self, *arguments: object) -> Result:
        """Run a command against the peers. Its exit code and what it printed."""
        return CliRunner().invoke(epochgate, [str(part) for part in arguments])

    def json(self, *arguments: object) -> Any:
        """Run it with -o json; it must succeed."""
        result = self.run(*arguments, "-o", "json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def peers(self) -> list[str]:
        """--trust and --peer options."""
        urls = [f"redis://127.0.0.1:{server.port}" for server in self.servers]
        peers = [part for url in urls for part in ("--peer", url)]
        return ["--trust", str(self.folder / "trust.json"), *peers]

    def keys(self, role: Role, *numbers: int) -> list[str]:
        """--key options."""
        return [
            part
            for number in numbers
            for part in ("--key", str(self.folder / f"{role.value}-{number}.key"))
        ]


def make_fleet(folder: Path, servers: Sequence[ValkeyServer]) -> Fleet:
    """Write keys and trust document; commands read the real clock, so they are dated by it."""
    keys = {role: builders.signers(role, count) for role, (count, _) in builders.ROLES.items()}
    for role, held in keys.items():
        for number, key in enumerate(held, start=1):
            key.save(folder / f"{role.value}-{number}.key")
    plan = TrustPlan(
        domain="test",
        thresholds={role: threshold for role, (_, threshold) in builders.ROLES.items()},
        quorum=Quorum(n=3, r=2, w=2),
        limits=Limits(ttl_max_ms=4000, skew_max_ms=500, drift_ppm=2000),
        expires_ms=builders.DAY_MS,
    )
    now = clock.now().wall
    raw = ceremony.make_trust(plan, keys, now)
    (folder / "trust.json").write_bytes(raw)
    (folder / "policy.json").write_bytes(builders.POLICY)
    (folder / "routes.json").write_bytes(builders.ROUTES)
    return Fleet(folder, servers, parse(raw, now))
