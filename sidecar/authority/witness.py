"""A witness: cosigns the heads of audit logs as long as each extends the one before.

    POST /add-checkpoint                       the cosignature
    GET /<SHA-256 of the log's name>/checkpoint  the newest cosigned checkpoint, for anybody

Rules:

* A log is known when its instance has reported to this authority under the key that signs it; from
  the first cosignature on it is known for good.
* What is cosigned is on the disk before anybody is answered. Requests about one log wait for each
  other, also when whoever asked has gone away: none is judged against what is being replaced.
* A log whose record is damaged is answered 500, and said once; the others go on.

Source: C2SP tlog-witness; protocol b.13; hardening E-J7.
"""

import asyncio
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from aiohttp import web

from sidecar.authority.witnessed import Witnessed, WitnessedStore, digest
from sidecar.clock import Clock
from sidecar.core.envelope import PublicKey
from sidecar.core.fleet import Member
from sidecar.core.log import cosignature, note, witness
from sidecar.core.log.cosignature import Cosignature, WitnessKey
from sidecar.core.log.note import NoteKey
from sidecar.core.log.witness import Refusal, Status, Submission
from sidecar.core.reason import ProtocolError
from sidecar.signer import Signer

FOLDER = "witness"
MS_PER_S = 1000
_TEXT = "text/plain"

# As instances name their logs: `core/log/checkpoint.origin`, and `roles/workers.py` for several.
_LOG = re.compile(r"epochgate/([^/]+)/(.+-[0-9a-f]{16})(?:-follower|-worker-[0-9]{1,2})?")


def key_of(origin: str, domain: str, members: Iterable[Member]) -> PublicKey | None:
    """The key of the instance whose log bears that name, or None when nobody reports so.

    Args:
        origin: Name of a log.
        domain: Of the fleet.
        members: Who reports. The name of each ends with the id of its key, so nobody can pass for
            another.
    """
    match = _LOG.fullmatch(origin)
    if match is None or match[1] != domain:
        return None
    named = (one.report.says.public for one in members if one.name == match[2])
    return next((PublicKey(bytes.fromhex(public)) for public in named), None)


class Witness:
    """What answers on the public port.

    Args:
        folder: For its files.
        key: Its own.
        domain: Of the fleet; part of the name that it signs under.
        known: The key of a log by the log's name, or None.
        clock: Both clocks.
        complain: Told which file is wrong, and why.

    Raises:
        OSError: the folder cannot be used.
    """

    def __init__(
        self,
        folder: Path,
        key: Signer,
        domain: str,
        known: Callable[[str], PublicKey | None],
        clock: Clock,
        complain: Callable[[Path, Exception], None],
    ) -> None:
        self._store = WitnessedStore(folder)
        self._signer = key
        self.key = WitnessKey(cosignature.witness_name(domain, key.key_id), key.public)
        self._known = known
        self._clock = clock
        self._complain = complain
        self._held: dict[str, Witnessed] = {}  # by the digest of the name
        self._damaged: set[str] = set()
        self._locks: dict[str, asyncio.Lock] = {}

    def routes(self) -> list[web.RouteDef]:
        """For the public port."""
        return [
            web.post("/add-checkpoint", self._add),
            web.get("/{log:[0-9a-f]{64}}/checkpoint", self._show),
        ]

    async def _add(self, request: web.Request) -> web.Response:
        try:
            said = witness.parse(await request.read())
        except ProtocolError as error:
            return _refused(Refusal(Status.MALFORMED, error.detail))
        # To its end, whatever becomes of whoever asked.
        return await asyncio.shield(self._judged(said))

    async def _judged(self, said: Submission) -> web.Response:
        origin, name = said.claims.origin, digest(said.claims.origin)
        public = None if name in self._store.known else self._known(origin)
        if public is None and name not in self._store.known:
            return _refused(Refusal(Status.UNKNOWN, "unknown log"))
        async with self._lock(name):
            try:
                held = await self._recall(name)
                if held is None:
                    assert public is not None, "known by its report"
                    held = Witnessed(NoteKey(origin, public))
                return await self._answer(said, held)
            except (ProtocolError, OSError) as error:
                return self._failed(name, error)

    async def _answer(self, said: Submission, held: Witnessed) -> web.Response:
        refused = witness.judge(said, held.key, held.latest)
        if refused is not None:
            return _refused(refused)
        if held.latest is None and self._store.full:
            return web.Response(status=503, text="too many logs\n")
        signed = note.keep(said.note, held.key)
        line = self._cosign(note.unverified(said.note))
        made = replace(held, note=(signed + line).encode(), latest=said.claims)
        name = digest(held.key.name)
        self._held.pop(name, None)  # should the write fail, the disk says what holds
        await asyncio.to_thread(self._store.save, made)
        self._held[name] = made
        return web.Response(text=line, content_type=_TEXT, charset="utf-8")

    def _cosign(self, text: str) -> str:
        time_s = self._clock().wall // MS_PER_S
        signature = self._signer.sign(cosignature.message(text, time_s))
        return Cosignature(self.key, time_s, signature).line

    async def _show(self, request: web.Request) -> web.Response:
        name = request.match_info["log"]
        if name not in self._store.known:
            raise web.HTTPNotFound
        async with self._lock(name):
            try:
                held = await self._recall(name)
            except (ProtocolError, OSError) as error:
                return self._failed(name, error)
        assert held is not None, "known"
        return web.Response(body=held.note, content_type=_TEXT, charset="utf-8")

    def _lock(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())

    async def _recall(self, name: str) -> Witnessed | None:
        if name in self._store.known and name not in self._held:
            self._held[name] = await asyncio.to_thread(self._store.load, name)
        return self._held.get(name)

    def _failed(self, name: str, error: Exception) -> web.Response:
        if name not in self._damaged:
            self._damaged.add(name)
            self._complain(self._store.path(name), error)
        return web.Response(status=500, text="the record of this log cannot be used\n")


def _refused(why: Refusal) -> web.Response:
    if why.status is Status.OTHER_SIZE:
        body = witness.write_size(why.size)
        return web.Response(status=why.status, body=body, content_type=witness.SIZE_TYPE)
    return web.Response(status=why.status, text=f"{why.detail}\n")
