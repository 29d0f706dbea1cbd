"""The table has every item of the document, and the checks name only items of the table."""

import re
from collections import Counter

from sidecar.cli.conformance import checks
from sidecar.cli.conformance.items import BY_ID, ITEMS
from sidecar.core.reason import BY_CODE

# Bullets or numbers of each section, and the sentence that closes it; sections 9 and 10 have none.
SIZES = {1: 7, 2: 7, 3: 9, 4: 9, 5: 7, 6: 7, 7: 7, 8: 8, 9: 10, 10: 8}


def test_every_section_has_all_its_items_in_order() -> None:
    assert Counter(item.section for item in ITEMS) == SIZES
    wanted = [f"{section}.{n}" for section, size in SIZES.items() for n in range(1, size + 1)]
    assert [item.id for item in ITEMS] == wanted


def test_checks_speak_for_items_that_there_are() -> None:
    assert {item for check in checks.EVERY for item in check.items} <= BY_ID.keys()


def test_an_item_without_a_check_says_what_is_missing() -> None:
    spoken = {item for check in checks.EVERY for item in check.items if not check.pending}
    assert [item.id for item in ITEMS if item.id not in spoken and not item.missing] == []


def test_reasons_are_those_of_the_table() -> None:
    codes = {code for item in ITEMS for code in re.findall(r"EG\d{3}", item.codes)}
    assert codes <= BY_CODE.keys()


def test_names_of_checks_are_unique() -> None:
    assert max(Counter(check.name for check in checks.EVERY).values()) == 1
