"""One request that somebody asks about: from options, from a file, or from a case of a test file.

A file holds what `given` of a case holds, YAML or JSON. Options win over it, so one file serves
many questions.

Source: cli/given; conventions 11-J.
"""

from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

import click

from sidecar.cli import cases, given, text
from sidecar.cli.given import Given
from sidecar.cli.resource import Reader, ResourceError
from sidecar.cli.source import load_policy, load_routes
from sidecar.config import document
from sidecar.config.document import Items, Node, Scalar, Table
from sidecar.config.problem import ConfigError
from sidecar.core import policy, routes
from sidecar.core.policy import Policy
from sidecar.core.routes import Routes

F = TypeVar("F", bound=Callable[..., object])

FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
_OPTION = "command line"  # where the problem is, in messages

_OPTIONS = (
    click.option("-f", "--file", type=FILE, help="What `given` of a case holds, YAML or JSON."),
    click.option("--case", help="Name of a case of the test file given with -f."),
    click.option("--method", help="[default: GET]"),
    click.option("--path", help="With its query.  [default: /]"),
    click.option("-H", "--header", "headers", multiple=True, metavar="NAME: VALUE",
                 help="Repeat for several; they replace those of the file."),
    click.option("--set", "settings", multiple=True, metavar="KEY=VALUE",
                 help="Any other: request.model=m, epoch.age=2s, lease.quorum=1, now=..."),
)  # fmt: skip


def options(command: F) -> F:
    """Hand a command its request as `tree`, to be given to `read`."""

    @wraps(command)
    def call(**said: Any) -> object:  # noqa: ANN401, click's
        names = ("file", "case", "method", "path", "headers", "settings")
        asked = {name: said.pop(name) for name in names}
        return command(asked=asked, **said)

    for option in reversed(_OPTIONS):
        call = option(call)
    return call  # type: ignore[return-value]


def read(asked: Mapping[str, Any], table: Routes) -> Given:
    """The request that the options tell.

    Args:
        asked: As `options` hands it on.
        table: The route table that it is asked about with.

    Raises:
        ResourceError: with everything that is wrong with it.
        CliError: there is no such case.
    """
    if asked["case"] is not None:
        start = _case(asked["file"], asked["case"])
        tree: Node = _table({})
    else:
        start = Given()
        tree = _table({}) if asked["file"] is None else _parsed(asked["file"])
    reader = Reader()
    found = given.read(reader, _over(tree, _settings(asked)), "given", start, table)
    reader.finish()
    return found


def compiled(file: Path) -> Policy:
    """The policy of a file, as a sidecar would compile it."""
    return policy.parse(load_policy(file))


def table_of(file: Path) -> Routes:
    """The route table of a file, likewise."""
    return routes.parse(load_routes(file))


def _case(file: Path | None, name: str) -> Given:
    suite = None if file is None else cases.load(file)
    if suite is None:
        raise click.UsageError(f"--case needs -f with a {cases.KIND} file")
    for case in suite.cases:
        if case.name == name:
            return case.given
    raise text.CliError(f"no case is named {name!r}: {file}", text.BAD_DATA)


def _parsed(file: Path) -> Node:
    try:
        return document.parse(file.read_text(), str(file))
    except ConfigError as error:
        raise ResourceError(error.problems) from None


def _settings(asked: Mapping[str, Any]) -> Table:
    said: dict[str, str] = {}
    for setting in asked["settings"]:
        key, sign, value = setting.partition("=")
        if not sign:
            raise click.UsageError(f"--set {setting}: must be KEY=VALUE")
        said[key.strip()] = value
    for key in ("method", "path"):
        if asked[key] is not None:
            said[f"request.{key}"] = asked[key]
    tree = _table({})
    for key, value in said.items():
        tree = _over(tree, _nested(key.split("."), Scalar(value, _OPTION)))
    if asked["headers"]:
        lines = Items(tuple(_header(line) for line in asked["headers"]), _OPTION)
        tree = _over(tree, _nested(["request", "headers"], lines))
    return tree


def _header(line: str) -> Node:
    name, sign, value = line.partition(":")
    if not sign:
        raise click.UsageError(f"-H {line}: must be NAME: VALUE")
    return _table({"name": Scalar(name.strip(), _OPTION), "value": Scalar(value.strip(), _OPTION)})


def _nested(keys: list[str], value: Node) -> Table:
    for key in reversed(keys):
        value = _table({key: value})
    assert isinstance(value, Table)
    return value


def _table(items: dict[str, Node]) -> Table:
    return Table(items, dict.fromkeys(items, _OPTION), _OPTION)


def _over(below: Node, above: Table) -> Table:
    """A tree with another laid over it."""
    if not isinstance(below, Table):
        return above
    items, keys = dict(below.items), {**below.keys, **above.keys}
    for key, value in above.items.items():
        known = items.get(key)
        both = isinstance(value, Table) and isinstance(known, Table)
        items[key] = _over(known, value) if both else value  # type: ignore[arg-type]
    return Table(items, keys, below.origin)
