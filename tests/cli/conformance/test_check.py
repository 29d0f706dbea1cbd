"""What holds, what does not, and how long is waited for it."""

import pytest

from sidecar.cli.conformance.check import BrokenError, covers, expect, settle


def test_a_check_takes_its_name_and_its_line_from_the_function() -> None:
    @covers("1.1", "2.2", pending="another part")
    async def some_deed(_: object) -> str:
        """What it does.

        More.
        """
        return "seen"

    assert (some_deed.name, some_deed.items) == ("some_deed", ("1.1", "2.2"))
    assert (some_deed.about, some_deed.pending) == ("What it does.", "another part")


def test_what_does_not_hold_is_said() -> None:
    expect([1], "unused")
    with pytest.raises(BrokenError, match="seen instead"):
        expect([], "seen instead")


async def test_settling_goes_on_until_it_holds() -> None:
    left = [False, False, True]

    async def look() -> str:
        expect(left.pop(0), "not yet")
        return "there"

    assert await settle(look, 5) == "there"


async def test_what_never_settles_breaks_with_its_last_complaint() -> None:
    async def look() -> None:
        expect(holds=False, otherwise="still closed")

    with pytest.raises(BrokenError, match="still closed"):
        await settle(look, 0.05)
