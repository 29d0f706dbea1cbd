"""Plots as SVG, small and without a library: bars with ranges, and lines.

The same input gives the same bytes. Colours follow the reader's light or dark setting.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Protocol

WIDTH = 880
MARGIN = 24
ROW = 24  # of a bar
BAR = 14
LABEL = 150  # left of bars
NUMBER = 92  # right of bars
AXIS = 46
GAP = 28
HEADER = 62
LEGEND = 26
LINES_HEIGHT = 260
SMALL = 100  # from here on no decimals

# name -> colour on light, on dark, and whether it asks somebody (paler, dashed)
COLOURS = {
    "direct": ("#7d838c", "#9aa1ab", False),
    "haproxy": ("#3d74ad", "#6fa8e0", False),
    "nginx": ("#3f8f3a", "#74c06d", False),
    "nginx + auth_request": ("#3f8f3a", "#74c06d", True),
    "envoy": ("#94588a", "#d199c6", False),
    "envoy + ext_authz": ("#94588a", "#d199c6", True),
    "epochgate": ("#d8431b", "#ff8159", False),
    "epochgate, as written": ("#d8431b", "#ff8159", True),
}
OURS = "epochgate"
STYLE = """\
text{font:12px system-ui,-apple-system,"Segoe UI","DejaVu Sans",sans-serif;fill:#3b4048}
.page{fill:#fff}.title{font-size:16px;font-weight:600;fill:#16191d}.panel{font-weight:600}
.faint{fill:#6b727c;font-size:11px}.grid{stroke:#e3e6ea;fill:none}
.range{stroke:#3b4048;stroke-width:1.2;fill:none}
.line{fill:none;stroke-width:1.6;stroke-linejoin:round}.asks.line{stroke-dasharray:5 3}
.asks.bar{opacity:.6}.ours.line{stroke-width:2.6}
"""
DARK = """\
text{fill:#c6ccd4}.page{fill:#0d1117}.title{fill:#f0f3f6}.faint{fill:#8d96a0}
.grid{stroke:#2a3038}.range{stroke:#c6ccd4}
"""


class Panel(Protocol):
    """One part of a drawing."""

    @property
    def height(self) -> int:
        """Pixels."""

    def draw(self, left: float, top: float, width: float) -> list[str]:
        """Its elements."""


@dataclass(frozen=True, slots=True)
class Bars:
    """Horizontal bars from zero, each with its range.

    Attributes:
        title: What it shows, with the unit.
        rows: Name, value, smallest, largest.
    """

    title: str
    rows: Sequence[tuple[str, float, float, float]]

    @property
    def height(self) -> int:
        """Pixels."""
        return AXIS + ROW * len(self.rows)

    def draw(self, left: float, top: float, width: float) -> list[str]:
        """Its elements."""
        x0, room = left + LABEL, width - LABEL - NUMBER
        marks = steps(max(high for *_, high in self.rows))
        low, bottom = top + 20, top + 20 + ROW * len(self.rows)
        scale = room / marks[-1]
        out = [_text(left, top + 8, self.title, "panel")]
        for mark in marks:
            x = x0 + mark * scale
            out.append(_path(f"M{x:.1f} {low}V{bottom}", "grid"))
            out.append(_text(x, bottom + 15, number(mark), "faint", "middle"))
        for place, (name, value, least, most) in enumerate(self.rows):
            y = low + ROW * place + ROW / 2
            out.append(_text(x0 - 8, y + 4, name, "", "end"))
            out.append(
                f'<rect class="bar {_kind(name)}" x="{x0:.1f}" y="{y - BAR / 2:.1f}" '
                f'width="{value * scale:.1f}" height="{BAR}" rx="2"/>'
            )
            out.append(_path(f"M{x0 + least * scale:.1f} {y:.1f}H{x0 + most * scale:.1f}", "range"))
            out.append(_text(x0 + most * scale + 6, y + 4, number(value)))
        return out


@dataclass(frozen=True, slots=True)
class Lines:
    """Lines over a common axis.

    Attributes:
        title: What it shows, with the unit of the upright axis.
        below: What the level axis shows.
        ticks: Positions on the level axis, and what stands there.
        lines: Name -> points.
        log: Whether the upright axis is logarithmic.
    """

    title: str
    below: str
    ticks: Sequence[tuple[float, str]]
    lines: Mapping[str, Sequence[tuple[float, float]]]
    log: bool = False

    @property
    def height(self) -> int:
        """Pixels."""
        return LINES_HEIGHT

    def draw(self, left: float, top: float, width: float) -> list[str]:
        """Its elements."""
        x0, x1, low, bottom = left + 48, left + width - 14, top + 22, top + LINES_HEIGHT - 40
        values = [y for points in self.lines.values() for _, y in points]
        marks = decades(min(values), max(values)) if self.log else steps(max(values))
        first, last = self.ticks[0][0], self.ticks[-1][0]

        def across(value: float) -> float:
            return x0 + (value - first) / (last - first) * (x1 - x0)

        def up(value: float) -> float:
            at = (value, marks[0], marks[-1])
            here, start, end = (math.log10(one) for one in at) if self.log else at
            return bottom - (here - start) / (end - start) * (bottom - low)

        out = [_text(left, top + 8, self.title, "panel")]
        for mark in marks:
            out.append(_path(f"M{x0} {up(mark):.1f}H{x1}", "grid"))
            out.append(_text(x0 - 6, up(mark) + 4, number(mark), "faint", "end"))
        for value, what in self.ticks:
            out.append(_text(across(value), bottom + 16, what, "faint", "middle"))
        out.append(_text((x0 + x1) / 2, bottom + 33, self.below, "faint", "middle"))
        for name, points in self.lines.items():
            way = "L".join(f"{across(x):.1f} {up(y):.1f}" for x, y in points)
            out.append(_path(f"M{way}", f"line {_kind(name)}"))
        return out


def drawing(title: str, source: str, panels: Sequence[Panel], columns: int = 1) -> str:
    """A whole SVG document.

    Args:
        title: What was measured.
        source: When, on what, how often.
        panels: In reading order.
        columns: How many panels stand side by side.
    """
    named = [name for one in panels if isinstance(one, Lines) for name in one.lines]
    width = (WIDTH - 2 * MARGIN - GAP * (columns - 1)) / columns
    body = [_text(MARGIN, 30, title, "title"), _text(MARGIN, 48, source, "faint")]
    top = HEADER + 8
    if named:
        body += _legend([name for name in COLOURS if name in named], top)
        top += LEGEND
    for start in range(0, len(panels), columns):
        row = panels[start : start + columns]
        for place, one in enumerate(row):
            body += one.draw(MARGIN + place * (width + GAP), top, width)
        top += max(one.height for one in row) + 12
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" '
            f'viewBox="0 0 {WIDTH} {top}" role="img" aria-label="{escape(title)}">',
            f"<style>{STYLE}{_colours(0)}@media (prefers-color-scheme:dark){{{DARK}{_colours(1)}}}"
            "</style>",
            f'<rect class="page" width="{WIDTH}" height="{top}" rx="6"/>',
            *body,
            "</svg>\n",
        ]
    )


def steps(most: float) -> list[float]:
    """Round numbers from zero to at least `most`, four to six of them."""
    if most <= 0:
        return [0.0, 1.0]
    size = 10 ** math.floor(math.log10(most))
    step = next(size * part for part in (0.1, 0.2, 0.25, 0.5, 1, 2) if most <= size * part * 5)
    return [step * count for count in range(math.ceil(most / step - 1e-9) + 1)]


def decades(least: float, most: float) -> list[float]:
    """Numbers 1, 2, 5, 10, ... around a range."""
    every = [part * 10.0**power for power in range(-3, 10) for part in (1, 2, 5)]
    low = max(one for one in every if one <= least)
    high = min(one for one in every if one >= most and one > low)
    return [one for one in every if low <= one <= high]


def number(value: float) -> str:
    """A number as a person would write it."""
    if value == round(value) or value >= SMALL:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 1 else f"{value:.2g}"


def _legend(names: Sequence[str], top: float) -> list[str]:
    out, x = [], float(MARGIN)
    for name in names:
        out.append(_path(f"M{x:.0f} {top:.0f}h22", f"line {_kind(name)}"))
        out.append(_text(x + 28, top + 4, name))
        x += 52 + 6.6 * len(name)
    return out


def _kind(name: str) -> str:
    """The classes of a contestant."""
    asks = " asks" if name in COLOURS and COLOURS[name][2] else ""
    return f"k{list(COLOURS).index(name)}{asks}{' ours' if name == OURS else ''}"


def _colours(which: int) -> str:
    return "".join(
        f".k{place}.bar{{fill:{colours[which]}}}.k{place}.line{{stroke:{colours[which]}}}"
        for place, colours in enumerate(COLOURS.values())
    )


def _text(x: float, y: float, what: str, kind: str = "", anchor: str = "start") -> str:
    named = f' class="{kind}"' if kind else ""
    at = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text{named} x="{x:.1f}" y="{y:.1f}"{at}>{escape(what)}</text>'


def _path(way: str, kind: str) -> str:
    return f'<path class="{kind}" d="{way}"/>'
