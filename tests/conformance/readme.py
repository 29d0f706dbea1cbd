"""The table of README.md: every item, the tests that speak for it, and what came of them.

`python -m tests.conformance` runs the tests and writes the table between its markers.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from sidecar.cli.conformance.items import ITEMS, SECTIONS, Item

FOLDER = Path(__file__).parent
README = FOLDER / "README.md"
BEGIN, END = "<!-- items: made by python -m tests.conformance -->", "<!-- /items -->"
COLUMNS = 5

_TEST = re.compile(r"^(?:async )?def (test_(\d+)_(\d+)_\w+)", re.MULTILINE)


def tests() -> dict[str, list[str]]:
    """Item -> names of its tests."""
    found: dict[str, list[str]] = {}
    for path in sorted(FOLDER.glob("test_section_*.py")):
        for name, section, number in _TEST.findall(path.read_text()):
            found.setdefault(f"{section}.{number}", []).append(name)
    return found


def result(item: Item, outcomes: Mapping[str, str], names: list[str]) -> str:
    """What came of an item, in words.

    Args:
        item: The item.
        outcomes: Test -> passed, failed or another word of pytest.
        names: Its tests.
    """
    if not names:
        return f"GAP: {item.missing}"
    words = {outcomes.get(name, "not run") for name in names}
    if words != {"passed"}:
        return ", ".join(sorted(words))
    return f"in part; missing: {item.missing}" if item.missing else "held"


def lines() -> list[tuple[str, ...]]:
    """A line for each item, without its result."""
    named = tests()
    return [
        (item.id, item.words, item.mechanism,
         "<br>".join(f"`{name}`" for name in named.get(item.id, ())))
        for item in ITEMS
    ]  # fmt: skip


def filled(text: str, results: Mapping[str, str] | None) -> str:
    """The text with the table made anew; without results those that stand there are kept."""
    pattern = re.compile(re.escape(BEGIN) + "(.*?)" + re.escape(END), re.DOTALL)
    old = pattern.search(text)
    assert old is not None, "README.md has no markers"
    kept = said(old[1]) if results is None else results
    made = [f"{BEGIN}"]
    for section, title in SECTIONS.items():
        made += ["", f"### {section}. {title}", ""]
        made += ["| item | requirement | mechanism | test | result |", "|---|---|---|---|---|"]
        made += [
            f"| {' | '.join((*line, kept.get(line[0], '')))} |"
            for line in lines()
            if line[0].startswith(f"{section}.")
        ]
    return text[: old.start()] + "\n".join([*made, "", END]) + text[old.end() :]


def said(old: str) -> dict[str, str]:
    """Item -> the last cell of its line."""
    rows = (line[2:-2].split(" | ") for line in old.splitlines() if re.match(r"\| \d", line))
    return {cells[0]: cells[-1] for cells in rows if len(cells) == COLUMNS}
