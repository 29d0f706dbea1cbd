"""The options of `epochgate epoch issue` that demand digests of what runs, and how they are shown.

`epochgate measure` prints them, to be pasted.
"""

import re
import shlex
from collections.abc import Callable, Container, Iterator, Mapping
from typing import Any, TypeVar

import click
import msgspec

from sidecar.core.objects.epoch import Runtime

F = TypeVar("F", bound=Callable[..., object])

_SHA256 = re.compile(r"[0-9a-f]{64}")
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")  # as core.canonical.Name


# Parameter of the command -> field of what is demanded.
_FIELDS = {
    "image_digest": "image_digests", "code_sha256": "code_sha256",
    "config_sha256": "config_sha256", "model": "model_digests",
}  # fmt: skip


class _Digest(click.ParamType[str]):
    name = "sha256"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        if not _SHA256.fullmatch(str(value)):
            self.fail(f"{str(value)[:80]!r} must be 64 digits 0-9 a-f", param, ctx)
        return str(value)


class _Model(click.ParamType[tuple[str, str]]):
    name = "name=sha256"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        if isinstance(value, tuple):
            return value
        name, _, sha256 = str(value).partition("=")
        if not NAME.fullmatch(name) or not _SHA256.fullmatch(sha256):
            self.fail(f"{str(value)[:160]!r} must be NAME=SHA256, 64 digits 0-9 a-f", param, ctx)
        return name, sha256


def demands(command: F) -> F:
    """The options --code-sha256, --config-sha256, --image-digest and --model, all repeatable."""
    for option, kind, about in (
        ("--model", _Model(), "Demand a digest of a file that sidecars measure."),
        ("--image-digest", str, "Demand one of these image digests."),
        ("--config-sha256", _Digest(), "Demand one of these digests of the configuration."),
        ("--code-sha256", _Digest(), "Demand one of these digests of the sidecar's code."),
    ):
        one = click.option(option, multiple=True, type=kind, help=f"{about} Repeat it.")
        command = one(command)
    return command


def demanded(said: dict[str, Any]) -> Runtime:
    """What these options amount to; takes them out of `said`.

    Raises:
        click.UsageError: two digests for one name: a sidecar cannot find both.
    """
    models: list[tuple[str, str]] = said.pop("model")
    if len(dict(models)) < len(models):
        raise click.UsageError("--model: one name twice; a file has one digest")
    return Runtime(
        image_digests=tuple(said.pop("image_digest")),
        code_sha256=tuple(said.pop("code_sha256")),
        config_sha256=tuple(said.pop("config_sha256")),
        model_digests=dict(models),
    )


def kept(said: Runtime, given: Container[str], before: Runtime) -> Runtime:
    """What was demanded before, but for the kinds of digest that the command line names.

    Args:
        said: What the options amount to.
        given: Names of the options that the command line gives.
        before: Of the epoch before.
    """
    new = {field: getattr(said, field) for option, field in _FIELDS.items() if option in given}
    return msgspec.structs.replace(before, **new)


def shown(runtime: Runtime) -> Iterator[tuple[str, object]]:
    """What an epoch demands, row by row; nothing when it demands nothing."""
    for name, digests in (
        ("code", runtime.code_sha256),
        ("image", runtime.image_digests),
        ("configuration", runtime.config_sha256),
    ):
        if digests:
            yield name, " or ".join(digests)
    for name, sha256 in runtime.model_digests.items():
        yield f"file {name}", sha256


def options(
    code: str | None, config: str | None, image: str | None, models: Mapping[str, str | None]
) -> list[str]:
    """The options that demand what was found; what is unknown is left out."""
    found = [("--code-sha256", code), ("--config-sha256", config), ("--image-digest", image)]
    given = [f"{option} {shlex.quote(value)}" for option, value in found if value]
    return given + [f"--model {name}={sha256}" for name, sha256 in models.items() if sha256]
