"""The tree of a checked expression, from what the library serializes."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.cli.cel.library import compiled
from sidecar.cli.cel.tree import Call, Checked, Constant, Fold, Ident, MapOf, Select, read
from sidecar.cli.cel.wire import WireError
from sidecar.core.expression.kind import INT, STRING, list_of, map_of

NAMES = {"i": INT, "l": list_of(STRING), "request.headers": map_of(STRING, STRING)}


def tree(text: str) -> Checked:
    return read(compiled(text, NAMES))


def test_a_qualified_name_is_one_name() -> None:
    assert isinstance(tree("request.headers").root, Ident)
    select = tree("has(request.headers.a)").root
    assert isinstance(select, Select)
    assert (select.field, select.test) == ("a", True)


def test_a_call_has_its_overload_and_its_place() -> None:
    checked = tree("1 + i")
    assert isinstance(checked.root, Call)
    assert checked.overloads[checked.root.id] == ("add_int64",)
    assert checked.places[checked.root.id] == 2
    assert checked.root.operands[0] == Constant(1, "int", 1)


def test_what_a_method_is_called_on_is_its_first_operand() -> None:
    root = tree("l.size()").root
    assert isinstance(root, Call)
    assert [type(operand) for operand in root.operands] == [Ident]


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [("-5", "int", -5), ("false", "bool", False), ("''", "string", ""), ("1.5", "double", None),
     ("1u", "uint", None), ("b''", "bytes", None), ("null", "null", None)],
)  # fmt: skip
def test_a_literal_keeps_its_kind(text: str, kind: str, value: object) -> None:
    root = tree(text).root
    assert isinstance(root, Constant)
    assert (root.kind, root.value) == (kind, value)


def test_a_message_is_no_plain_map() -> None:
    plain, message = tree("{'a': 1}").root, tree("google.protobuf.Duration{seconds: 1}").root
    assert isinstance(plain, MapOf)
    assert isinstance(message, MapOf)
    assert (plain.plain, message.plain) == (True, False)


def test_a_macro_is_a_loop() -> None:
    root = tree("l.all(x, x == 'a')").root
    assert isinstance(root, Fold)
    assert (root.variable, root.plain) == ("x", True)


def test_what_is_no_checked_expression_is_refused() -> None:
    with pytest.raises(WireError, match="holds 'x'"):
        read(b"\x0a\x01x")


GOOD = compiled("l.all(x, x == 'a') && has(request.headers.a) || i in [1, 2]", NAMES)


@settings(deadline=None)
@given(st.integers(0, len(GOOD) - 1), st.integers(1, 255))
def test_damaged_bytes_are_read_or_refused(place: int, change: int) -> None:
    damaged = bytearray(GOOD)
    damaged[place] ^= change
    try:
        read(bytes(damaged))
    except WireError:
        return
