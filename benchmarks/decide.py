"""What a decision costs in process: decide, clocks, journal, metrics.

Everything is real (compiled policy, lease, journal on a disk), nothing waits, nobody else runs in
the process. The sequencer, which hashes records out of band, is not part of it.
"""

import tempfile
import timeit
from collections.abc import Callable
from pathlib import Path

import click

from benchmarks import figures, machine, request, targets
from sidecar import clock, signer
from sidecar.audit.journal import Journal
from sidecar.audit.recorder import Recorder
from sidecar.authority import ceremony
from sidecar.authority.plan import EpochPlan
from sidecar.core import canonical, envelope, policy, routes
from sidecar.core.gate import Denial, Exempt, Permit, decide
from sidecar.core.head import RequestHead
from sidecar.core.instant import BootNs, Now, WallMs
from sidecar.core.lease import Lease
from sidecar.core.log import checkpoint
from sidecar.core.objects import beat, trust
from sidecar.core.objects.beat import Beat
from sidecar.core.objects.epoch import Epoch
from sidecar.core.objects.trust import Role, Trust
from sidecar.core.quorum import PeerId
from sidecar.core.snapshot import Snapshot
from sidecar.roles.start import fresh_bytes
from sidecar.signer import FileSigner
from sidecar.telemetry import logs
from sidecar.telemetry.metrics import Metrics
from sidecar.telemetry.observer import Observer

RULES = (1, 10, 32, 1_000, 10_000)
ASKING_RULES = (10, 32, 10_000)  # with an expression of five clauses
SHOWN_RULES = 32  # what targets 6 and 8 speak of
PORT = 9000
HOUR_MS = 3_600_000

Step = Callable[[], object]


def run(rounds: int, loops: int, folder: Path) -> dict[str, object]:
    """Time every case once per round, in turn.

    Args:
        rounds: How often.
        loops: Calls per case and round.
        folder: Where the result goes.

    Returns:
        The result's document; figures in nanoseconds per call.
    """
    before = machine.load()
    measured: list[figures.Round] = []
    with machine.pinned(machine.cores()[1]), tempfile.TemporaryDirectory() as scratch:
        snapshots = {count: snapshot(count) for count in RULES}
        asking = {count: snapshot(count, asks=True) for count in ASKING_RULES}
        for number in range(1, rounds + 1):
            click.echo(f"decide: round {number} of {rounds}", err=True)
            bench = _Path(Path(scratch) / str(number), snapshots[SHOWN_RULES])
            steps = {**_decisions(snapshots, asking), **bench.steps()}
            measured.append({name: _time(step, loops) for name, step in steps.items()})
            bench.close()
    growth = figures.ratios(measured, "permit, 10000 rules", {"growth": "permit, 10 rules"})
    merged = [{**one, **two} for one, two in zip(measured, growth, strict=True)]
    return figures.save(
        "decide", folder, merged, targets.of("decide", figures.summary(merged)),
        versions=machine.versions(), load={"before": before, "after": machine.load()},
        options={"rounds": rounds, "loops": loops}, unit="ns per call; growth: ratio",
    )  # fmt: skip


def _time(step: Step, loops: int) -> float:
    return timeit.timeit(step, number=loops) / loops * 1e9


def _decisions(snapshots: dict[int, Snapshot], asking: dict[int, Snapshot]) -> dict[str, Step]:
    """Each kind of answer, checked once before it is timed."""
    steps: dict[str, Step] = {}
    now = clock.now()
    chat = request.head()
    for count, snapshot in snapshots.items():
        steps[f"permit, {count} rules"] = _checked(Permit, snapshot, chat, now)
    for count, snapshot in asking.items():
        steps[f"permit by five clauses, {count} rules"] = _checked(Permit, snapshot, chat, now)
    shown = snapshots[SHOWN_RULES]
    wild = request.head(path=request.WILD_PATH)
    steps["permit by wildcard"] = _checked(Permit, shown, wild, now)
    steps["deny: no rule matches"] = _checked(Denial, shown, request.head(b"GET"), now)
    late = Now(BootNs(2**62), now.wall)
    steps["deny: lease expired"] = _checked(Denial, shown, chat, late)
    health = request.head(b"GET", request.EXEMPT)
    steps["exempt"] = _checked(Exempt, shown, health, now)
    steps["both clocks"] = clock.now
    return steps


def _checked(kind: type, snapshot: Snapshot, head: RequestHead, now: Now) -> Step:
    found = decide(snapshot, head, now)
    assert type(found) is kind, f"{found} is no {kind.__name__}"
    return lambda: decide(snapshot, head, now)


