"""README.md shows the rows that there are, with what is expected of each."""

from tests.http import readme


def test_the_tables_are_those_of_the_catalogue() -> None:
    """Mend with: python -m tests.http."""
    text = readme.README.read_text()
    assert readme.filled(text, {}) == text


def test_each_row_has_a_name_of_its_own() -> None:
    names = [line[0] for name in ("requests", "answers", "timing") for line in readme.lines()[name]]
    assert len(names) == len(set(names))


def test_no_row_of_the_catalogue_is_missing() -> None:
    """Once there, always there: rows are added and never taken away."""
    sizes = {"A": 48, "B": 35, "C": 33, "D": 49, "E": 12, "F": 21, "R": 32, "T": 34}
    wanted = {f"{letter}{n:02}" for letter, size in sizes.items() for n in range(1, size + 1)}
    names = {line[0] for name in ("requests", "answers", "timing") for line in readme.lines()[name]}
    assert wanted <= names
