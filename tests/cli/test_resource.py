"""Files with positions: nothing ignored, everything wrong reported at once."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.cli import resource
from sidecar.cli.resource import ResourceError

HERE = Path("x.yaml")


def problems(text: str) -> list[str]:
    """What is wrong with a file of kind K whose spec has `a`, a text, and may have `b`, a list."""
    try:
        _, root, reader = resource.read(HERE, text.encode())
        _, spec = resource.frame(reader, root, "K")
        fields = reader.mapping(spec, "spec", ("a",), ("b",))
        reader.text(fields.get("a"), "spec.a")
        reader.items(fields.get("b"), "spec.b")
        reader.finish()
    except ResourceError as error:
        return [str(problem) for problem in error.problems]
    return []


def file(spec: str, *, version: str = "epochgate.io/v1alpha1", name: str = "n") -> str:
    return f"apiVersion: {version}\nkind: K\nmetadata: {{name: {name}}}\nspec: {spec}\n"


def test_a_file_as_it_should_be_has_no_problem() -> None:
    assert problems(file("{a: x, b: []}")) == []


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (file("{a: x, bb: []}"), "x.yaml:4:14: spec.bb: unknown key; did you mean b?"),
        (file("{a: x, other: 1}"), "x.yaml:4:14: spec.other: unknown key; known: a, b"),
        (file("{a: x, a: y}"), "x.yaml:4:14: spec.a: stands twice; first at x.yaml:4:8"),
        (file("{}"), "x.yaml:4:7: spec.a: is missing"),
        (file("[]"), "x.yaml:4:7: spec: is a list, must be a mapping"),
        (file("{a: [x]}"), "x.yaml:4:11: spec.a: is a list, must be text"),
        (file("{a: }"), "x.yaml:4:10: spec.a: is empty, must be text"),
        (file("{a: x, b: {}}"), "x.yaml:4:17: spec.b: is a mapping, must be a list"),
        (file("{a: x, b: x}"), "x.yaml:4:17: spec.b: is one value, must be a list"),
        (
            file("{a: x}", version="v1"),
            "x.yaml:1:13: apiVersion: 'v1' is not epochgate.io/v1alpha1",
        ),
        (file("{a: x}", name="N"), f"x.yaml:3:18: metadata.name: 'N' must be {resource.NAME_RULE}"),
    ],
)
def test_a_problem_has_its_place_and_what_would_be_right(text: str, says: str) -> None:
    assert problems(text) == [says]


def test_all_problems_are_reported_at_once_in_the_order_of_the_file() -> None:
    found = problems(file("{b: x, b: y, c: z}", version="v2", name="N"))
    assert [line.split(": ")[0] for line in found] == [
        "x.yaml:1:13", "x.yaml:3:18", "x.yaml:4:7", "x.yaml:4:11", "x.yaml:4:14", "x.yaml:4:20",
    ]  # fmt: skip


def test_the_error_has_one_line_for_each_problem_and_the_code_for_bad_data() -> None:
    with pytest.raises(ResourceError) as caught:
        resource.read(HERE, b"\xff")
    assert (caught.value.exit_code, len(caught.value.problems)) == (65, 1)
    both = ResourceError([*caught.value.problems] * 2)
    assert both.message.count("\nerror: ") == 1


@pytest.mark.parametrize(
    "raw", [b"", b"[", b"a: &x 1\nb: *x", b"a: !!python/none x", b"\xff\xfe", b"a: 1\n---\nb: 2"]
)
def test_what_is_not_one_plain_document_is_refused(raw: bytes) -> None:
    with pytest.raises(ResourceError):
        resource.read(HERE, raw)


@pytest.mark.parametrize("text", ["no", "8000", "1e3", "1:30", "~x", "on"])
def test_text_is_never_taken_for_something_else(text: str) -> None:
    _, root, reader = resource.read(HERE, f"a: {text}".encode())
    assert reader.text(reader.mapping(root, "", ("a",))["a"], "a") == text


def test_a_choice_falls_back_only_when_it_is_absent_or_wrong() -> None:
    _, root, reader = resource.read(HERE, b"a: two\nb: tow")
    fields = reader.mapping(root, "", ("a", "b"))
    assert reader.choice(fields["a"], "a", ["one", "two"], "one") == "two"
    assert reader.choice(fields.get("c"), "c", ["one", "two"], "one") == "one"
    assert reader.problems == []
    assert reader.choice(fields["b"], "b", ["one", "two"], "one") == "one"
    assert [problem.message for problem in reader.problems] == [
        "'tow' is not one or two; did you mean two?"
    ]


@given(st.text(max_size=60) | st.text("{}[]:,-&*!|>'\"%@ \nab", max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        resource.read(HERE, text.encode("utf-8", "surrogatepass"))
    except ResourceError as error:
        assert error.problems  # noqa: PT017, both outcomes are fine; a third fails the test
