"""Receivers and journals that end with the test."""

import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.audit.journals import make_journal
from tests.audit.sinks.parts import Clock, Kept, Receiver


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Making a journal flushes each record to the disk; a copy does not."""
    folder = tmp_path_factory.mktemp("made")
    make_journal(folder / "signed-10", 20, 10)
    make_journal(folder / "whole", 40, 40, 2048)
    return folder


@pytest.fixture
def folder(tmp_path: Path, made_once: Path) -> Path:
    """A journal of 20 records, of which 10 are signed."""
    return Path(shutil.copytree(made_once / "signed-10", tmp_path / "audit"))


@pytest.fixture
def whole(tmp_path: Path, made_once: Path) -> Path:
    """A journal of 40 records in several segments, all signed."""
    return Path(shutil.copytree(made_once / "whole", tmp_path / "audit"))


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def kept() -> Kept:
    return Kept()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    await made.start()
    yield made
    await made.stop()
