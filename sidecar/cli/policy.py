"""`epochgate policy`: check, test and build policies and route tables before an epoch names them.

Nothing here touches a key, and nothing but `publish` a peer. The bytes that `build` writes are what
`epoch issue` signs the digest of.

Source: conventions 5, 11-A, 11-J.
"""

import importlib
from collections.abc import Sequence
from pathlib import Path

import click

from sidecar.cli import cases, text
from sidecar.cli.cases import Result, Suite
from sidecar.cli.resource import ResourceError
from sidecar.cli.source import load, load_policy, load_routes
from sidecar.cli.workbench import coverage
from sidecar.config.problem import Problem
from sidecar.core import canonical

__all__ = ["load_policy", "load_routes", "policy"]

_SUFFIXES = (".yaml", ".yml")
_PASSED_OVER = "invalid"  # files that are wrong on purpose

_output = click.option("-o", "output", type=click.Choice(["table", "json"]), default="table")
_file = click.Path(path_type=Path, exists=True, dir_okay=False)


# Name -> where it lives. What speaks to peers or reads logs costs more to import than all the rest.
_ELSEWHERE = {
    "bench": "sidecar.cli.workbench.bench",
    "diff": "sidecar.cli.workbench.diff",
    "explain": "sidecar.cli.workbench.explain",
    "fmt": "sidecar.cli.fmt",
    "publish": "sidecar.cli.publish",
    "replay": "sidecar.cli.workbench.replay",
    "schema": "sidecar.cli.fmt",
}


class _Group(click.Group):
    """Imports what lives elsewhere when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *_ELSEWHERE])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _ELSEWHERE:
            return super().get_command(ctx, cmd_name)
        found: click.Command = getattr(importlib.import_module(_ELSEWHERE[cmd_name]), cmd_name)
        return found


@click.group(cls=_Group)
def policy() -> None:
    """Check, test and publish policies and route tables."""


@policy.command(epilog="Example: epochgate policy check policies/openai.yaml")
@click.argument("files", nargs=-1, required=True, type=_file)
@_output
def check(files: tuple[Path, ...], output: str) -> None:
    """Say everything that is wrong with the policies and route tables in FILES."""
    found: list[dict[str, object]] = []
    problems: list[Problem] = []
    for file in files:
        try:
            kind, raw = load(file)
        except ResourceError as error:
            problems += error.problems
        else:
            found.append({"file": str(file), "kind": kind, **_fingerprint(raw)})
    if found:
        _print(found, output)
    if problems:
        raise ResourceError(problems)


@policy.command(epilog="Example: epochgate policy test policies/cases")
@click.argument("places", metavar="FILE|DIR...", nargs=-1, required=True,
                type=click.Path(path_type=Path, exists=True))  # fmt: skip
@click.option("--fail-on-empty", is_flag=True, help="Exit 2 when there is no case at all.")
@click.option("--coverage", "covering", is_flag=True, help="Say what no case has tried.")
@click.option("--threshold", type=click.FloatRange(0, 100), metavar="PERCENT",
              help="Exit 2 when less than that of a policy was tried.")  # fmt: skip
@_output
def test(
    places: tuple[Path, ...],
    *,
    fail_on_empty: bool,
    covering: bool,
    threshold: float | None,
    output: str,
) -> None:
    """Decide every case of the GatePolicyTest files and compare with what they expect.

    Exit code 2 when a case fails. A DIR is searched for .yaml and .yml; other kinds in it are
    passed over, and so are folders named invalid.
    """
    suites = _suites(places)
    results = [result for suite in suites for result in cases.run(suite)]
    undecided = cases.undecided(suites, results)
    covered = coverage.measure(suites) if covering or threshold is not None else []
    if output == "json":
        text.print_json({**_as_json(results, undecided), **coverage.as_json(covered)})
    else:
        _show(results, undecided)
        coverage.show(covered)
    failed = sum(not result.passed for result in results)
    if failed:
        raise text.CliError(f"{failed} of {len(results)} cases failed", text.TESTS_FAILED)
    if fail_on_empty and not results:
        raise text.CliError("no case found; name a GatePolicyTest file", text.TESTS_FAILED)
    for one in covered:
        if threshold is not None and one.percent < threshold:
            what = f"{one.percent:.1f}% of {one.file} was tried, not {threshold:g}%"
            raise text.CliError(f"{what}; --coverage says what is left", text.TESTS_FAILED)


@policy.command(epilog="Example: epochgate policy build policies/openai.yaml --out policy.json")
@click.argument("file", type=_file)
@click.option("--out", required=True, type=click.Path(path_type=Path, dir_okay=False),
              help="Where to write the canonical bytes.")  # fmt: skip
@_output
def build(file: Path, out: Path, output: str) -> None:
    """Write the canonical bytes of FILE, whose digest goes into an epoch."""
    kind, raw = load(file)
    out.write_bytes(raw)
    _print([{"file": str(out), "kind": kind, **_fingerprint(raw)}], output)


def _fingerprint(raw: bytes) -> dict[str, object]:
    return {"bytes": len(raw), "sha256": canonical.digest(raw)}


def _print(rows: Sequence[dict[str, object]], output: str) -> None:
    if output == "json":
        text.print_json(rows)
    else:
        text.table(list(rows[0]), [list(row.values()) for row in rows])


def _suites(places: Sequence[Path]) -> list[Suite]:
    suites: list[Suite] = []
    problems: list[Problem] = []
    for place in places:
        for file in _files(place):
            try:
                suite = cases.load(file)
            except ResourceError as error:
                problems += error.problems
                continue
            if suite is not None:
                suites.append(suite)
            elif file == place:
                problems.append(Problem("kind", f"must be {cases.KIND}", str(file)))
    if problems:
        raise ResourceError(problems)
    return suites


def _files(place: Path) -> list[Path]:
    if not place.is_dir():
        return [place]
    found = sorted(file for file in place.rglob("*") if file.suffix in _SUFFIXES)
    return [
        file
        for file in found
        if file.is_file() and _PASSED_OVER not in file.relative_to(place).parts
    ]


def _show(results: Sequence[Result], undecided: Sequence[tuple[Path, str]]) -> None:
    if results:
        text.table(
            ["result", "policy", "case", "expected", "found"],
            [
                (_word(r), r.policy.name, r.case.name, r.case.expected, r.found)
                for r in results
            ],
        )  # fmt: skip
    for file, rule in undecided:
        click.echo(f"no case is decided by: {file}: rule {rule}")
    passed = sum(result.passed for result in results)
    click.echo(f"{passed} of {len(results)} cases passed")


def _as_json(results: Sequence[Result], undecided: Sequence[tuple[Path, str]]) -> dict[str, object]:
    return {
        "cases": [
            {
                "result": _word(r),
                "file": str(r.file),
                "policy": str(r.policy),
                "case": r.case.name,
                "expected": str(r.case.expected),
                "found": str(r.found),
            }
            for r in results
        ],
        "undecided": [{"policy": str(file), "rule": rule} for file, rule in undecided],
    }


def _word(result: Result) -> str:
    return "pass" if result.passed else "FAIL"
