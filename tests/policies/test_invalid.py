"""Files with one mistake each: one error each, which says where it is and what would be right."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from sidecar.cli import cases, source
from sidecar.cli.kinds import schema
from sidecar.cli.resource import ResourceError

ROOT = Path(__file__).resolve().parent.parent.parent / "policies" / "invalid"
FILES = sorted(ROOT.glob("*.yaml"))


def problems(path: Path) -> list[str]:
    """What is wrong with a file, without the name of the folder."""
    with pytest.raises(ResourceError) as caught:
        if f"kind: {cases.KIND}\n" in path.read_text():
            cases.load(path)
        else:
            source.load(path)
    return [str(problem).replace(f"{ROOT}/", "") for problem in caught.value.problems]


def refused(text: str) -> bool:
    """Whether an editor that knows the schema shows a mistake."""
    try:
        data = yaml.safe_load(text)
    except yaml.YAMLError:
        return True
    kind = data["kind"]
    return kind not in schema.KINDS or not validator(kind).is_valid(data)


@cache
def validator(kind: str) -> Any:
    return jsonschema.Draft202012Validator(schema.schema(kind))


def test_there_are_kinds_of_mistakes() -> None:
    assert len(FILES) >= 24


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_one_mistake_is_one_error_with_place_and_remedy(path: Path) -> None:
    expected = re.match(r"# Expected: (.+)\n# Schema: (refuses it|cannot see it)\n", text(path))
    assert expected is not None, "says what is expected of it"
    assert problems(path) == [f"{path.name}:{expected[1]}"]
    assert re.match(r"[0-9]+:[0-9]+: ", expected[1]), "names line and column"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_schema_refuses_what_a_schema_can(path: Path) -> None:
    assert f"# Schema: {'refuses it' if refused(text(path)) else 'cannot see it'}\n" in text(path)


def text(path: Path) -> str:
    return path.read_text("utf-8")
