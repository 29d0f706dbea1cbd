"""The profiles that we ship: they build, the README says their numbers, their cases hold."""

import re
from pathlib import Path

import pytest

from sidecar.cli import cases, source
from sidecar.config import units
from sidecar.core import profile
from sidecar.core.profile import Profile

ROOT = Path(__file__).resolve().parent.parent.parent / "policies" / "profiles"
NAMES = (
    "distributed", "enterprise", "financial", "healthcare", "kubernetes", "multi-agent",
    "multi-region", "sovereign",
)  # fmt: skip
README = (ROOT / "README.md").read_text()


def load(name: str) -> Profile:
    return profile.parse(source.load_profile(ROOT / name / "profile.yaml"))


def test_there_is_one_for_each_context() -> None:
    assert sorted(path.name for path in ROOT.iterdir() if path.is_dir()) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_it_builds_under_the_name_of_its_folder_with_a_policy_and_routes(name: str) -> None:
    assert load(name).name == name
    suite = cases.load(ROOT / name / "cases.yaml")
    assert suite is not None
    ((file, rules),) = suite.policies
    assert file == ROOT / name / "policy.yaml"
    longest_ms = max(rule.drain_ms for rule in rules.rules)
    assert longest_ms <= (load(name).drain_max_ms or 0), "a drain that the profile would cut short"


@pytest.mark.parametrize("name", NAMES)
def test_every_case_holds_and_every_rule_decides_one(name: str) -> None:
    suite = cases.load(ROOT / name / "cases.yaml")
    assert suite is not None
    results = cases.run(suite)
    wrong = [f"{one.case.name}: {one.found}" for one in results if not one.passed]
    assert (wrong, cases.undecided([suite], results)) == ([], [])
    assert {one.case.given.lease for one in results} == {"live", "none"}


@pytest.mark.parametrize("name", NAMES)
def test_the_table_of_the_readme_says_its_numbers(name: str) -> None:
    row = next(line for line in README.splitlines() if line.startswith(f"| [{name}]"))
    found = load(name)
    body = source.load_profile(ROOT / name / "profile.yaml").decode()
    ttl, freshness = row.split(" | ")[1].split(", ")
    assert (units.duration(ttl.replace(" ", "")), freshness) == (found.ttl_ms, found.freshness)
    *numbers, skew = row.split(" | ")[2].replace(",", " /").split(" / ")
    assert skew in (f"{found.skew_ms} ms", f"{found.skew_ms // 1000} s", "none")
    assert (skew == "none") == (found.freshness == "nonce")
    for key, value in zip(("interval", "poll", "publish", "timeout"), numbers, strict=True):
        assert f'"{key}_ms":{value.split()[0]}' in body
    peers = re.search(r"\| (\d), (\d), (\d)", row)
    assert peers is not None
    assert tuple(map(int, peers.groups())) == (found.peers, found.read, found.write)
    drained = re.search(r"at most (\d+) s", row)
    assert found.drain_max_ms == (1000 * int(drained[1]) if drained else 0)
    assert ("a parent decision" in row) == found.parent_required
    assert ("on the disk" in row) == found.strict
    assert ("no paths" in row) == found.pathless


@pytest.mark.parametrize("name", NAMES)
def test_less_ttl_than_its_beats_need_is_refused_with_what_is_missing(
    name: str, tmp_path: Path
) -> None:
    text = (ROOT / name / "profile.yaml").read_text()
    file = tmp_path / "profile.yaml"
    file.write_text(re.sub(r"ttl: \d+s", "ttl: 1100ms", text))
    with pytest.raises(Exception, match=r"spec.lease.ttl: is too short.* ms are missing"):
        source.load_profile(file)
