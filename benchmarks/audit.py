"""What the audit log costs out of band, and whoever checks it: sequencing, verifying, proving.

A journal on disk of permits as the hot path writes them, signed as the sequencer signs. Timed are:
hashing each record and taking it into the tree, which is what the sequencer does with it; `audit
verify` and one `proof get` over all of it, per million records; and one look through it for a
reason that stands in none. Times are CPU times of the thread: neighbours count for less.
"""

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from benchmarks import decide, figures, machine, request, targets
from benchmarks.figures import Round
from sidecar import clock, signer
from sidecar.audit import checkpoints, prover, query, reader
from sidecar.audit.journal import Journal
from sidecar.audit.recorder import Recorder
from sidecar.core import gate
from sidecar.core.gate import Permit
from sidecar.core.log import checkpoint
from sidecar.core.log.checkpoint import Checkpoint
from sidecar.core.log.merkle import Tree, leaf_hash
from sidecar.core.log.note import NoteKey
from sidecar.roles.start import fresh_bytes
from sidecar.signer import FileSigner

T = TypeVar("T")

MILLION = 1_000_000
SEGMENT_BYTES = 64 * 1024 * 1024


def run(rounds: int, records: int, folder: Path) -> dict[str, object]:
    """Write a journal once, and work on it once per round.

    Args:
        rounds: How often.
        records: How many, one outcome for each permit among them.
        folder: Where the result goes.

    Returns:
        The result's document.
    """
    before = machine.load()
    measured: list[Round] = []
    with machine.pinned(machine.cores()[1]), tempfile.TemporaryDirectory() as scratch:
        key, lines = _journal(Path(scratch), records)
        for number in range(1, rounds + 1):
            click.echo(f"audit: round {number} of {rounds}", err=True)
            measured.append(_round(Path(scratch), key, lines))
    return figures.save(
        "audit", folder, measured, targets.of("audit", figures.summary(measured)),
        versions=machine.versions(), load={"before": before, "after": machine.load()},
        options={"rounds": rounds, "records": records}, unit="as the figure says; CPU time",
    )  # fmt: skip


def _journal(folder: Path, records: int) -> tuple[NoteKey, list[bytes]]:
    made = FileSigner(fresh_bytes(signer.SEED_BYTES))
    origin = checkpoint.origin("bench", f"chat-{made.key_id[:16]}")
    journal = Journal(folder, SEGMENT_BYTES)
    journal.recover(made, origin, fresh_bytes(8).hex(), origin, clock.now())
    recorder = Recorder(
        journal, fresh_bytes(8).hex(), origin, lambda _: None, lambda _: None, bytes(32)
    )
    head = request.head()
    permit = gate.decide(decide.snapshot(decide.SHOWN_RULES), head, clock.now())
    assert isinstance(permit, Permit), "of a running sidecar"
    while journal.seq < records:
        decision_id = recorder.decision(permit, head, None, clock.now())
        assert decision_id is not None, journal.failed
        recorder.outcome(
            decision_id, "permit", None, clock.now(), dur_ns=MILLION, sent=True, status=200
        )
        journal.settle()
    lines = list(journal.fresh)
    journal.close()
    tree = _tree(lines)
    sealed = checkpoints.seal(Checkpoint(origin, tree.size, tree.root()), made)
    checkpoints.write(folder, sealed)
    return NoteKey(origin, made.public), lines


def _tree(lines: list[bytes]) -> Tree:
    tree = Tree()
    for line in lines:
        tree.append(leaf_hash(line))
    return tree


def _round(folder: Path, key: NoteKey, lines: list[bytes]) -> Round:
    count = len(lines)
    report, verified_s = _timed(lambda: reader.verify(folder, key))
    assert report.verified, report.fault
    assert report.records == count
    found, looked_s = _timed(lambda: list(query.search(folder, query.Wanted(reason="EG901"))))
    assert not found
    _, proved_s = _timed(lambda: prover.prove(folder, count // 2, key))
    _, hashed_s = _timed(lambda: _tree(lines))
    return {
        "records hashed and integrated, per s": count / hashed_s,
        "audit verify, s per million records": verified_s * MILLION / count,
        "proof get, s per million records": proved_s * MILLION / count,
        "audit query for what is not there, s per million records": looked_s * MILLION / count,
        "audit verify as a command: peak memory, MiB": _peak_mib(folder),
    }


def _peak_mib(folder: Path) -> float:
    """Of its process, interpreter and all; read while it runs, so at most 20 ms before its end."""
    command = [sys.executable, "-m", "sidecar", "audit", "verify", str(folder), "-o", "json"]
    peak_kib = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as child:
        while child.poll() is None:
            status = Path(f"/proc/{child.pid}/status").read_text()
            found = re.search(r"VmHWM:\s+(\d+) kB", status)
            peak_kib = max(peak_kib, int(found[1]) if found else 0)
            time.sleep(0.02)
    assert child.returncode == 0, "verifies"
    return peak_kib / 1024


def _timed(step: Callable[[], T]) -> tuple[T, float]:
    began = time.thread_time()
    found = step()
    return found, time.thread_time() - began
