"""Journals that end with the test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from sidecar.audit.journal import Journal
from sidecar.audit.recorder import Recorder
from sidecar.core.gate import Gate
from tests.audit import journals


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "audit"


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def journal(folder: Path) -> Iterator[Journal]:
    journal = journals.open_journal(folder)
    yield journal
    journal.close()


@pytest.fixture
def recorder(journal: Journal, gate: Gate) -> Recorder:
    return journals.make_recorder(journal, gate)
