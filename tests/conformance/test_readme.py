"""README.md names every item and every test that there is."""

from sidecar.cli.conformance.items import ITEMS
from tests.conformance import readme


def test_the_table_names_every_item_and_every_test() -> None:
    """Mend with: python -m tests.conformance."""
    text = readme.README.read_text()
    assert readme.filled(text, None) == text


def test_an_item_without_a_test_says_what_is_missing() -> None:
    named = readme.tests()
    assert [item.id for item in ITEMS if item.id not in named and not item.missing] == []


def test_each_test_is_for_an_item() -> None:
    assert readme.tests().keys() <= {item.id for item in ITEMS}


def test_what_did_not_pass_is_never_called_held() -> None:
    item = ITEMS[0]
    assert readme.result(item, {"a": "passed"}, ["a"]) == "held"
    assert readme.result(item, {"a": "passed", "b": "failed"}, ["a", "b"]) == "failed, passed"
    assert readme.result(item, {}, ["a"]) == "not run"
