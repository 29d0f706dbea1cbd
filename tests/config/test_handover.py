"""What one process hands to another is what it had."""

import dataclasses
import json
from pathlib import Path

import pytest

from sidecar.config import handover, sections
from sidecar.config.read import read_sidecar
from tests.config import builders


def test_a_configuration_survives_the_way_as_json(tmp_path: Path) -> None:
    config = read_sidecar(builders.write(tmp_path, builders.SIDECAR), {}).config
    there = json.loads(json.dumps(handover.pack(config)))
    assert handover.unpack(there) == config


def test_nothing_but_sections_is_made() -> None:
    with pytest.raises(ValueError, match="no section"):
        handover.unpack({"Popen": {"args": "true"}})


def test_every_section_is_known() -> None:
    kinds = [kind for kind in vars(sections).values() if dataclasses.is_dataclass(kind)]
    assert len(kinds) > 5
    for kind in kinds:
        assert isinstance(kind, type)
        assert handover._CLASSES[kind.__name__] is kind