class _Path:
    """The hot path without sockets: clocks, decision, record, metrics.

    Args:
        folder: For the journal; made.
        snapshot: What is decided on.
    """

    def __init__(self, folder: Path, snapshot: Snapshot) -> None:
        key = FileSigner(fresh_bytes(signer.SEED_BYTES))
        origin = checkpoint.origin("bench", f"chat-{key.key_id[:16]}")
        boot = fresh_bytes(8).hex()
        self._journal = Journal(folder, 64 * 1024 * 1024)
        self._journal.recover(key, origin, boot, origin, clock.now())
        self._recorder = Recorder(
            self._journal, boot, origin, lambda _: None, lambda _: None, bytes(32)
        )
        metrics = Metrics(clock.now)
        log = logs.setup("error", (folder / "log").open("w"), metrics.log_messages.add)
        self._observer = Observer(metrics, log, clock.now)
        self._snapshot = snapshot
        self._head = request.head()
        self._decision = decide(snapshot, self._head, clock.now())
        self._folder = folder

    def steps(self) -> dict[str, Step]:
        """What is timed."""
        return {
            "record": self._record,
            "metrics": self._count,
            "decision + records + metrics": self._all,
        }

    def close(self) -> None:
        """Check that every record was written, then give the folder back."""
        self._journal.settle()
        assert self._journal.failed is None, self._journal.failed
        lines = sum(path.read_bytes().count(b"\n") for path in self._folder.glob("*.jsonl"))
        assert lines == self._journal.seq, f"{lines} lines, {self._journal.seq} records"
        self._journal.close()

    def _record(self) -> None:
        decision = self._decision
        assert isinstance(decision, Permit)
        assert self._recorder.decision(decision, self._head, None, clock.now())
        self._journal.fresh.clear()  # the sequencer takes them elsewhere

    def _count(self) -> None:
        self._observer.finished("permit", None, 200, 1_000_000, 10_000, 900_000)

    def _all(self) -> None:
        now = clock.now()
        decision = decide(self._snapshot, self._head, now)
        assert isinstance(decision, Permit)
        decision_id = self._recorder.decision(decision, self._head, None, now)
        assert decision_id
        after = clock.now()
        self._recorder.outcome(
            decision_id, "permit", None, after, dur_ns=after.boot - now.boot, sent=True, status=200
        )  # settled by the next decision, as under load
        self._observer.finished(
            "permit", None, 200, after.boot - now.boot, after.boot - now.boot, 1
        )
        self._journal.fresh.clear()


def snapshot(count: int, *, asks: bool = False) -> Snapshot:
    """A running sidecar's snapshot: signed trust, epoch and beat, `count` rules; see `request`."""
    now = clock.now()
    under, epoch_keys, beat_key = _trust(now.wall)
    raw = request.policy_bytes(count, asks=asks)
    table = request.routes_bytes(PORT)
    plan = EpochPlan(policy=raw, routes=table, life_ms=HOUR_MS)
    epoch, _ = ceremony.make_epoch(plan, under, None, epoch_keys, now.wall)
    vouched = _beat(under, epoch, beat_key, now.wall)
    lease = Lease(
        epoch.seq, epoch.sha256, vouched, (PeerId("p1"), PeerId("p2")),
        BootNs(now.boot + HOUR_MS * 1_000_000), WallMs(now.wall + HOUR_MS), "clock",
    )  # fmt: skip
    return Snapshot(
        lease=lease, epoch=epoch, trust_version=under.version, policy=policy.parse(raw),
        routes=routes.parse(table),
    )  # fmt: skip


def vouched() -> tuple[Trust, FileSigner, Epoch]:
    """A trust document, its beat key, and an epoch under it."""
    now = clock.now().wall
    under, epoch_keys, beat_key = _trust(now)
    plan = EpochPlan(
        policy=request.policy_bytes(1), routes=request.routes_bytes(PORT), life_ms=HOUR_MS
    )
    epoch, _ = ceremony.make_epoch(plan, under, None, epoch_keys, now)
    return under, beat_key, epoch


def _trust(wall_ms: WallMs) -> tuple[Trust, list[FileSigner], FileSigner]:
    counts = {
        Role.ROOT: 1, Role.EPOCH: 1, Role.BEAT: 1, Role.HALT: 1, Role.RESUME: 1,
    }  # fmt: skip
    keys = {
        role: [FileSigner(fresh_bytes(signer.SEED_BYTES)) for _ in range(count)]
        for role, count in counts.items()
    }
    plan = ceremony.TrustPlan(
        domain="bench",
        thresholds=dict.fromkeys(counts, 1),
        quorum=trust.Quorum(n=3, r=2, w=2),
        limits=trust.Limits(ttl_max_ms=HOUR_MS, skew_max_ms=500, drift_ppm=2000),
        expires_ms=HOUR_MS,
    )
    raw = ceremony.make_trust(plan, keys, wall_ms)
    return trust.parse(raw, wall_ms), keys[Role.EPOCH], keys[Role.BEAT][0]


def _beat(under: Trust, epoch: Epoch, key: FileSigner, wall_ms: WallMs) -> Beat:
    says = epoch.says
    body = beat.Body(
        type=beat.TYPE,
        domain=under.domain,
        issuer=key.key_id,
        seq=1,
        prev_sha256=None,
        issued_at=wall_ms,
        ttl_ms=HOUR_MS,
        interval_ms=500,
        trust=trust.TrustRef(version=under.version, sha256=under.sha256),
        epoch=trust.Mark(seq=epoch.seq, sha256=epoch.sha256),
        halts=trust.Mark(seq=0, sha256=says.halts_sha256),
        state="run",
        fleet=beat.Fleet(root=says.gov_log.root, size=0, expected=0, diverged=0),
        gov_log=says.gov_log,
    )
    raw = signer.sign(beat.PAYLOAD_TYPE, canonical.dump(body), key)
    sealed = envelope.parse(raw, beat.MAX_BYTES)
    return beat.parse(under.open(sealed, Role.BEAT, beat.PAYLOAD_TYPE, wall_ms))
