"""Plots are well-formed, the same each time, and true to the figures."""

import re
from xml.etree import ElementTree as ET

import pytest

from benchmarks import svg

BARS = svg.Bars("µs", [("haproxy", 10.0, 9.0, 12.0), ("epochgate", 20.0, 19.0, 22.0)])
LINES = svg.Lines(
    "µs <at> percentile", "percentile", [(0.0, "50"), (1.0, "99")],
    {"direct": [(0.0, 100.0), (1.0, 1000.0)], "epochgate": [(0.0, 200.0), (1.0, 400.0)]}, log=True,
)  # fmt: skip


def test_a_drawing_is_xml_and_the_same_each_time() -> None:
    first = svg.drawing("CPU & more", "now", [BARS, LINES], 2)
    ET.fromstring(first)
    assert first == svg.drawing("CPU & more", "now", [BARS, LINES], 2)


def test_bars_are_as_long_as_their_figures() -> None:
    text = "".join(BARS.draw(0, 0, 600))
    small, large = (float(one) for one in re.findall(r'<rect[^>]* width="([\d.]+)"', text))
    assert large / small == pytest.approx(2, rel=0.01)
    (mark,) = re.findall(r'<text class="faint" x="([\d.]+)"[^>]*>10</text>', text)
    (begin, *_) = re.findall(r'<rect[^>]* x="([\d.]+)"', text)
    assert float(begin) + small == pytest.approx(float(mark), abs=0.2)
    assert ">10</text>" in text
    assert ">20</text>" in text


def test_a_line_lies_between_the_marks_around_it() -> None:
    text = "".join(LINES.draw(0, 0, 400))
    (ours,) = re.findall(r'class="line [^"]*ours" d="M([\d.]+) ([\d.]+)L([\d.]+) ([\d.]+)"', text)
    (direct,) = re.findall(r'class="line k0" d="M([\d.]+) ([\d.]+)L([\d.]+) ([\d.]+)"', text)
    assert float(ours[1]) < float(direct[1])  # more is further up
    assert float(ours[3]) > float(direct[3])


@pytest.mark.parametrize("most", [0.003, 0.5, 1, 4.7, 12, 99, 1_001, 54_321])
def test_steps_reach_from_zero_to_the_largest(most: float) -> None:
    found = svg.steps(most)
    assert found[0] == 0
    assert found[-2] < most <= found[-1] * (1 + 1e-9)
    assert 4 <= len(found) <= 7


def test_decades_enclose_a_range() -> None:
    assert svg.decades(130, 4_100) == [100, 200, 500, 1_000, 2_000, 5_000]
    assert svg.decades(10, 10) == [10, 20]
