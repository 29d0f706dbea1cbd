"""What a fleet costs its authority, in process: reports verified and merged, a beat over them all.

Everything is real: reports signed by as many keys, as large as a sidecar with a model writes them,
on three peers; the tree, a proof for each instance, the signed beat and the commands that carry
them. Sockets are not part of it. Times are CPU times of the thread: neighbours count for less.
"""

import time
from collections.abc import Callable
from pathlib import Path

import click

from benchmarks import decide, figures, machine, targets
from benchmarks.figures import Round
from sidecar import clock, signer
from sidecar.core import canonical, fleet, vouch
from sidecar.core.cover import Cover
from sidecar.core.fleet import Fleet
from sidecar.core.issued import Issued
from sidecar.core.objects import beat, report
from sidecar.core.objects.halt import NO_HALTS
from sidecar.core.objects.trust import Mark, TrustRef
from sidecar.roles.start import fresh_bytes
from sidecar.signer import FileSigner

INSTANCES = 1000
PEERS = 3
DOMAIN = "bench"
MS_PER_S = 1000


def run(rounds: int, instances: int, folder: Path) -> dict[str, object]:
    """Let a fleet report once per round, and cover it with a beat.

    Args:
        rounds: How often.
        instances: How many report.
        folder: Where the result goes.

    Returns:
        The result's document.
    """
    before = machine.load()
    measured: list[Round] = []
    with machine.pinned(machine.cores()[1]):
        bench = _Authority(instances)
        for number in range(1, rounds + 1):
            click.echo(f"fleetbeat: round {number} of {rounds}", err=True)
            measured.append(bench.round(number))
    return figures.save(
        "fleetbeat", folder, measured, targets.of("fleetbeat", figures.summary(measured)),
        versions=machine.versions(), load={"before": before, "after": machine.load()},
        options={"rounds": rounds, "instances": instances, "peers": PEERS},
        unit="as the figure says; CPU time",
    )  # fmt: skip


class _Authority:
    """What an authority does with its fleet, without the rest."""

    def __init__(self, instances: int) -> None:
        now = clock.now()
        self._under, self._key, self._epoch = decide.vouched()
        self._keys = [FileSigner(fresh_bytes(signer.SEED_BYTES)) for _ in range(instances)]
        self._fleet = Fleet(DOMAIN, fleet.KEEP_MIN_MS)
        self._cover = Cover(DOMAIN, self._key.key_id)
        self._setting = vouch.Setting(self._key.key_id, self._key.public, (), 4000, 500)
        self._ref = TrustRef(version=self._under.version, sha256=self._under.sha256)
        self._sent_at = now.wall
        self._issued = Issued(self._under, self._key.key_id, None)

    def round(self, number: int) -> Round:
        """Every instance reports; every report is on every peer; a beat covers them."""
        raws = [self._report(key, number) for key in self._keys]
        held = [list(raws) for _ in range(PEERS)]
        now = clock.now()
        looks = 1
        took = _timed(lambda: self._fleet.look(held, now))
        while self._fleet.verified < number * len(raws):  # more than one look takes
            looks += 1
            took += _timed(lambda: self._fleet.look(held, now))
        again = _timed(lambda: self._fleet.look(held, now))
        covered = _timed(self._beat)
        return {
            "reports verified and merged, per s": len(raws) / took,
            "report, bytes": sum(map(len, raws)) / len(raws),
            "looks": looks,
            "look without anything new, ms": again * MS_PER_S,
            "beat over all instances, ms": covered * MS_PER_S,
        }

    def _beat(self) -> None:
        census = self._fleet.census(self._epoch, self._ref, NO_HALTS)
        assert (census.said.size, census.said.diverged) == (len(self._keys), 0)
        body = vouch.says(
            self._under, self._setting, self._issued, self._epoch, census.said, clock.now().wall
        )
        payload = canonical.dump(body)
        signer.sign(beat.PAYLOAD_TYPE, payload, self._key)
        lines = self._cover.lines(census, canonical.digest(payload))
        assert sum(map(len, lines)) >= 2 * len(self._keys)

    def _report(self, key: FileSigner, number: int) -> bytes:
        body = report.Body(
            type=report.TYPE,
            domain=DOMAIN,
            instance=report.instance_name("chat-7f9c6d5b8-x2x9z", key.key_id),
            public=key.public.hex(),
            boot_id="0" * 32,
            seq=number,
            prev_sha256="1" * 64,
            nonce=fresh_bytes(32).hex(),
            sent_at=self._sent_at + number,
            state="running",
            reasons=(),
            lifecycle=report.Lifecycle(step=10, ok=True),
            trust=self._ref,
            epoch=Mark(seq=self._epoch.seq, sha256=self._epoch.sha256),
            beat=report.BeatRef(issuer=self._key.key_id, seq=number, sha256="2" * 64),
            lease_ms_left=3210,
            policy_sha256="3" * 64,
            routes_sha256="4" * 64,
            runtime=report.Measured(
                code_sha256="5" * 64, config_sha256="6" * 64, image_digest=f"sha256:{'7' * 64}",
                models={"weights": "8" * 64},
            ),
            counters={f"counter-{at}": at * 12_345 for at in range(12)},
            halts=Mark(seq=0, sha256=NO_HALTS.sha256),
            drills=(),
            audit=report.AuditHead(
                origin=f"epochgate/{DOMAIN}/chat-{key.key_id[:16]}", size=123_456, root="9" * 64
            ),
            region="here",
            service="chat",
            build="0.1.0",
        )  # fmt: skip
        return signer.sign(report.PAYLOAD_TYPE, canonical.dump(body), key)


def _timed(step: Callable[[], object]) -> float:
    began = time.thread_time()
    step()
    return time.thread_time() - began
