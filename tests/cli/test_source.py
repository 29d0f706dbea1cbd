"""Policies and route tables from YAML to the bytes that an epoch names."""

from pathlib import Path

import pytest

from sidecar.cli import source
from sidecar.cli.resource import ResourceError
from tests.cli.written import POLICY, ROUTES, found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "f.yaml"


@pytest.mark.parametrize(("text", "kind"), [(POLICY, source.POLICY), (ROUTES, source.ROUTES)])
def test_bytes_that_were_built_before_pass_unchanged(file: Path, text: str, kind: str) -> None:
    file.write_text(text)
    built = source.load(file)
    file.write_bytes(built[1])
    assert source.load(file, kind) == built


def test_built_bytes_that_no_sidecar_would_take_are_refused(file: Path) -> None:
    file.write_text(POLICY)
    built = source.load_policy(file)
    for damaged in (built + b"\n", built.replace(b"/v1/**", b"/v1/*x"), built[:-1]):
        file.write_bytes(damaged)
        with pytest.raises(ResourceError):
            source.load_policy(file)


def test_one_kind_is_never_taken_for_the_other(file: Path) -> None:
    for text, other in ((POLICY, source.ROUTES), (ROUTES, source.POLICY)):
        assert found(file, text, other)[0].endswith(f"must be {other}")
        file.write_text(text)
        file.write_bytes(source.load(file)[1])
        with pytest.raises(ResourceError):
            source.load(file, other)


def test_everything_wrong_is_said_at_once(file: Path) -> None:
    text = POLICY.replace("permit", "x").replace("POST", "post").replace("name: rest", "nam: rest")
    text = text.replace("failurePolicy: Fail", "failurePolicy: Fail\n  failurePolicy: Fail")
    assert len(found(file, text, source.POLICY)) == 4
