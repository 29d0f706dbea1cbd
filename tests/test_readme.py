"""README.md says what the code says."""

from tests import readme


def test_the_tables_of_the_readme_are_those_of_the_code() -> None:
    """Mend with: python -m tests.readme."""
    text = readme.README.read_text()
    assert readme.filled(text) == text
