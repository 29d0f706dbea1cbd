"""Run every row once and write the tables of README.md: `python -m tests.http`."""

import asyncio

from tests.http import readme


def main() -> None:
    text = readme.README.read_text()
    readme.README.write_text(readme.filled(text, asyncio.run(readme.observed())))


if __name__ == "__main__":
    main()
