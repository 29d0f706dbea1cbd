"""One JSON line per event."""

import io
import json
import logging
from datetime import datetime
from typing import Any

import pytest

from sidecar.telemetry.logs import Log, setup


class Lines:
    """A log in memory, read back line by line."""

    def __init__(self, level: str = "info") -> None:
        self.stream = io.StringIO()
        self.counted: list[str] = []
        self.log: Log = setup(level, self.stream, self.counted.append)

    def read(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


def test_an_event_is_one_line_with_its_fields() -> None:
    lines = Lines()
    lines.log.info("gate_state", to="running", lease_ms=3500)
    (line,) = lines.read()
    assert datetime.fromisoformat(line.pop("ts")).tzinfo is not None
    assert line == {"level": "info", "event": "gate_state", "to": "running", "lease_ms": 3500}


def test_line_breaks_in_a_field_stay_inside_the_line() -> None:
    lines = Lines()
    lines.log.warning("peer", result='x\n{"level": "info"}\u2028')
    assert len(lines.read()) == 1


@pytest.mark.parametrize("name", ["password", "beat_seed", "Authorization", "private_key"])
def test_a_field_that_names_a_secret_is_masked(name: str) -> None:
    lines = Lines()
    lines.log.error("started", **{name: "hunter2"})
    assert lines.read()[0][name] == "***"
    assert "hunter2" not in lines.stream.getvalue()


def test_a_field_cannot_replace_level_or_event() -> None:
    lines = Lines()
    lines.log.warning("peer", level="info", ts="never")
    assert lines.read()[0]["level"] == "warning"


def test_lines_below_the_level_are_not_written() -> None:
    lines = Lines("warning")
    lines.log.info("epoch")
    lines.log.debug("epoch")
    lines.log.error("conflict")
    assert [line["event"] for line in lines.read()] == ["conflict"]


def test_every_line_is_counted_by_level() -> None:
    lines = Lines("debug")
    lines.log.debug("a")
    lines.log.info("a")
    lines.log.warning("a")
    lines.log.error("a")
    logging.getLogger("other").critical("a")
    assert lines.counted == ["debug", "info", "warning", "error", "error"]


def test_a_library_is_wrapped_with_its_traceback() -> None:
    lines = Lines()
    try:
        int("bad")
    except ValueError:
        logging.getLogger("aiohttp.server").exception("Error %s", "here")
    logging.getLogger("asyncio").info("chatter")
    (line,) = lines.read()
    assert (line["event"], line["logger"], line["message"]) == (
        "library",
        "aiohttp.server",
        "Error here",
    )
    assert "ValueError: invalid literal" in line["traceback"]


def test_a_value_that_json_does_not_know_is_shown_as_text() -> None:
    lines = Lines()
    lines.log.info("started", path=lines.log.info)
    assert "method" in lines.read()[0]["path"]
