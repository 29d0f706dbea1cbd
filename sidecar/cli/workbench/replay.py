"""`epochgate policy replay`: what a candidate would have decided about what really happened."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from sidecar.cli import journals, text
from sidecar.cli.query import TIME
from sidecar.cli.source import load_policy, load_routes
from sidecar.cli.workbench import logs
from sidecar.cli.workbench.flips import FLIPS, Flips, Group, Kind, Tally
from sidecar.cli.workbench.judging import Candidate, Replay, Terms
from sidecar.cli.workbench.logs import Source
from sidecar.core import canonical, policy, routes
from sidecar.core.facts import Workload
from sidecar.core.policy import Policy
from sidecar.core.reason import BY_CODE

GRANTED = (
    "a live lease, no halt, each recorded header sent once, a parent decision still young enough, "
    "no body that names another model than the header"
)
FAIL_ON = {
    "permit-to-deny": (Kind.TIGHTER,), "deny-to-permit": (Kind.LOOSER,), "any": FLIPS,
}  # fmt: skip
LISTED = (Kind.LOOSER, Kind.TIGHTER, Kind.OBSERVED, Kind.MOVED)

EXAMPLE = """\b
Example:
  epochgate policy replay --audit /var/lib/epochgate/audit --candidate new.yaml --routes routes.yaml
  epochgate policy replay --audit log.jsonl --candidate new.yaml --fail-on-flip deny-to-permit
