"""The tables of README.md: every row, what must become of it, and what became of it.

`python -m tests.http` runs each row, in one piece, and writes the tables between their markers.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tests.http import catalogue_answers, observe, observe_answers
from tests.http.catalogue_answers import AnswerRow
from tests.http.catalogue_timing import ROWS as TIMED
from tests.http.catalogue_timing import TimedRow
from tests.http.observe import Outcome
from tests.http.observe_answers import AnswerOutcome
from tests.http.requests import ROWS as REQUESTS
from tests.http.rows import Row

README = Path(__file__).parent / "README.md"
SHOWN_MAX = 140  # characters of an input; of a longer one, its beginning and its end
ANSWERS = catalogue_answers.ROWS

Line = tuple[str, ...]


def shown(data: bytes) -> str:
    """An input in one line: escaped, and its middle left out when it is long."""
    text = repr(data)[2:-1].replace("|", "\\|").replace("`", "\\x60")
    if len(text) <= SHOWN_MAX:
        return f"`{text}`"
    half = SHOWN_MAX // 2
    return f"`{text[:half]}` … `{text[-half:]}` ({len(data):,} bytes)"


def told(outcome: Outcome) -> str:
    """An outcome of a request in words."""
    answers = ", ".join(outcome.answers)
    end = "closed" if outcome.closed else "kept"
    if outcome.begun:
        return f"{answers}; {end}; begun upstream, never completed"
    if not outcome.sent:
        return f"{answers}; {end}; {outcome.other_bytes} bytes upstream"
    behind = ", ".join(
        f"`{sent.head.split(b' HTTP')[0].decode()}`" + (f" + {len(sent.body)}" if sent.body else "")
        for sent in outcome.sent
    )
    return f"{answers}; {end}; upstream: {behind}"


def told_answer(outcome: AnswerOutcome) -> str:
    """An outcome of an answer in words."""
    if outcome.cut:
        return "cut; upstream connection destroyed"
    end = "kept" if outcome.kept else "closed"
    behind = "used again" if outcome.reused else "destroyed"
    body = f" with {len(outcome.body)} bytes" if outcome.body else ""
    return f"{', '.join(outcome.answers)}{body}; {end}; upstream connection {behind}"


def request_line(row: Row) -> Line:
    expected = replace(observe.expected(row), begun=int(row.in_turns))
    return (row.id, row.what, shown(row.data), told(expected))


def answer_line(row: AnswerRow) -> Line:
    data = " or ".join(shown(data) for data in row.inputs)
    return (row.id, row.what, data, told_answer(observe_answers.expected(row)))


async def observed_request(row: Row) -> str:
    async with observe.running() as world:
        return told(await observe.outcome(world, row, [row.data]))


async def observed_answer(row: AnswerRow) -> str:
    async with observe.running() as world:
        seen = [told_answer(await observe_answers.outcome(world, row, [x])) for x in row.inputs]
    return " / ".join(dict.fromkeys(seen))


async def observed_scenario(row: TimedRow) -> str:
    try:
        return await row.run() if row.run else row.expected
    except (AssertionError, OSError) as error:  # a time limit is an OSError
        return f"failed: {error!r}"


def lines() -> dict[str, list[Line]]:
    """Table -> its lines, without what was observed."""
    return {
        "requests": [request_line(row) for row in REQUESTS],
        "answers": [answer_line(row) for row in ANSWERS],
        "timing": [(row.id, row.what, "", row.expected) for row in TIMED],
        "counts": counts(),
    }


async def observed() -> dict[str, list[str]]:
    """Table -> what becomes of each line, by really running it."""
    return {
        "requests": [await observed_request(row) for row in REQUESTS],
        "answers": [await observed_answer(row) for row in ANSWERS],
        "timing": [await observed_scenario(row) for row in TIMED],
    }


def counts() -> list[Line]:
    """How many rows there are, and how they end."""
    refused = sum(not row.sent for row in REQUESTS)
    denied = sum(row.answers[-1] == catalogue_answers.BAD for row in ANSWERS)
    return [
        ("requests", str(len(REQUESTS)), f"{refused} refused", f"{len(REQUESTS) - refused} served"),
        ("answers", str(len(ANSWERS)), f"{denied} not relayed", f"{len(ANSWERS) - denied} relayed"),
        ("timing", str(len(TIMED)), "", ""),
    ]


def table(name: str, rows: Sequence[Line]) -> str:
    """A table in Markdown."""
    if name == "counts":
        head = ["| table | rows | | |", "|---|---|---|---|"]
    elif name == "timing":
        head = ["| row | what happens | expected | observed |", "|---|---|---|---|"]
        rows = [(*row[:2], *row[3:]) for row in rows]
    else:
        head = ["| row | what | bytes | expected | observed |", "|---|---|---|---|---|"]
    return "\n".join([*head, *(f"| {' | '.join(row)} |" for row in rows)])


def filled(text: str, seen: dict[str, list[str]]) -> str:
    """The text with every table made anew; without `seen` what was observed stays as it is."""
    for name, rows in lines().items():
        begin, end = f"<!-- {name}: made by python -m tests.http -->", f"<!-- /{name} -->"
        pattern = re.compile(re.escape(begin) + "(.*?)" + re.escape(end), re.DOTALL)
        old = pattern.search(text)
        assert old is not None, f"README.md has no markers for {name}"
        if name == "counts":
            made = table(name, rows)
        else:
            last = seen.get(name) or said(old[1])
            last += [""] * (len(rows) - len(last))
            made = table(name, [(*row, cell) for row, cell in zip(rows, last, strict=False)])
        text = text[: old.start()] + f"{begin}\n{made}\n{end}" + text[old.end() :]
    return text


def said(old: str) -> list[str]:
    """The last cell of each line of a table."""
    return [line[2:-2].rpartition(" | ")[2] for line in old.strip().splitlines()[2:]]
