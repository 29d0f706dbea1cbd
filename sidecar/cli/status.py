"""`epochgate status`: ask a running sidecar what it says about itself."""

import json
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from sidecar.cli.text import BAD_DATA, UNAVAILABLE, USAGE, CliError, print_json, table

DEFAULT_URL = "http://127.0.0.1:17011"
MAX_BYTES = 1024 * 1024
TIMEOUT_S = 5
_MS_PER_S = 1000
_STOPS = {"all": "everything here", "matching": "matching requests", "nothing": "nothing here"}
_HALVES = {"within": "the policy itself", "otherwise": "what it has for the other pods"}


@click.command(epilog="Example: epochgate status -w")
@click.option("--url", default=DEFAULT_URL, show_default=True, help="Status port of the process.")
@click.option("-o", "output", type=click.Choice(["table", "json"]), default="table")
@click.option("-w", "--watch", is_flag=True, help="Again every second, until interrupted.")
@click.option("--fleet", "whole", is_flag=True, help="What all instances report, from the peers.")
@click.option("--config", type=click.Path(path_type=Path, dir_okay=False),
              help="authority.yaml, for --fleet.")  # fmt: skip
def status(url: str, output: str, config: Path | None, *, watch: bool, whole: bool) -> None:
    """Show state, lease, epoch, peers and workers of a sidecar, or figures of an authority."""
    if whole:
        # Imported here: asking a status port needs no peers.
        from sidecar.cli import fleet  # noqa: PLC0415

        fleet.show(config, output)
        return
    while True:
        value = fetch(url)
        if output == "json":
            click.echo(json.dumps(value)) if watch else print_json(value)
        else:
            _show(value)
        if not watch:
            return
        click.echo()
        time.sleep(1)


def _show(value: Mapping[str, Any]) -> None:
    try:
        rows = list(_sidecar(value) if "state" in value else _flat(value))
        peers = list(_peers(value.get("peers") or {}))
        workers = [_worker(worker) for worker in value.get("workers") or ()]
        sinks = [_sink(name, known) for name, known in (value.get("sinks") or {}).items()]
    except (KeyError, TypeError, AttributeError, ValueError):
        message = "status: of a form that this version does not know; use -o json"
        raise CliError(message, BAD_DATA) from None
    table(["what", "value"], rows)
    if peers:
        click.echo()
        table(["peer", "last result", "last success"], peers)
    if workers:
        click.echo()
        table(["worker", "pid", "state", "reason", "in flight", "restarts"], workers)
    if sinks:
        click.echo()
        table(["sink", "kind", "lag", "records", "failures", "dropped", "state"], sinks)


def fetch(url: str) -> dict[str, Any]:
    """The state of the process behind a status port.

    Raises:
        CliError: when nobody answers there, or something else does.
    """
    if not url.startswith(("http://", "https://")):
        raise CliError(f"--url: {url[:80]}: must begin with http:// or https://", USAGE)
    where = f"{url.rstrip('/')}/v1/state"
    try:
        with urllib.request.urlopen(where, timeout=TIMEOUT_S) as reply:  # noqa: S310, scheme checked above
            value = json.loads(reply.read(MAX_BYTES))
    except urllib.error.HTTPError as error:
        error.close()
        raise CliError(f"{where}: answered {error.code}; is it a status port?", BAD_DATA) from None
    except (OSError, ValueError) as error:
        if isinstance(error, ValueError):
            raise CliError(f"{where}: no JSON came; is it a status port?", BAD_DATA) from None
        why = getattr(error, "reason", error)
        hint = "is the process running, and is --url its listen.status?"
        raise CliError(f"{where}: {why}; {hint}", UNAVAILABLE) from None
    if not isinstance(value, dict):
        raise CliError(f"{where}: no state came; is it a status port?", BAD_DATA)
    return value


