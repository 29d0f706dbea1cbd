"""The files that policies/README.md shows: they build, and its cases pass."""

import re
from pathlib import Path
from textwrap import dedent

from sidecar.cli import cases
from sidecar.cli.kinds import policy, routes

README = Path(__file__).resolve().parent.parent.parent / "policies" / "README.md"
BLOCKS = re.findall(r"(?:^    .*\n|^\n(?=    ))+", README.read_text(), re.MULTILINE)


def shown(kind: str) -> str:
    [text] = [block for block in BLOCKS if f"kind: {kind}\n" in block]
    return dedent(text)


def test_what_the_page_shows_builds_and_passes(tmp_path: Path) -> None:
    folder = tmp_path / "cases"
    folder.mkdir()
    (tmp_path / "chat.yaml").write_text(shown(policy.KIND))
    (tmp_path / "chat.routes.yaml").write_text(shown(routes.KIND))
    (folder / "chat.yaml").write_text(shown(cases.KIND))
    suite = cases.load(folder / "chat.yaml")
    assert suite is not None
    results = cases.run(suite)
    assert len(results) >= 3
    assert [result.case.name for result in results if not result.passed] == []


def test_every_key_of_a_policy_has_its_row() -> None:
    text = README.read_text()
    for key in policy.OPTIONAL:
        assert re.search(rf"^\| `{key}(\[\])?` \|", text, re.MULTILINE), key
