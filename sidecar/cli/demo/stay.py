"""`epochgate demo --stay`: a fleet that stays, with the files to try changes of policy on.

No story is told. What it starts is what the walk-through of policies/README.md runs against: two
or more sidecars in front of one service, a policy with its cases, and the keys to sign with.
"""

import contextlib
import shlex
from collections.abc import Sequence
from pathlib import Path

import click

from sidecar.cli.demo import processes
from sidecar.cli.demo.fleet import Fleet
from sidecar.cli.demo.processes import HOST, Process, epochgate

ENV = "demo.env"
TTL_MS = 4_000  # nobody waits for a lease to lapse here, and a busy machine should not see one
CASES = """\
apiVersion: epochgate.io/v1alpha1
kind: GatePolicyTest
metadata: {name: demo}
spec:
  policies: [policy.yaml]
  routes: routes.yaml
  defaults: {request: {method: POST, path: /v1/chat/completions}, lease: live}
  cases:
    - {name: chat, expect: {decision: permit, rule: chat}}
    - {name: list of models, given: {request: {method: GET, path: /v1/models}}, expect: {decision: permit, rule: models}}
    - {name: nothing without a lease, given: {lease: none}, expect: {decision: deny, reason: EG905}}
    - {name: no files, given: {request: {path: /v1/files}}, expect: {decision: deny, reason: EG204}}
"""  # noqa: E501, a case is a line


class Stay:
    """Everything that runs, and where.

    Args:
        folder: Made for this run.
        count: How many sidecars.
    """

    def __init__(self, folder: Path, count: int) -> None:
        self.fleet = Fleet(folder, TTL_MS)
        self._ports = processes.free_ports(2 * (count - 1))
        self.more = [
            Process(
                f"sidecar {number}",
                epochgate("run", "sidecar", "--config", folder / f"sidecar-{number}.yaml"),
                folder / f"sidecar-{number}.log",
            )
            for number in range(2, count + 1)
        ]

    @property
    def sidecars(self) -> Sequence[Process]:
        """All of them, the demo's own first."""
        return (self.fleet.sidecar, *self.more)

    @property
    def processes(self) -> Sequence[Process]:
        """In start order."""
        return (*self.fleet.processes, *self.more)

    def write(self) -> None:
        """Write every file and make the keys."""
        self.fleet.prepare()
        for number, _ in enumerate(self.more, start=2):
            self._copy(number)
        folder = self.fleet.folder
        (folder / "cases.yaml").write_text(CASES)
        (folder / "policy-2.yaml").unlink()  # the story's
        (folder / ENV).write_text(f"GATE={self.fleet.url}\nSTATUS={self.fleet.status_url}\n")

    def start(self) -> None:
        """Start everything, and wait until each sidecar's gate is open."""
        self.fleet.start()
        for sidecar in self.sidecars:  # one after the other: a busy machine starts none in time
            sidecar.start()
            sidecar.wait_for("its gate opens", lambda sidecar=sidecar: _open(sidecar))  # type: ignore[misc]

    def _copy(self, number: int) -> None:
        # The same settings, other ports and another folder: so it has a key and a log of its own.
        fleet = self.fleet
        inbound, status = self._ports[2 * (number - 2) : 2 * (number - 1)]
        text = (fleet.folder / "sidecar.yaml").read_text()
        for old, new in (
            (f"{HOST}:{fleet.ports.inbound}", f"{HOST}:{inbound}"),
            (f"{HOST}:{fleet.ports.status}", f"{HOST}:{status}"),
            ("{dir: sidecar}", f"{{dir: sidecar-{number}}}"),
        ):
            text = text.replace(old, new)
        (fleet.folder / f"sidecar-{number}").mkdir(mode=0o700)
        (fleet.folder / f"sidecar-{number}.yaml").write_text(text)


def stay(folder: Path, count: int) -> None:
    """Run a fleet until interrupted, and say what to try."""
    made = Stay(folder, count)
    with processes.ending(*made.processes):
        click.echo(f"starting 3 peers, an authority, a service and {count} sidecars ...")
        made.write()
        made.start()
        click.echo(_what_to_try(made))
        with contextlib.suppress(KeyboardInterrupt):
            made.fleet.sidecar.wait()


def _what_to_try(made: Stay) -> str:
    keys = " ".join(f"--key trust/keys/epoch-{number}.key" for number in (1, 2))
    return f"""
Running. Change a rule and roll it out, in another terminal:
  cd {shlex.quote(str(made.fleet.folder))} && . ./{ENV}
  curl -s $GATE/v1/models
  epochgate status --fleet --config authority.yaml
  "${{EDITOR:-vi}}" policy.yaml cases.yaml
  epochgate policy test cases.yaml
  epochgate policy publish policy.yaml --config authority.yaml
  epochgate epoch issue --policy policy.yaml --keep --watch --config authority.yaml {keys}
  epochgate epoch rollback --watch --config authority.yaml {keys}
The walk-through with every step and what it prints: policies/README.md

Ctrl-C ends it."""


def _open(sidecar: Process) -> bool:
    facts = list(sidecar.facts())
    states = [fact["to"] for fact in facts if fact.get("event") == "gate_state"]
    return states[-1:] == ["running"] and any(fact.get("event") == "listening" for fact in facts)
