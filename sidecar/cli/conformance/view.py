"""One sidecar as anybody sees it: answers to requests, the status port, and its audit folder.

Nothing here changes anything.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from sidecar.cli.conformance.check import expect

CHAT = "/v1/chat/completions"
PATIENCE_S = 15.0

State = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer: status 0 when the connection failed."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The reason's code; empty when there is none."""
        return self.headers.get("x-epochgate-reason", "")

    @property
    def told(self) -> Mapping[str, Any]:
        """The body, where it is a JSON object."""
        try:
            found = json.loads(self.body)
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def codes(self) -> list[str]:
        """The reason of a denial, and what is behind it."""
        return [self.code, *(str(code) for code in self.told.get("causes", ()))]

    def __str__(self) -> str:
        return " ".join((str(self.status), *filter(None, self.codes)))


class View:
    """A sidecar, looked at.

    Args:
        inbound: URL of its inbound listener.
        status: URL of its status port.
        journal: Folder of its audit log, when it can be read.
        limit_s: How long to wait for anything.
    """

    def __init__(
        self, inbound: str, status: str, journal: Path | None = None, limit_s: float = PATIENCE_S
    ) -> None:
        self.inbound, self.status, self.journal = inbound, status, journal
        self.limit_s = limit_s
        self.session: aiohttp.ClientSession | None = None

    async def ask(
        self, method: str = "POST", path: str = CHAT, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """One request. A connection that breaks is an answer with status 0."""
        assert self.session is not None, "connected"
        body = {"model": "demo", "max_tokens": 1} if method == "POST" else None
        try:
            async with self.session.request(
                method, self.inbound + path, json=body, headers=headers
            ) as response:
                return Answer(response.status, response.headers, await response.read())
        except (aiohttp.ClientError, TimeoutError):
            return Answer(0, {}, b"")

    async def get(self, path: str) -> Answer:
        """What the status port answers."""
        assert self.session is not None, "connected"
        try:
            async with self.session.get(self.status + path) as response:
                return Answer(response.status, response.headers, await response.read())
        except (aiohttp.ClientError, TimeoutError):
            return Answer(0, {}, b"")

    async def state(self) -> State:
        """/v1/state."""
        answer = await self.get("/v1/state")
        expect(answer.status == 200, f"/v1/state answered {answer.status}")  # noqa: PLR2004
        return dict(answer.told)

    async def gauges(self) -> dict[str, float]:
        """/metrics: each sample by its name and labels."""
        answer = await self.get("/metrics")
        expect(answer.status == 200, f"/metrics answered {answer.status}")  # noqa: PLR2004
        samples = (line.rpartition(" ") for line in answer.body.decode().splitlines())
        return {name: float(value) for name, _, value in samples if name and name[0] != "#"}

    def records(self, *kinds: str) -> list[dict[str, Any]]:
        """Records of these kinds in the audit folder, in order; all when none is named."""
        assert self.journal is not None, "its audit folder is known"
        lines = (
            line
            for path in sorted(self.journal.rglob("*.jsonl"))
            for line in path.read_bytes().splitlines()
        )
        # The last line may be half written.
        found = [json.loads(line) for line in lines if line[:1] == b"{" and line[-1:] == b"}"]
        return [record for record in found if not kinds or record["type"] in kinds]


def verdict(state: State, number: int) -> tuple[bool, list[str]]:
    """Whether a validation holds, and why not."""
    for item in state.get("validations", ()):
        if item["number"] == number:
            return bool(item["holds"]), list(item["reasons"])
    return False, ["not shown"]


def complaints(state: State) -> dict[int, list[str]]:
    """Number -> reasons of each validation that does not hold."""
    return {
        item["number"]: list(item["reasons"])
        for item in state.get("validations", ())
        if not item["holds"]
    }


def gauge(samples: Mapping[str, float], number: int) -> float | None:
    """`epochgate_validation` of one validation."""
    start = "epochgate_validation{"
    for name, value in samples.items():
        if name.startswith(start) and f'number="{number}"' in name:
            return value
    return None


def codes(records: Iterable[Mapping[str, Any]]) -> set[str]:
    """Every reason that lifecycle records name."""
    return {code for record in records for code in record["detail"]["evidence"].get("reasons", ())}