"""

_FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


_OPTIONS = (
    click.option("--audit", "place", required=True, type=click.Path(path_type=Path, exists=True),
                 help="Folder of a journal or of an export, or a file of records."),
    click.option("--candidate", required=True, type=_FILE, help="The policy on trial."),
    click.option("--routes", "table", type=_FILE, help="The route table for it."),
    click.option("--recorded-under", "earlier", multiple=True, type=_FILE,
                 help="A policy of that time: says which headers were recorded. Repeatable."),
    click.option("--service", default="", help="Of the pods that the log is from."),
    click.option("--region", default="", help="Likewise."),
    click.option("--instance", default="", help="Likewise."),
    click.option("--since", type=TIME, help="Not before: 15m ago, or a time in ISO 8601."),
    click.option("--until", type=TIME, help="Before: likewise."),
    journals.KEYS,
    journals.KEY_FILE,
    click.option("--insecure-no-verify", "unverified", is_flag=True,
                 help="Only read the log: half of the time, and nothing is known of it."),
    click.option("--fail-on-flip", "fail_on", type=click.Choice(list(FAIL_ON)),
                 help="Exit 83 when a decision flips that way."),
    click.option("-o", "output", type=click.Choice(["table", "json"]), default="table"),
)  # fmt: skip


def _options(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command(epilog=EXAMPLE)
@_options
@click.pass_context
def replay(
    context: click.Context, /, candidate: Path, fail_on: str | None, output: str,
    **said: Any,  # noqa: ANN401, click's options
) -> None:  # fmt: skip
    """Judge every recorded decision anew under a candidate, and show what would come out otherwise.

    The log is verified while it is read. Health probes are in no log. What a record does not say
    cannot be judged: such decisions are counted with what was missing.

    Exit code 80: the log is not what was signed, and nothing is shown. 83: see --fail-on-flip.
    """
    trial, sources = _read(load_policy(candidate), **said)
    flips = Flips()
    for source in sources:
        flips.merge(source.replay.flips)
    if output == "json":
        text.print_json(_as_json(trial, sources, flips))
    else:
        _show(trial, sources, flips)
    if fail_on is not None and flips.count(*FAIL_ON[fail_on]):
        context.exit(text.DIFFERENT)


def _read(
    raw: bytes, *, place: Path, table: Path | None, earlier: tuple[Path, ...],
    since: int | None, until: int | None, keys: tuple[str, ...], key_file: Path | None,
    unverified: bool, **where: str,
) -> tuple[Policy, list[Source]]:  # fmt: skip
    """Judge all logs of a place; refused when something is wrong with one."""
    known = journals.given(keys, key_file)
    ways = None if table is None else routes.parse(load_routes(table))
    trial = Candidate(raw, Terms(ways, Workload(**where), _listed(earlier)))
    found = list(
        logs.read(place, known, lambda: Replay(trial, since, until), verify=not unverified)
    )
    _refuse_broken(found)
    return trial.policy, found


def _listed(files: Sequence[Path]) -> dict[str, tuple[str, ...]]:
    """Headers that policies listed for records, by the digest of the policy."""
    found = {}
    for file in files:
        raw = load_policy(file)
        found[canonical.digest(raw)] = tuple(
            name.decode() for name in policy.parse(raw).recording.headers
        )
    return found


def _refuse_broken(sources: Sequence[Source]) -> None:
    for source in sources:
        if source.result == logs.FAILED:
            where = f"{source.path}: {journals.plain('; '.join(source.why))}"
            how = "see: epochgate audit verify"
            raise text.CliError(f"log is not as signed: {where}; {how}", text.VERIFICATION_FAILED)


def _show(trial: Policy, sources: Sequence[Source], flips: Flips) -> None:
    for source in sources:
        click.echo(f"{source.result}: {source.kind} {source.path}")
        for why in source.why:
            click.echo(f"  not checked  {why}")
    outside = f", {flips.outside:,} outside the time asked for" if flips.outside else ""
    broken = f", {flips.unreadable:,} lines that are no records" if flips.unreadable else ""
    click.echo(f"{flips.records:,} records, {flips.decisions:,} decisions{outside}{broken}")
    click.echo(f"candidate {trial.name} {trial.sha256}")
    click.echo(f"taken for granted: {GRANTED}")
    for kind in Kind:
        share = flips.count(kind) / max(flips.decisions, 1)
        click.echo(f"  {kind.value:21}{flips.count(kind):>12,}{share:>8.1%}")
    _table(flips)
    _unknown(flips)


def _table(flips: Flips) -> None:
    rows = [
        (group.kind.value, f"{tally.count:,}", _reason(group.was), group.was_rule, group.route,
         _reason(group.now), group.now_rule, " ".join(tally.examples))
        for group, tally in flips
        if group.kind in LISTED
    ]  # fmt: skip
    if rows:
        click.echo("")
        headers = ("change", "count", "was", "rule", "route", "now", "rule", "for example")
        text.table(headers, rows)


def _unknown(flips: Flips) -> None:
    merged: dict[tuple[str, str, str | None], Tally] = {}
    for group, tally in flips:
        if group.kind is Kind.UNKNOWN:
            into = merged.setdefault((group.why, group.decision, group.route), Tally())
            into.count += tally.count
            into.examples = into.examples or tally.examples
    if not merged:
        return
    click.echo("")
    rows = [
        (why, decision, route, f"{tally.count:,}", " ".join(tally.examples))
        for (why, decision, route), tally in sorted(merged.items(), key=lambda item: -item[1].count)
    ]
    text.table(("not replayable", "was", "route", "count", "for example"), rows)


def _reason(code: str | None) -> str:
    if code is None:
        return "permit"
    known = BY_CODE.get(code)
    return code if known is None else f"{code} {known.slug}"


def _as_json(trial: Policy, sources: Sequence[Source], flips: Flips) -> dict[str, object]:
    by_reason = Counter[str]()
    for group, tally in flips:
        if group.kind is Kind.UNKNOWN:
            by_reason[group.why] += tally.count
    return {
        "candidate": {"name": trial.name, "sha256": trial.sha256},
        "logs": [
            {"path": str(one.path), "kind": one.kind, "result": one.result, "unchecked": one.why}
            for one in sources
        ],
        "records": flips.records,
        "decisions": flips.decisions,
        "outside": flips.outside,
        "unreadable": flips.unreadable,
        "kinds": {kind.value: flips.count(kind) for kind in Kind},
        "not_replayable": dict(by_reason.most_common()),
        "groups": [
            _group(group, tally) for group, tally in flips if group.kind is not Kind.SAME
        ],
    }  # fmt: skip


def _group(group: Group, tally: Tally) -> dict[str, object]:
    return {
        "kind": group.kind.value, "count": tally.count,
        "was": {"decision": group.decision, "reason": group.was, "rule": group.was_rule},
        "route": group.route, "now": {"reason": group.now, "rule": group.now_rule},
        "why": group.why or None, "examples": tally.examples,
    }  # fmt: skip
