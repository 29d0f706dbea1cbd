"""`python -m tests.evidence.readme`: puts what was saved into README.md."""

from pathlib import Path

from tests.evidence.report import Part, load, table

README = Path(__file__).parent / "README.md"
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"


def shown(parts: list[Part]) -> str:
    """The section between the marks."""
    blocks = []
    for part in parts:
        minutes = f"{part.seconds / 60:.1f} minutes"
        options = f" with `{part.options}`" if part.options else ""
        blocks += [f"**{part.name}**{options}, {part.began} UTC, {minutes} on two cores:", ""]
        blocks += [*table([part]), ""]
    return "\n".join([BEGIN, "", *blocks, END])


def write() -> None:
    """Replace it."""
    text = README.read_text()
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    README.write_text(before + shown(load()) + after)


if __name__ == "__main__":
    write()
