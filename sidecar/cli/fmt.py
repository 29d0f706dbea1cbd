"""`epochgate policy fmt` and `policy schema`: one form for the files, and what editors know of it.

Source: conventions 5; gofmt, `opa fmt`.
"""

import difflib
from pathlib import Path

import click

from sidecar.cli import resource, text
from sidecar.cli.formatting import UnformattableError, formatted
from sidecar.cli.kinds.schema import KINDS, file_name
from sidecar.cli.kinds.schema import schema as json_schema
from sidecar.cli.resource import ResourceError
from sidecar.config.problem import Problem

_EXAMPLE = """\b
Example:
  epochgate policy fmt -w policies/openai.yaml
  epochgate policy fmt --check policies/*.yaml policies/cases/*.yaml
"""
_SCHEMA_EXAMPLE = """\b
Example:
  epochgate policy schema
  epochgate policy schema GatePolicy > gatepolicy.json
"""


@click.command(epilog=_EXAMPLE)
@click.argument("files", nargs=-1, required=True,
                type=click.Path(path_type=Path, exists=True, dir_okay=False))  # fmt: skip
@click.option("--check", is_flag=True, help="Write nothing; name the files that would change.")
@click.option("--diff", is_flag=True, help="Write nothing; print what would change.")
@click.option("-w", "--write", is_flag=True, help="Write each file that changes, and name it.")
def fmt(files: tuple[Path, ...], *, check: bool, diff: bool, write: bool) -> None:
    """Bring FILES into one form: order of keys, indentation, quotes; every comment stays.

    A file that could not keep its values or a comment is left alone, and that is an error. With
    --check and --diff exit code 83 says that a file would change.
    """
    if write and (check or diff):
        raise click.UsageError("-w writes, --check and --diff do not: choose one")
    if len(files) > 1 and not (check or diff or write):
        raise click.UsageError("several files: say -w, --check or --diff")
    made = {file: _formatted(file) for file in files}
    changed = [file for file, new in made.items() if new != _text(file)]
    if not (check or diff or write):
        click.echo(made[files[0]], nl=False)
    for file in changed:
        if write:
            file.write_text(made[file], encoding="utf-8")
        if diff:
            click.echo(_difference(file, made[file]), nl=False)
        elif check or write:
            click.echo(str(file))
    if changed and (check or diff):
        said = f"{len(changed)} of {len(files)} files would change; `policy fmt -w` writes them"
        raise text.CliError(said, text.DIFFERENT)


@click.command(epilog=_SCHEMA_EXAMPLE)
@click.argument("kind", type=click.Choice(list(KINDS)), required=False)
def schema(kind: str | None) -> None:
    """Print the JSON Schema of KIND, for editors; without KIND, which there are."""
    if kind is None:
        text.table(["kind", "schema"], [(known, file_name(known)) for known in KINDS])
    else:
        text.print_json(json_schema(kind))


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except UnicodeDecodeError as error:
        raise ResourceError([Problem("", f"is not UTF-8: {error.reason}", str(file))]) from None


def _formatted(file: Path) -> str:
    source = _text(file)
    kind, _, reader = resource.read(file, source.encode())
    reader.finish()
    if kind not in KINDS:
        said = f"is {kind!r}, must be" if kind else "is missing, must be"
        said += f" one of {', '.join(KINDS)}"
        raise ResourceError([Problem("kind", said, str(file))])
    try:
        return formatted(source, json_schema(kind))
    except UnformattableError as error:
        raise ResourceError([Problem("", f"is left as it is: {error}", str(file))]) from None


def _difference(file: Path, new: str) -> str:
    old = _text(file).splitlines(keepends=True)
    lines = difflib.unified_diff(old, new.splitlines(keepends=True), str(file), f"{file} (fmt)")
    return "".join(lines)
