"""`epochgate policy fmt` and `policy schema` as commands."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from sidecar.cli import text
from sidecar.cli.kinds import schema
from sidecar.cli.policy import policy

GOOD = """\
apiVersion: epochgate.io/v1alpha1
kind: GatePolicy
metadata: {name: p}
spec:
  match: {methods: [POST], paths: [/v1/**]} # all
"""
UGLY = "kind: GatePolicy\n" + GOOD.replace("kind: GatePolicy\n", "").replace("  match", "    match")


def run(*words: object) -> Result:
    return CliRunner().invoke(policy, [str(word) for word in words])


@pytest.fixture
def ugly(tmp_path: Path) -> Path:
    file = tmp_path / "ugly.yaml"
    file.write_text(UGLY)
    return file


@pytest.fixture
def good(tmp_path: Path) -> Path:
    file = tmp_path / "good.yaml"
    file.write_text(GOOD.replace("} #", "}  #"))
    return file


def test_the_form_is_printed(ugly: Path, good: Path) -> None:
    found = run("fmt", ugly)
    assert (found.exit_code, found.stdout) == (0, good.read_text())
    assert ugly.read_text() == UGLY


def test_files_are_written_and_named_only_when_they_change(ugly: Path, good: Path) -> None:
    found = run("fmt", "-w", ugly, good)
    assert (found.exit_code, found.stdout) == (0, f"{ugly}\n")
    assert ugly.read_text() == good.read_text()
    assert run("fmt", "-w", ugly, good).stdout == ""


def test_check_names_what_would_change_and_writes_nothing(ugly: Path, good: Path) -> None:
    found = run("fmt", "--check", good, ugly)
    assert (found.exit_code, found.stdout) == (text.DIFFERENT, f"{ugly}\n")
    assert found.stderr.startswith("error: 1 of 2 files would change; ")
    assert ugly.read_text() == UGLY
    assert run("fmt", "--check", good).exit_code == 0


def test_diff_shows_what_would_change(ugly: Path) -> None:
    found = run("fmt", "--diff", ugly)
    assert found.exit_code == text.DIFFERENT
    assert "-    match" in found.stdout
    assert "+  match" in found.stdout


@pytest.mark.parametrize("flags", [("-w", "--check"), ("-w", "--diff"), ("TWICE",)])
def test_what_contradicts_itself_is_refused(ugly: Path, flags: tuple[str, ...]) -> None:
    words = [ugly] if flags == ("TWICE",) else flags
    assert run("fmt", *words, ugly).exit_code == 2


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"kind: Pod\n", "kind: is 'Pod', must be one of GatePolicy"),
        (b"a: 1\n", "kind: is missing, must be one of GatePolicy"),
        (b"\xff", "is not UTF-8"),
        (
            GOOD.encode().replace(b"/v1/**]}", b"/v1/**]}\n  mode: |+ # why\n    x"),
            "is left as it is",
        ),
        (GOOD.encode() + b"kind: GatePolicy\n", "stands twice"),
    ],
)
def test_a_file_that_cannot_have_the_form_is_left_alone(
    tmp_path: Path, content: bytes, says: str
) -> None:
    file = tmp_path / "f.yaml"
    file.write_bytes(content)
    found = run("fmt", "-w", file)
    assert found.exit_code == text.BAD_DATA
    assert says in found.stderr
    assert file.read_bytes() == content


def test_a_schema_is_printed_and_kinds_are_listed() -> None:
    assert json.loads(run("schema", "RouteTable").stdout) == schema.schema("RouteTable")
    listed = run("schema").stdout
    assert all(kind in listed for kind in schema.KINDS)
    assert run("schema", "Pod").exit_code == 2
