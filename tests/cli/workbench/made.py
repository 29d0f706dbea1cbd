"""Policies, route tables and logs on a real disk for the tests of the workbench."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from sidecar.audit import checkpoints
from sidecar.cli.source import load_policy, load_routes
from sidecar.core import policy, routes
from sidecar.core.gate import Decision, Denial, Gate, Permit, decide
from sidecar.core.head import Header, RequestHead
from sidecar.core.reason import Reason
from tests import builders
from tests.audit import journals

Request = tuple[str, str, tuple[Header, ...]]
Asked = Request | Denial

TABLE = """\
apiVersion: epochgate.io/v1alpha1
kind: RouteTable
metadata: {name: table}
spec:
  upstreams: {model: "127.0.0.1:8000"}
  routes:
    - {name: inference, paths: [/v1/**], upstream: model}
    - {name: rest, paths: [/ops/**], upstream: model}
  attributes: {tenant: x-tenant}
  exempt: [{target: /v1/health, upstream: model}]
"""

CHAT = "{name: chat, action: permit, methods: [POST], paths: [/v1/chat]}"
MODELS = "{name: models, action: permit, methods: [GET], paths: [/v1/models]}"
OPS = "{name: ops, action: deny, paths: [/ops/**]}"


def policy_file(folder: Path, name: str, rules: Sequence[str], **more: str) -> Path:
    """A policy as people write it; `more`: other keys of its spec, as YAML."""
    lines = [f"    - {rule}" for rule in rules]
    file = folder / f"{name}.yaml"
    file.write_text(
        "\n".join(
            (
                "apiVersion: epochgate.io/v1alpha1",
                "kind: GatePolicy",
                f"metadata: {{name: {name}}}",
                "spec:",
                "  failurePolicy: Fail",
                *(f"  {key}: {value}" for key, value in more.items()),
                "  rules:",
                *lines,
            )
        )
        + "\n"
    )
    return file


def table_file(folder: Path, text: str = TABLE) -> Path:
    """A route table as people write it."""
    file = folder / "routes.yaml"
    file.write_text(text)
    return file


def request(method: str, target: str, **headers: str) -> Request:
    """A request; `x_tenant` is the header `x-tenant`."""
    lines = ((name.replace("_", "-").encode(), text.encode()) for name, text in headers.items())
    return method, target, tuple(lines)


def write_log(folder: Path, file: Path, table: Path, requests: Iterable[Asked]) -> Path:
    """A signed journal of what a pod with that policy decided, a millisecond apart.

    A `Denial` in place of a request is recorded as it is, for a request for /v1/chat.
    """
    snapshot = replace(
        journals.make_snapshot(),
        policy=policy.parse(load_policy(file)),
        routes=routes.parse(load_routes(table)),
    )
    journal = journals.open_journal(folder)
    recorder = journals.make_recorder(journal, Gate())
    for number, asked in enumerate(requests):
        now = builders.now(number)
        decision: Decision
        if isinstance(asked, Denial):
            head, decision = journals.HEAD, asked
        else:
            method, target, lines = asked
            raw = target.encode()
            head = RequestHead(method.encode(), raw, raw.partition(b"?")[0], lines)
            decision = decide(snapshot, head, now)
        assert isinstance(decision, Permit | Denial)
        decision_id = recorder.decision(decision, head, None, now)
        assert decision_id is not None
        if isinstance(decision, Permit):
            recorder.outcome(decision_id, "permit", None, now, dur_ns=1, sent=True, status=200)
    journal.settle()
    lines_written = list(journal.fresh)
    journal.close()
    journals.write_checkpoint(folder, lines_written)
    (folder / checkpoints.VKEY).write_text(f"{journals.KEY}\n")
    return folder


LAPSED = Denial(Reason.LEASE_EXPIRED, journals.make_snapshot())
