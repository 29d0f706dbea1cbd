"""A deployment whose sidecars notice nothing: they permit, and say that all is well.

Peers, authority and service are real, so every fault really comes in. Each check has to break here.
"""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sidecar.cli.conformance.deployment import Deployment
from sidecar.cli.conformance.view import CHAT, Answer, State, View
from sidecar.cli.demo.processes import Process
from sidecar.core.validations import VALIDATIONS

LIMIT_S = 0.2


class DeafView(View):
    """A sidecar that permits everything."""

    async def ask(
        self, method: str = "POST", path: str = CHAT, headers: Mapping[str, str] | None = None
    ) -> Answer:
        await asyncio.sleep(0.001)
        return Answer(200, {}, b"{}")

    async def get(self, path: str) -> Answer:
        await asyncio.sleep(0.001)
        if path == "/v1/state":
            return Answer(200, {}, json.dumps(self.said()).encode())
        lines = [f'epochgate_validation{{number="{n}",name="x"}} 1.0' for n in range(1, 9)]
        lines.append('epochgate_rounds_total{result="agreed"} 1.0')
        return Answer(200, {}, "\n".join(lines).encode())

    def said(self) -> State:
        """That all is well."""
        validations = [
            {"number": number, "name": name, "holds": True, "reasons": []}
            for number, (name, _) in enumerate(VALIDATIONS, start=1)
        ]
        return {
            "state": "running", "reason": None, "causes": [], "lease": {"left_ms": 1000},
            "epoch": {"seq": 1, "sha256": "0" * 16}, "validations": validations, "holds": [],
            "halts": [], "trust_version": 1,
        }  # fmt: skip

    def records(self, *kinds: str) -> list[dict[str, Any]]:
        return []


class DeafDeployment(Deployment):
    """Everything but the sidecars runs; in their place stand processes that do nothing."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, LIMIT_S)
        for gate in self.gates:
            gate.process = Process(gate.name, ["sleep", "600"], folder / f"{gate.name}.log")
            gate.view = DeafView("http://in", "http://st", gate.view.journal, LIMIT_S)

    async def start(self) -> None:
        for gate in self.gates:
            assert gate.view.journal is not None
            gate.view.journal.mkdir(parents=True)
            (gate.view.journal / "0.jsonl").write_text("{}\n")
            gate.marks.write_bytes(b"0" * 64)
            gate.listening = nothing  # type: ignore[method-assign]
        await super().start()

    async def serve(self, made: object) -> None:
        """They are believed to serve anything."""

    async def mend(self) -> None:
        for gate in self.gates:
            if not gate.up:
                gate.launch()


async def nothing() -> None:
    """A process that does not listen is up at once."""
