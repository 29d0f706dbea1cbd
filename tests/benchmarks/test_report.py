"""What stands in README.md is what the newest results say."""

import json
from pathlib import Path
from typing import Any

import click
import pytest

from benchmarks import report, tables
from benchmarks.figures import TIMES

NAMES = ("targets", "plots", *tables.SECTIONS)
MACHINE = {"cpu": "one", "cores": 2, "memory_kib": 1024**2, "kernel": "6.1-x", "python": "3.11"}


def found(median: float) -> dict[str, float]:
    return {"median": median, "min": median - 1, "max": median + 1}


def result(name: str, **more: Any) -> dict[str, Any]:
    return {
        "benchmark": name, "date": "2026-01-02T03:04:05+00:00", "machine": MACHINE,
        "versions": {"epochgate": "1.2.3"}, "load": {"before": [0.1], "after": [0.2]},
        "options": {"rounds": 3}, "contestants": ["direct", "haproxy", "epochgate"],
        "skipped": {"envoy": "not installed"}, "failures": [], "series": {}, **more,
    }  # fmt: skip


@pytest.fixture
def readme(tmp_path: Path) -> Path:
    path = tmp_path / "README.md"
    marks = [
        f"{report.MARK.format(name=name, where='begin')}\nold\n"
        f"{report.MARK.format(name=name, where='end')}\n"
        for name in NAMES
    ]
    path.write_text("by hand\n" + "between\n".join(marks))
    return path


def keep(folder: Path, document: dict[str, Any], at: str = "20260102") -> None:
    (folder / f"{document['benchmark']}-{at}.json").write_text(json.dumps(document))


def test_without_results_the_report_says_so(readme: Path, tmp_path: Path) -> None:
    report.write(readme, tmp_path / "none")
    text = readme.read_text()
    assert text.startswith("by hand\n")
    assert text.count(report.NONE_YET) == len(tables.SECTIONS) + 1  # and plots
    assert "old" not in text
    row = f"| CPU per relayed event against HAProxy | ≤ 1.5 {TIMES} | ≤ 1.2 {TIMES} | - |"
    assert f"| 5 {row}" in text


def test_the_newest_result_fills_tables_targets_and_plots(readme: Path, tmp_path: Path) -> None:
    summary = {
        "haproxy: events: CPU, µs per event": found(10.0),
        "epochgate: events: CPU, µs per event": found(20.0),
        "ratio: events: CPU against haproxy": found(2.0),
    }
    keep(tmp_path, result("events", summary={}), "20250101")
    keep(tmp_path, result("events", summary=summary))
    report.write(readme, tmp_path)
    text = readme.read_text()
    assert "| epochgate | 20.0 |" in text
    assert "| haproxy | 2.00 (1.00 to 3.00) |" in text
    assert "Left out: envoy: not installed." in text
    assert f"2.00 {TIMES} | **missed by 33%** |" in text
    assert "(plots/events.svg)" in text
    assert "µs per event" in (tmp_path / "plots" / "events.svg").read_text()
    before = text
    report.write(readme, tmp_path)
    assert readme.read_text() == before


def test_a_readme_without_marks_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "README.md"
    path.write_text("nothing")
    with pytest.raises(click.ClickException, match="no marks for targets"):
        report.write(path, tmp_path)


def test_the_readme_has_all_marks() -> None:
    text = report.README.read_text()
    for name in NAMES:
        assert report.MARK.format(name=name, where="end") in text, name
