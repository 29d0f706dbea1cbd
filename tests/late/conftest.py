"""Shows the table of the campaign at the end of the run, whether it passed or not."""

import pytest

REPORT = pytest.StashKey[list[str]]()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    lines = config.stash.get(REPORT, None)
    if lines:
        terminalreporter.section("stopped sidecars and late writes")
        for line in lines:
            terminalreporter.line(line)