def _sidecar(value: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    yield "state", value.get("state")
    if value.get("reason"):
        yield "reason", f"{value['reason']} {value.get('title') or ''}".strip()
    if value.get("causes"):
        yield "causes", " ".join(value["causes"])
    lease = value.get("lease") or {}
    yield "lease left", f"{lease['left_ms']} ms" if lease else None
    yield "behind it", " ".join(lease["peers"]) if lease else None
    if value.get("instance"):
        yield "instance", value["instance"]
    yield from _epoch(value.get("epoch") or {}, value.get("policy") or {})
    yield "trust", f"version {value['trust_version']}" if value.get("trust_version") else None
    for name in ("policy", "routes", "profile"):
        bundle = value.get(name) or {}
        digest = f" ({bundle['sha256']})" if bundle.get("sha256") else ""
        yield name, f"{bundle['name']}{digest}" if bundle else None
    yield from _validations(value.get("validations") or ())
    for hold in value.get("holds") or ():
        yield "hold", f"{hold['kind']} {hold['reason']} {hold['evidence']}".strip()
    for halt in value.get("halts") or ():
        yield "halt", _halt(halt)
    yield from _runtime(value.get("runtime") or {})
    for name, number in (value.get("audit") or {}).items():
        yield f"audit {name}", number
    for name, promise in (value.get("guarantee") or {}).items():
        if name.endswith("_max"):
            yield name, promise


def _validations(found: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, object]]:
    broken = [item for item in found if not item["holds"]]
    if found:
        yield "validations", f"{len(found) - len(broken)} of {len(found)} hold"
    for item in broken:
        yield f"validation {item['number']}", f"{item['name']}: {' '.join(item['reasons'])}"


def _epoch(epoch: Mapping[str, Any], policy: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    yield "epoch", f"{epoch['seq']} ({epoch['sha256']})" if epoch else None
    if epoch:
        yield "epoch ends", _when(epoch["not_after"])
    if "observe" in (epoch.get("enforcement"), policy.get("mode")):
        yield "policy is", "only observed: what it does not permit is let through"
    if policy.get("rollout"):
        yield "rollout", _HALVES[policy["rollout"]]
    if epoch.get("tenants"):
        yield "tenants", ", ".join(epoch["tenants"])


def _halt(halt: Mapping[str, Any]) -> str:
    scope = ":".join(part for part in (halt["scope"], halt["value"]) if part)
    return f"{halt['id']} {scope} (stops {_STOPS[halt['stops']]}): {halt['reason']}"


def _runtime(value: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    if value:
        yield "measured", _when(value["measured_at"])
        yield "code", value.get("code_sha256")
        yield "configuration", value.get("config_sha256")
        yield from ((f"file {name}", sha256) for name, sha256 in value.get("models", {}).items())
        yield from ((f"no digest of {name}", why) for name, why in value["problems"].items())
    progress = value.get("progress")
    if progress:
        yield (
            f"reading {progress['name']}",
            f"{progress['done_bytes']} of {progress['total_bytes']} bytes",
        )


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    # An authority: figures, few of them nested.
    for name, item in value.items():
        if isinstance(item, Mapping):
            yield from _flat(item, f"{prefix}{name} ")
        elif isinstance(item, list):
            yield f"{prefix}{name}", len(item)
        elif name.endswith("_at"):
            yield f"{prefix}{name}", _when(item)
        else:
            yield f"{prefix}{name}", item


def _peers(peers: Mapping[str, Any]) -> Iterator[tuple[object, ...]]:
    for peer, known in peers.items():
        yield peer, known.get("result"), _when(known.get("last_success"))


def _worker(known: Mapping[str, Any]) -> tuple[object, ...]:
    state = known.get("state") if known["up"] else "silent"
    return (
        known["worker"], known["pid"], state, known.get("reason"), known.get("in_flight"),
        known["restarts"],
    )  # fmt: skip


def _sink(name: str, known: Mapping[str, Any]) -> tuple[object, ...]:
    state = known["why"] or "sending"
    return (
        name, known["kind"], f"{known['lag_ms']} ms", known["records"], known["failures"],
        known["dropped"], f"holds the gate: {state}" if known["behind"] else state,
    )  # fmt: skip


def _when(wall_ms: int | None) -> str | None:
    if not wall_ms:
        return None
    return datetime.fromtimestamp(wall_ms / _MS_PER_S, UTC).isoformat(timespec="seconds")
