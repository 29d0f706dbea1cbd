"""Options that demand digests: what is taken, what is refused, and what `measure` prints."""

import shlex
from typing import Any

import click
import pytest
from click.testing import CliRunner

from sidecar.cli.demands import demanded, demands, kept, options, shown
from sidecar.core.objects.epoch import NO_DEMANDS, Runtime

ONE, TWO = "1" * 64, "2" * 64
FOUND: list[Runtime] = []


@click.command()
@demands
def command(**said: Any) -> None:
    FOUND.append(demanded(said))
    assert said == {}


def run(*arguments: str) -> Runtime:
    result = CliRunner().invoke(command, arguments, standalone_mode=False)
    if result.exception is not None:
        raise result.exception
    return FOUND.pop()


def test_nothing_given_demands_nothing() -> None:
    assert run() == NO_DEMANDS
    assert list(shown(NO_DEMANDS)) == []


def test_what_was_measured_can_be_pasted() -> None:
    lines = options(ONE, TWO, "a digest; rm -rf", {"weights": ONE, "gone": None})
    assert run(*shlex.split(" ".join(lines))) == Runtime(
        image_digests=("a digest; rm -rf",),
        code_sha256=(ONE,),
        config_sha256=(TWO,),
        model_digests={"weights": ONE},
    )
    assert options(None, None, None, {}) == []


def test_a_kind_that_is_named_replaces_what_was_demanded_and_the_others_stay() -> None:
    before = Runtime(("i",), (ONE,), (ONE,), {"weights": ONE})
    said = Runtime((), (TWO,), (TWO,), {"other": TWO})
    assert kept(said, {"code_sha256", "policy"}, before) == Runtime(
        ("i",), (TWO,), (ONE,), {"weights": ONE}
    )
    assert kept(said, {"model"}, before).model_digests == {"other": TWO}
    named = {"image_digest", "config_sha256", "code_sha256", "model"}
    assert kept(said, named, before) == said, "every option has its field"


@pytest.mark.parametrize(
    "given",
    [
        ("--code-sha256", ONE.replace("1", "A")),
        ("--code-sha256", "1" * 63),
        ("--config-sha256", "sha256:" + ONE),
        ("--model", ONE),
        ("--model", f"weights={ONE}0"),
        ("--model", f"Two words={ONE}"),
        ("--model", f"weights={ONE}", "--model", f"weights={TWO}"),
    ],
)
def test_what_no_sidecar_could_find_is_refused(given: tuple[str, ...]) -> None:
    with pytest.raises(click.UsageError):
        run(*given)
