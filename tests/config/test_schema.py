"""The schema and the reader follow one table; these tests hold them against each other."""

from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml

from sidecar.config.problem import ConfigError
from sidecar.config.read import read_any
from sidecar.config.schema import schema
from sidecar.config.sections import SidecarConfig
from sidecar.config.table import AUTHORITY, KINDS, SIDECAR
from tests.config import builders

TEXTS = {SIDECAR: builders.SIDECAR, AUTHORITY: builders.AUTHORITY}


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_a_schema_and_accepts_what_the_reader_accepts(kind: str) -> None:
    made = schema(kind)
    jsonschema.Draft202012Validator.check_schema(made)
    jsonschema.Draft202012Validator(made).validate(yaml.safe_load(TEXTS[kind]))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("ttl: 4s", "ttl: 4"),
        ("ttl: 4s", "tttl: 4s"),
        ("quorum: 2", "quorum: 0"),
        ("quorum: 2", "quorum: 2ms"),
        ("service: chat", "service: Chat"),
        ("service: chat", ""),
        ("drift: 2000ppm", "drift: 2000"),
        ('"127.0.0.1:17001"', '"17001"'),
        ("kind: SidecarConfig", "kind: Other"),
        ("redis://127.0.0.1:6380", "http://127.0.0.1:6380"),
        ("id: r2, ", ""),
        ("trust: {file: trust.json}", ""),
        ("region: eu-1", "region: eu-1\n  workers: 0"),
        ("region: eu-1", "region: eu-1\n  workers: many"),
        ("region: eu-1", "region: eu-1\n  integrity: {files: [{name: m}]}"),
        ("region: eu-1", "region: eu-1\n  integrity: {files: {name: m, path: /m}}"),
        ("region: eu-1", "region: eu-1\n  integrity: {period: 60}"),
        ("region: eu-1", "region: eu-1\n  workers: 65"),
        ("region: eu-1", "region: eu-1\n  audit: {sinks: [{name: a, kind: kafka}]}"),
        ("region: eu-1", "region: eu-1\n  audit: {sinks: [{name: a}]}"),
        ("region: eu-1", "region: eu-1\n  audit: {sinks: [{name: a, kind: stdout, maxLag: 5}]}"),
    ],
)
def test_what_it_refuses_the_reader_refuses_too(old: str, new: str, tmp_path: Path) -> None:
    assert old in builders.SIDECAR
    text = builders.SIDECAR.replace(old, new, 1)
    validator = jsonschema.Draft202012Validator(schema(SIDECAR))
    assert not validator.is_valid(yaml.safe_load(text))
    with pytest.raises(ConfigError):
        read_any(builders.write(tmp_path, text), {})


@pytest.mark.parametrize(("written", "workers"), [("auto", 0), ("2", 2), ("64", 64)])
def test_workers_are_a_number_or_auto(written: str, workers: int, tmp_path: Path) -> None:
    text = builders.SIDECAR + f"  workers: {written}\n"
    jsonschema.Draft202012Validator(schema(SIDECAR)).validate(yaml.safe_load(text))
    config = read_any(builders.write(tmp_path, text), {}).config
    assert isinstance(config, SidecarConfig)
    assert config.workers == workers


def test_defaults_and_bounds_are_told() -> None:
    sync = schema(SIDECAR)["properties"]["spec"]["properties"]["sync"]
    assert sync["properties"]["poll"]["default"] == "250ms"
    assert "10ms to 1m" in sync["properties"]["poll"]["description"]
    assert "default" not in sync["properties"]["ttl"]
    assert {"peers", "quorum", "ttl", "skew", "drift"} == set(sync["required"])
