"""`python -m tests.model [NAME ...]`: runs the models and prints a table; see README.md.

NAME is a model (`lease`) or a variant (`lease/pause`); without one, all are run.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from tests.model import spin
from tests.model.spin import MissingToolError, ModelError, Result
from tests.model.variants import ALL, Variant

USAGE, UNAVAILABLE = 64, 69  # sysexits.h
HEADS = ("model", "variant", "what is different", "expected", "seen", "states", "s")


def main(words: Sequence[str], variants: Sequence[Variant] = ALL) -> int:
    """Exit code 0 when every variant came out as expected; 1 when one did not; 64; 69."""
    parser = argparse.ArgumentParser(prog="python -m tests.model")
    parser.add_argument("names", nargs="*", metavar="NAME", help="lease, or lease/pause")
    parser.add_argument("--trail", action="store_true", help="show the steps to each violation")
    chosen = parser.parse_args(words)
    wanted = [one for one in variants if not chosen.names or {one.model, one.id} & {*chosen.names}]
    unknown = {*chosen.names} - {name for one in variants for name in (one.model, one.id)}
    if unknown:
        known = ", ".join(dict.fromkeys(one.model for one in variants))
        sys.stderr.write(f"no model or variant {min(unknown)}; there are {known}\n")
        return USAGE
    try:
        return _run(wanted, trails=chosen.trail)
    except MissingToolError as error:
        sys.stderr.write(f"{error}\n")
        return UNAVAILABLE
    except ModelError as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _run(variants: Sequence[Variant], *, trails: bool) -> int:
    spin.need_tools()
    results = []
    for done, variant in enumerate(variants, start=1):
        _progress(f"{done} of {len(variants)}: {variant.id}")
        with tempfile.TemporaryDirectory() as name:
            result = spin.run(variant, Path(name))
            results.append(result)
            if trails and result.broke is not None:
                _say(f"\n{variant.id}\n{spin.trail(variant, Path(name))}")
    _progress("")
    for line in table(results):
        _say(line)
    wrong = [result for result in results if not result.as_expected]
    for result in wrong:
        _say(f"{result.variant.id}: expected {result.variant.expected}, seen {result.seen}")
    if not wrong:
        _say(f"\n{len(results)} of {len(results)} as expected")
    return 1 if wrong else 0


def table(results: Iterable[Result]) -> list[str]:
    """Markdown, aligned: as it stands in README.md."""
    rows = [HEADS, *(_row(result) for result in results)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADS))]
    lines = [_line(row, widths) for row in rows]
    rule = [*("-" * width for width in widths[:5]), *(f"{'-' * (w - 1)}:" for w in widths[5:])]
    return [lines[0], f"| {' | '.join(rule)} |", *lines[1:]]


def _row(result: Result) -> tuple[str, ...]:
    one = result.variant
    figures = (f"{result.states:,}", f"{result.seconds:.1f}")
    return (one.model, one.name, one.about, one.expected, result.seen, *figures)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    texts = [cell.ljust(width) for cell, width in zip(row[:5], widths[:5], strict=True)]
    figures = [cell.rjust(width) for cell, width in zip(row[5:], widths[5:], strict=True)]
    return f"| {' | '.join((*texts, *figures))} |"


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\033[K{text}")
        sys.stderr.flush()


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
