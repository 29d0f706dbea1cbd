"""The heads of this sidecar's logs, cosigned by witnesses.

Rules:

* All witnesses are given the same checkpoint, and the next one when enough of them have cosigned it
  or `STALL_S` have passed: so that those which are slow meet on one.
* Each log and witness has a task of its own. One that is slow or dead is waited for by nobody else,
  is asked again with growing pauses, and then first what it remembers: only who answers is worth a
  proof. No request and no round of the follower waits for any of this.
* A cosignature counts that verifies under a key of role witness in the trust document in force.
  With enough of them the checkpoint is written beside the log, where its writer judges it.
* A witness that remembers another past, or a longer one, latches the gate (EG706, EG707) if it
  shows a checkpoint that this instance's own key signed. To say so is not enough: anybody can.

Source: C2SP tlog-witness; protocol b.13; hardening E-J7, E-J9, J12.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sidecar.audit import checkpoints, past
from sidecar.audit.growth import Growth
from sidecar.audit.prover import PrunedError
from sidecar.clock import Clock
from sidecar.core.envelope import PublicKey
from sidecar.core.log import cosignature
from sidecar.core.log.checkpoint import Checkpoint
from sidecar.core.log.cosignature import Witnesses
from sidecar.core.log.note import NoteKey
from sidecar.core.reason import ProtocolError
from sidecar.core.snapshot import Hold, HoldKind
from sidecar.sync.witness import Answer, SilentError, WitnessClient, WitnessError
from sidecar.telemetry import logs
from sidecar.telemetry.logs import Log

STALL_S = 3.0
PAUSE_MAX_S = 30.0
RECALL_S = 1.0  # nobody waits longer for witnesses before following the peers


@dataclass(slots=True)
class _Target:
    """A checkpoint that all witnesses are given, and who has cosigned it."""

    raw: bytes
    says: Checkpoint
    since: float  # of the event loop's clock, seconds
    lines: dict[PublicKey, bytes] = field(default_factory=dict)


class _Kept:
    """One log: what is being cosigned, and the proofs that it grew."""

    def __init__(self, key: NoteKey, folder: Path) -> None:
        self.key = key
        self.folder = folder
        self.growth = Growth(folder)
        self.proving = asyncio.Lock()
        self.writing = asyncio.Lock()
        self.target: _Target | None = None
        self.done = 0  # records under the newest checkpoint that was cosigned
        self.news = asyncio.Condition()

    async def after(self, done: _Target | None) -> _Target:
        """What is to be cosigned, as soon as it is more than that."""
        least = 0 if done is None else done.says.size + 1
        async with self.news:
            while self.target is None or self.target.says.size < least:
                await self.news.wait()
            return self.target


class Witnessing:
    """Has the heads of logs cosigned.

    Args:
        logs: Name of each log -> its folder.
        public: Of the key that signs them.
        witnesses: Who is asked.
        trusted: Who counts, by the trust document in force.
        place: Places a hold at the gate.
        log: Told why, and which witness does not do its work.
        clock: Both clocks.
        period_s: How often to look for a new checkpoint, seconds.
    """

    def __init__(
        self,
        logs: Mapping[str, Path],
        public: PublicKey,
        witnesses: Sequence[WitnessClient],
        *,
        trusted: Callable[[], Witnesses],
        place: Callable[[Hold], None],
        log: Log,
        clock: Clock,
        period_s: float,
    ) -> None:
        self._logs = [_Kept(NoteKey(name, public), folder) for name, folder in logs.items()]
        self._witnesses = witnesses
        self._trusted = trusted
        self._place = place
        self._log = log
        self._clock = clock
        self._period_s = period_s
        self._said: dict[tuple[str, str], str] = {}  # of a witness and a log, the last complaint
        self._wrong = False

    async def recall(self) -> None:
        """Ask every witness what it remembers; whoever is slow is asked again by `run`."""
        asked = [self._recalled(kept, one) for kept in self._logs for one in self._witnesses]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(RECALL_S):
                await asyncio.gather(*asked)

    async def run(self) -> None:
        """Go on until cancelled; without witnesses there is nothing to do."""
        if not self._witnesses:
            return
        async with asyncio.TaskGroup() as tasks:
            for kept in self._logs:
                tasks.create_task(self._aim(kept))
                for one in self._witnesses:
                    tasks.create_task(self._follow(kept, one))

    async def part(self, limit_s: float) -> None:
        """Once more, when the last checkpoints are written; for so long at most."""
        if not self._witnesses:
            return
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(self.run())
            with contextlib.suppress(TimeoutError, OSError, ProtocolError):
                async with asyncio.timeout(limit_s):
                    await asyncio.gather(*(self._covered(kept) for kept in self._logs))
            task.cancel()

    async def _covered(self, kept: _Kept) -> None:
        raw = await asyncio.to_thread(checkpoints.held, kept.folder)
        last = 0 if raw is None else checkpoints.opened(raw, kept.key).size
        async with kept.news:
            await kept.news.wait_for(lambda: kept.done >= last or self._wrong)

    async def _aim(self, kept: _Kept) -> None:
        """Choose what is to be cosigned, again and again."""
        now = asyncio.get_running_loop().time
        while not self._wrong:
            target = kept.target
            if target is None or kept.done >= target.says.size or now() - target.since > STALL_S:
                await self._aim_at_newest(kept, now())
            await asyncio.sleep(self._period_s)

    async def _aim_at_newest(self, kept: _Kept, now: float) -> None:
        try:
            raw = await asyncio.to_thread(checkpoints.held, kept.folder)
            says = None if raw is None else checkpoints.opened(raw, kept.key)
        except (OSError, ProtocolError):
            return  # the journal says so, and holds the gate
        if raw is None or says is None or says.size <= kept.done:
            return
        if kept.target is None or kept.target.says != says:
            async with kept.news:
                kept.target = _Target(raw, says, now)
                kept.news.notify_all()

    async def _follow(self, kept: _Kept, one: WitnessClient) -> None:
        """Have one witness cosign whatever is to be cosigned."""
        old, pause_s, target = -1, self._period_s, None
        while not self._wrong:
            if old < 0:
                old = await self._recalled(kept, one)
            target = await kept.after(target)
            if old >= 0 and await self._cosigned(kept, one, old, target):
                old = target.says.size
                pause_s = self._period_s
                continue
            old, target = -1, None
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, PAUSE_MAX_S)

    async def _recalled(self, kept: _Kept, one: WitnessClient) -> int:
        """How many records it says that it has cosigned; -1: it says nothing."""
        try:
            raw = await one.recall(kept.key.name)
            remembered = None if raw is None else checkpoints.opened(raw, kept.key)
        except SilentError as error:
            self._complain(kept, one, error)
            return -1
        except (WitnessError, ProtocolError):
            return 0  # cannot be asked so, or shows what is not ours: it says so when it is told
        if remembered is None:
            return 0
        return remembered.size if await self._continues(kept, one, remembered) else -1

    async def _continues(self, kept: _Kept, one: WitnessClient, was: Checkpoint) -> bool:
        """Hold what a witness remembers, signed by our own key, against the log."""
        try:
            await asyncio.to_thread(past.compare, kept.folder, was, kept.key)
        except OSError as error:
            self._complain(kept, one, error)
            return False
        except ProtocolError as error:
            self._wrong = True
            self._complain(kept, one, error)
            self._place(Hold(error.reason, HoldKind.LATCHED))
            return False
        return True

    async def _cosigned(self, kept: _Kept, one: WitnessClient, old: int, target: _Target) -> bool:
        try:
            answer = await self._asked(kept, one, old, target)
            if answer.size is not None:  # somebody else has told it more: once more from there
                answer = await self._asked(kept, one, answer.size, target)
            await self._take(kept, target, answer)
        except (WitnessError, ProtocolError, PrunedError, OSError) as error:
            self._complain(kept, one, error)
            return False
        if self._said.pop((one.url, kept.key.name), None) is not None:
            self._log.info(logs.WITNESS, url=one.url, log=kept.key.name)
        return True

    async def _asked(self, kept: _Kept, one: WitnessClient, old: int, target: _Target) -> Answer:
        if old > target.says.size:
            raise WitnessError(f"says that it has cosigned {old} records, more than there are")
        # To its end, whoever is cancelled: nobody else may read on meanwhile.
        proof = await asyncio.shield(self._proof(kept, old, target.says))
        return await one.add(old, proof, target.raw)

    async def _proof(self, kept: _Kept, old: int, signed: Checkpoint) -> list[bytes]:
        async with kept.proving:
            return await kept.growth.prove(old, signed)

    async def _take(self, kept: _Kept, target: _Target, answer: Answer) -> None:
        if answer.contradicts or answer.size is not None:
            raise WitnessError("says that this log does not continue what it has cosigned")
        trusted = self._trusted()
        keys = trusted.usable(self._clock().wall)
        _, found = cosignature.find(target.raw + answer.lines, keys)
        if not found:
            raise WitnessError("did not sign with a key of role witness")
        target.lines |= {made.key.public: made.line.encode() for made in found}
        if len(target.lines.keys() & keys) >= trusted.threshold:
            await asyncio.shield(self._write(kept, target))

    async def _write(self, kept: _Kept, target: _Target) -> None:
        async with kept.writing:
            if target.says.size <= kept.done:
                return
            whole = target.raw + b"".join(target.lines.values())
            await asyncio.to_thread(checkpoints.write_cosigned, kept.folder, whole)
            kept.done = target.says.size
        async with kept.news:
            kept.news.notify_all()

    def _complain(self, kept: _Kept, one: WitnessClient, error: Exception) -> None:
        where = (one.url, kept.key.name)
        if self._said.get(where) != str(error):
            self._said[where] = str(error)
            self._log.complain(f"witness, of the log {kept.key.name}", one.url, error)
