"""What is wrong with the text of an expression."""

from sidecar.cli.cel.error import CelError


def test_a_hint_follows_what_is_wrong() -> None:
    assert str(CelError(1, 2, "x is not known", "write y")) == "x is not known; write y"
    assert str(CelError(1, 2, "x is not known")) == "x is not known"
