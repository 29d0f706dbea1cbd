"""What operators and functions there are."""

from sidecar.core.expression.kind import BOOL, INT, STRING, list_of, map_of
from sidecar.core.expression.operation import OPERATIONS
from sidecar.core.expression.overload import OVERLOADS


def test_a_result_follows_from_the_operands() -> None:
    assert OVERLOADS["index_map"].result((map_of(STRING, INT), STRING)) == INT
    assert OVERLOADS["add_list"].result((list_of(INT), list_of(INT))) == list_of(INT)
    assert OVERLOADS["conditional"].result((BOOL, STRING, STRING)) == STRING


def test_operands_that_do_not_fit_have_no_result() -> None:
    assert OVERLOADS["index_map"].result((map_of(STRING, INT), INT)) is None
    assert OVERLOADS["equals"].result((INT, STRING)) is None
    assert OVERLOADS["equals"].result((INT,)) is None
    assert OVERLOADS["size_list"].result((map_of(INT, INT),)) is None


def test_each_has_an_operation() -> None:
    """Else a bundle could pass the check and fail when it is lowered."""
    assert OVERLOADS.keys() == OPERATIONS.keys() - {"list", "map", "logical_and", "logical_or"}
