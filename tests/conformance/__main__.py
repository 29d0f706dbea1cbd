"""Run every test here and write the table of README.md: `python -m tests.conformance`."""

import sys

import pytest

from sidecar.cli.conformance.items import ITEMS
from tests.conformance import readme


class Outcomes:
    """Remembers what came of each test."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        name = report.nodeid.rpartition("::")[2]
        if report.when == "call" or report.outcome != "passed":
            self.found[name] = report.outcome


def main() -> int:
    outcomes, named = Outcomes(), readme.tests()
    files = sorted(str(path) for path in readme.FOLDER.glob("test_section_*.py"))
    status = pytest.main([*files, *sys.argv[1:]], plugins=[outcomes])
    results = {
        item.id: readme.result(item, outcomes.found, named.get(item.id, [])) for item in ITEMS
    }
    readme.README.write_text(readme.filled(readme.README.read_text(), results))
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
