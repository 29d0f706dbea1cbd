"""Files in one form: what moves, what stays, and that nothing is lost on the way."""

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.cli.formatting import UnformattableError, formatted, tree, writer
from sidecar.cli.kinds import schema

ROOT = Path(__file__).resolve().parent.parent.parent.parent / "policies"
SHIPPED = [path for path in sorted(ROOT.rglob("*.yaml")) if path.parent.name != "invalid"]
ORDER = {
    "properties": {
        "a": {"type": "string"},
        "b": {"type": "array", "items": {"properties": {"x": {}, "y": {}}}},
        "c": {"anyOf": [{"const": "z"}, {"type": "object", "properties": {"x": {}, "y": {}}}]},
        "d": {"type": "object", "additionalProperties": {"properties": {"x": {}, "y": {}}}},
    }
}


def check(text: str, wanted: str) -> None:
    assert formatted(text, ORDER) == wanted
    assert formatted(wanted, ORDER) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        pytest.param("b: []\na: 1\n", "a: 1\nb: []\n", id="keys in order"),
        pytest.param("q: 2\na: 1\np: 3\n", "a: 1\nq: 2\np: 3\n", id="unknown keys last"),
        pytest.param("b:\n- y: 1\n  x: 2\n", "b:\n  - x: 2\n    y: 1\n", id="items indented"),
        pytest.param("b: [ {y: 1,x: 2} ]\n", "b: [{x: 2, y: 1}]\n", id="one line stays one"),
        pytest.param("b: [{y: 1,\n  x: 2}]\n", "b:\n  - x: 2\n    y: 1\n", id="flow over lines"),
        pytest.param("c:\n    y: 1\n    x: 2\n", "c:\n  x: 2\n  y: 1\n", id="branch of anyOf"),
        pytest.param("d: {k: {y: 1, x: 2}}\n", "d: {k: {x: 2, y: 1}}\n", id="keys of any name"),
        pytest.param("a: 'it'\n", 'a: "it"\n', id="double quotes"),
        pytest.param("a: '\"it\"'\n", "a: '\"it\"'\n", id="single where double needs escapes"),
        pytest.param('a: "a\\tb"\n', 'a: "a\\tb"\n', id="escapes where nothing else will do"),
        pytest.param('a: "1"\n', 'a: "1"\n', id="a text that looks like a number"),
        pytest.param("a:   x\n", "a: x\n", id="spaces"),
        pytest.param("a:\n", "a:\n", id="nothing"),
        pytest.param("---\na: x\n", "a: x\n", id="no marker"),
        pytest.param("a: x\r\nb: []\r\n", "a: x\nb: []\n", id="line ends"),
        pytest.param("a: x\n\n\n\nb: []", "a: x\n\nb: []\n", id="one empty line of many"),
        pytest.param("\n\na: x\n\n", "a: x\n", id="none at the ends"),
        pytest.param("a: one\n  two\n", "a: one two\n", id="a text over lines"),
        pytest.param("a: |-\n      one\n        two\n\n      three\n",
                     "a: |-\n  one\n    two\n\n  three\n", id="a block keeps its lines"),
        pytest.param("b:\n- >-\n  one\n  two\n", "b:\n  - >-\n    one\n    two\n", id="folded"),
        pytest.param("b:\n- - x\n  - y\n", "b:\n  - - x\n    - y\n", id="lists in lists"),
    ],
)  # fmt: skip
def test_one_form(text: str, wanted: str) -> None:
    check(text, wanted)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        pytest.param("# 1\n# 2\n\nb: []\na: x\n", "# 1\n# 2\n\na: x\nb: []\n", id="the head stays"),
        pytest.param("q: 1\n# of b\nb: []\n# of a\na: x\n", "# of a\na: x\n# of b\nb: []\nq: 1\n",
                     id="above a key, with the key"),
        pytest.param("b: []   # of b\na: x # of a\n", "a: x  # of a\nb: []  # of b\n", id="beside"),
        pytest.param("b: # of b\n- x # of x\n", "b:  # of b\n  - x  # of x\n", id="beside a list"),
        pytest.param("b:\n- x\n# of x\n", "b:\n  - x\n# of x\n", id="at the end of the file"),
        pytest.param("b:\n  - x\n  # more\na: y\n", "a: y\nb:\n  - x\n  # more\n",
                     id="at the end of a list"),
        pytest.param("b:\n  # of the item\n  - y: 1\n    # of x\n    x: 2\n",
                     "b:\n  # of the item\n  # of x\n  - x: 2\n    y: 1\n", id="above the dash"),
        pytest.param("b: [ # 1\n  x, # 2\n  y # 3\n] # 4\n",
                     "b:  # 1\n  - x  # 2\n  - y  # 3\n  # 4\n", id="inside a flow list"),
        pytest.param("a: '# none'\nb: [x#y]\n", 'a: "# none"\nb: [x#y]\n', id="no comment"),
        pytest.param("a: |-\n  # text\nb: []\n", "a: |-\n  # text\nb: []\n", id="none in a block"),
        pytest.param("a: x\n\n# of b\n\nb: []\n", "a: x\n\n# of b\n\nb: []\n", id="and its space"),
    ],
)  # fmt: skip
def test_comments_stay_with_what_they_are_about(text: str, wanted: str) -> None:
    check(text, wanted)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: | # why\n  x\n", "line 1: a block has to begin with"),
        ("a: |2\n    x\n", "line 1: a block has to begin with"),
        ("q: x\na: |+\n  x\n\n", "line 2: a block has to begin with"),
        ("- a\n", "is no mapping"),
    ],
)
def test_what_cannot_be_kept_is_refused_and_said(text: str, says: str) -> None:
    with pytest.raises(UnformattableError, match=says):
        formatted(text, ORDER)


