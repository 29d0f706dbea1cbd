"""`epochgate measure`: the digests of what runs here, as an epoch can demand them.

Where it runs matters: in the container of the sidecar it finds that code, that configuration with
its variables, and those files.
"""

import os
import sys
import threading
from concurrent.futures import Future
from pathlib import Path

import click

from sidecar import clock
from sidecar.cli import text
from sidecar.cli.demands import NAME, options
from sidecar.cli.text import CliError
from sidecar.config import fingerprint, read
from sidecar.core.runtime import Measurement
from sidecar.sync import digest
from sidecar.sync.digest import Tree
from sidecar.sync.measure import CODE, Measurer, Plan

_WATCH_S = 0.1

EXAMPLE = """\b
Example:
  kubectl exec POD -c epochgate -- epochgate measure --config /etc/epochgate/sidecar.yaml
  epochgate measure --config sidecar.yaml --model weights=/models/llama
"""


class _Named(click.ParamType[tuple[str, Path]]):
    name = "name=path"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, Path]:
        if isinstance(value, tuple):
            return value
        name, equals, path = str(value).partition("=")
        if not (NAME.fullmatch(name) and equals and path):
            self.fail(f"{str(value)[:160]!r} must be NAME=PATH, a name like weights", param, ctx)
        return name, Path(path)


@click.command(epilog=EXAMPLE)
@click.option("--config", "file", required=True, help="Configuration of the sidecar.",
              type=click.Path(path_type=Path, dir_okay=False, exists=True))  # fmt: skip
@click.option("--model", "models", multiple=True, type=_Named(),
              help="Also this file or folder, or in the place of a declared one.")  # fmt: skip
@click.option("-o", "output", type=click.Choice(["table", "json"]), default="table")
def measure(*, file: Path, models: tuple[tuple[str, Path], ...], output: str) -> None:
    """Print the digests of code, configuration and declared files, and how to demand them.

    Exit 1 when something cannot be read.
    """
    loaded = read.read_sidecar(file, os.environ)
    integrity = loaded.config.integrity
    files = {item.name: Tree(item.path) for item in integrity.files}
    config = fingerprint.digest(loaded.origins)
    plan = Plan(
        code=digest.code(),
        config_file=file,
        config=lambda: config,
        image_digest=integrity.image_digest,
        files=files | {name: Tree(path) for name, path in models},
        period_ms=integrity.period_ms,
    )
    measurer = Measurer(plan, clock.now, hurry=True)
    found = _watched(measurer)
    if output == "json":
        text.print_json(_as_json(found))
    else:
        _show(found)
    if measurer.problems:
        wrong = "; ".join(f"{name}: {why}" for name, why in measurer.problems.items())
        raise CliError(f"measure: {wrong}; nothing can demand what has no digest")


def _watched(measurer: Measurer) -> Measurement:
    """Measure in a thread of its own, with a bar for what takes long, on a terminal."""
    result: Future[Measurement] = Future()

    def work() -> None:
        try:
            result.set_result(measurer.once())
        except Exception as error:  # noqa: BLE001, raised again below
            result.set_exception(error)

    # A daemon: an interrupt ends the command although a file is being read.
    threading.Thread(target=work, daemon=True).start()
    if sys.stderr.isatty():
        _draw(measurer, result)
    return result.result()


def _draw(measurer: Measurer, result: "Future[Measurement]") -> None:
    from rich.console import Console  # noqa: PLC0415, a pipe needs no rich
    from rich.progress import (  # noqa: PLC0415
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(binary_units=True),
        TransferSpeedColumn(), TimeRemainingColumn(),
        console=Console(stderr=True), transient=True,
    )  # fmt: skip
    tasks = {}
    with bar:
        while not result.done():
            now = measurer.progress
            if now is not None and now.name != CODE:
                if now.name not in tasks:
                    tasks[now.name] = bar.add_task(now.name, total=now.total_bytes)
                bar.update(tasks[now.name], completed=now.done_bytes)
            _pause(result)


def _pause(result: "Future[Measurement]") -> None:
    done = threading.Event()
    result.add_done_callback(lambda _: done.set())
    done.wait(_WATCH_S)


def _as_json(found: Measurement) -> dict[str, object]:
    return {
        "code_sha256": found.code_sha256,
        "config_sha256": found.config_sha256,
        "image_digest": found.image_digest,
        "models": dict(found.models),
        "duration_ms": found.duration_ms,
        "options": _options(found),
    }


def _options(found: Measurement) -> list[str]:
    return options(found.code_sha256, found.config_sha256, found.image_digest, found.models)


def _show(found: Measurement) -> None:
    rows: list[tuple[str, object]] = [
        ("code", found.code_sha256),
        ("configuration", found.config_sha256),
        ("image", found.image_digest),
        *((f"file {name}", sha256) for name, sha256 in found.models.items()),
    ]
    text.table(["what", "digest"], rows)
    click.echo("\nTo demand this of every sidecar that the epoch is for:\n")
    click.echo("  epochgate epoch issue ... \\")
    click.echo(" \\\n".join(f"    {option}" for option in _options(found)))
