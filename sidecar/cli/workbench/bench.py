"""`epochgate policy bench`: what a decision costs under a policy, on this machine.

The lines are those of Go's benchmarks, which `benchstat` reads. Timed is `decide` alone: no record
is written, no request is read.
"""

import platform
import time
import timeit
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from sidecar import __version__
from sidecar.cli import cases, text
from sidecar.cli.given import Given
from sidecar.cli.peers import DURATION
from sidecar.cli.workbench import request
from sidecar.core import policy
from sidecar.core.gate import decide
from sidecar.core.policy import Policy
from sidecar.core.routes import Routes

FIRST_LOOPS = 100
MS_PER_S = 1000
NS_PER_S = 1_000_000_000

EXAMPLE = """\b
Example:
  epochgate policy bench policies/cases/openai.yaml
  epochgate policy bench policy.yaml --routes routes.yaml --method POST --path /v1/completions
  epochgate policy bench cases.yaml --count 10 > new.txt && benchstat old.txt new.txt
"""


@dataclass(frozen=True, slots=True)
class Timed:
    """One figure.

    Attributes:
        name: Policy and case.
        loops: Calls that were timed.
        ns: For one of them.
    """

    name: str
    loops: int
    ns: float

    def __str__(self) -> str:
        return f"BenchmarkDecide/{self.name}\t{self.loops:>10}\t{self.ns:>10.1f} ns/op"


_Work = tuple[str, Policy, Routes, Given]


@click.command(epilog=EXAMPLE)
@click.argument("file_", metavar="FILE", type=request.FILE)
@click.option("--routes", "table", type=request.FILE, help="The route table, for a policy.")
@request.options
@click.option("--count", type=click.IntRange(1, 1000), default=1, show_default=True,
              help="Lines for each case.")  # fmt: skip
@click.option("--time", "time_ms", type=DURATION, default="100ms", show_default=True,
              help="For each line.")  # fmt: skip
@click.option("-o", "output", type=click.Choice(["text", "json"]), default="text")
def bench(
    file_: Path, table: Path | None, asked: Mapping[str, Any], count: int, time_ms: int, output: str
) -> None:
    """Time the decisions about the cases in FILE, or about one request under the policy in FILE."""
    suite = cases.load(file_)
    if suite is not None:
        if table is not None or any(asked.values()):
            raise click.UsageError("a test file names its routes and requests; give no others")
        work = [
            (f"{compiled.name}/{case.name}", compiled, suite.routes, case.given)
            for _, compiled in suite.policies
            for case in suite.cases
        ]
    else:
        if table is None:
            raise click.UsageError("a policy is timed with its route table: give --routes")
        routes = request.table_of(table)
        compiled, start = request.compiled(file_), request.read(asked, routes)
        work = [(f"{compiled.name}/{start.method}{start.path}", compiled, routes, start)]
    if output == "json":
        text.print_json([_as_json(one) for one in _timed(work, count, time_ms)])
        return
    click.echo(f"goos: {platform.system().lower()}\ngoarch: {platform.machine()}")
    click.echo(f"pkg: epochgate/policy\nversion: {__version__}")
    for one in _timed(work, count, time_ms):
        click.echo(str(one))
    click.echo("PASS")


def _timed(work: Sequence[_Work], count: int, time_ms: int) -> Iterator[Timed]:
    for name, compiled, routes, start in work:
        for _ in range(count):
            yield _time("_".join(name.split()), compiled, routes, start, time_ms)


def _time(name: str, compiled: Policy, routes: Routes, start: Given, time_ms: int) -> Timed:
    if start.here != compiled.here:
        compiled = policy.parse(compiled.raw, start.here)
    scope = {
        "decide": decide, "snapshot": start.snapshot(compiled, routes),
        "head": start.head_under(compiled), "now": start.now,
    }  # fmt: skip
    # Time of this thread: neighbours count for less, and nothing in here waits.
    timer = timeit.Timer("decide(snapshot, head, now)", timer=time.thread_time, globals=scope)
    timer.timeit(FIRST_LOOPS)  # what is remembered of a path is remembered then
    first_s = max(timer.timeit(FIRST_LOOPS), 1 / NS_PER_S)
    loops = max(1, int(FIRST_LOOPS * time_ms / MS_PER_S / first_s))
    return Timed(name, loops, timer.timeit(loops) / loops * NS_PER_S)


def _as_json(one: Timed) -> dict[str, object]:
    return {"name": one.name, "loops": one.loops, "ns_per_op": round(one.ns, 1)}