@pytest.mark.parametrize(
    ("slip", "says"),
    [
        (lambda made: made.replace("# of a", ""), "a comment has no place"),
        (lambda made: made.replace("a: x", "a: y"), "its values cannot be kept"),
        (lambda made: made.replace("a: x", "a: 'x'"), "its values|does not settle"),
        (lambda made: made + "\n", "its form does not settle"),
    ],
)
def test_a_slip_of_the_writer_is_found_before_a_file_is_written(
    monkeypatch: pytest.MonkeyPatch, slip: Callable[[str], str], says: str
) -> None:
    write, seen = writer.write, []

    def slipping(file: tree.File, schema: dict[str, object]) -> str:
        seen.append(file)
        made = write(file, schema)
        return slip(made) if len(seen) == 1 else made

    monkeypatch.setattr(writer, "write", slipping)
    with pytest.raises(UnformattableError, match=says):
        formatted("# of a\na: x\nb: []\n", ORDER)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_what_is_shipped_has_the_form(path: Path) -> None:
    text = path.read_text()
    assert formatted(text, schema.schema(yaml.safe_load(text)["kind"])) == text


keys = st.sampled_from("abcdxyq")
scalars = st.sampled_from(["", "1", "true", "x y", "it's", 'a "b"', "#x", "a: b", "é", "l1\nl2\n"])
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3)
)
remarks = st.lists(st.tuples(st.integers(0, 40), st.sampled_from(["", "# n", "    # n"])))


FORMS = {"mixed": None, "block": False, "flow": True}


@settings(deadline=None, max_examples=25)
@given(
    st.dictionaries(keys, values, min_size=1), st.sampled_from(["mixed", "block", "flow"]), remarks
)
def test_nothing_is_lost_whatever_the_file_looks_like(
    data: dict[str, object], form: str, said: list[tuple[int, str]]
) -> None:
    lines = yaml.safe_dump(data, default_flow_style=FORMS[form], width=30, sort_keys=False).split(
        "\n"
    )
    for where, line in said:
        lines.insert(where % (len(lines) + 1), line)
    text = "\n".join(lines)
    try:
        meant = yaml.safe_load(text)
    except yaml.YAMLError:
        return  # a comment inside of a text of several lines
    try:
        made = formatted(text, ORDER)
    except UnformattableError:
        return
    assert yaml.safe_load(made) == meant
    assert made.count("# n") == text.count("# n")
