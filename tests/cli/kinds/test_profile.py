"""A Profile as people write it: what is signed of it, and each mistake with its place."""

from pathlib import Path

import pytest

from sidecar.cli import source
from sidecar.cli.resource import ResourceError
from sidecar.core import profile

GOOD = """\
apiVersion: epochgate.io/v1alpha1
kind: Profile
metadata: {name: strict}
spec:
  lease:
    ttl: 3s
    freshness: both
    skew: 400ms
  timing: {interval: 400ms, poll: 200ms, publish: 100ms, timeout: 250ms}
  quorum:
    peers: 5
    read: 4
    write: 3
  inFlight: {drain: 5s}
  audit:
    durability: strict
    paths: none
    maxCheckpointAge: 2s
    maxUnacked: 9s
    witnesses: 2
  parent: required
"""


def built(tmp_path: Path, text: str) -> bytes:
    file = tmp_path / "profile.yaml"
    file.write_text(text)
    return source.load_profile(file)


def test_each_key_is_signed(tmp_path: Path) -> None:
    found = profile.parse(built(tmp_path, GOOD))
    assert (found.name, found.ttl_ms, found.freshness, found.skew_ms) == (
        "strict", 3000, "both", 400
    )  # fmt: skip
    assert (found.interval_ms, found.poll_ms) == (400, 200)
    assert (found.peers, found.read, found.write) == (5, 4, 3)
    assert (found.drain_max_ms, found.strict, found.pathless) == (5000, True, True)
    assert (found.checkpoint_age_ms, found.unacked_ms, found.witnesses) == (2000, 9000, 2)
    assert found.parent_required


def test_what_is_optional_may_be_left_out(tmp_path: Path) -> None:
    text = GOOD[: GOOD.index("  audit:")].replace("{drain: 5s}", "cut")
    found = profile.parse(built(tmp_path, text))
    assert (found.drain_max_ms, found.strict, found.parent_required) == (0, False, False)


def test_built_bytes_pass_unchanged(tmp_path: Path) -> None:
    raw = built(tmp_path, GOOD)
    (tmp_path / "profile.json").write_bytes(raw)
    assert source.load(tmp_path / "profile.json") == ("Profile", raw)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("ttl: 3s", "ttl: 2s", ":6:10: spec.lease.ttl: is too short"),
        ("    skew: 400ms\n", "", ":6:5: spec.lease.skew: is missing"),
        ("freshness: both", "freshness: nonce", ":8:11: spec.lease.skew: means nothing"),
        ("freshness: both", "freshness: ntp", ":7:16: spec.lease.freshness"),
        ("read: 4", "read: 6", ":12:11: spec.quorum.read: 6 of 5"),
        ("write: 3", "write: 1", ":11:5: spec.quorum: read 4 + write 1"),
        ("write: 3", "write: three", ":13:12: spec.quorum.write: 'three' must be a"),
        ("    maxUnacked: 9s\n", "", ":19:16: spec.audit.witnesses: need a limit"),
        ("durability: strict", "durability: group", ":16:17: spec.audit.durability"),
        ("paths: none", "paths: full", ":17:12: spec.audit.paths"),
        ("parent: required", "parent: maybe", ":21:11: spec.parent"),
        ("{drain: 5s}", "drain", ":14:13: spec.inFlight"),
        ("{drain: 5s}", "{drain: 1h}", ":14:21: spec.inFlight.drain"),
        ("  inFlight: {drain: 5s}\n", "", "spec.inFlight: is missing"),
        ("publish", "publsh", "did you mean publish?"),
        ("name: strict", "name: baseline", ":3:18: metadata.name: 'baseline' is the profile"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, old: str, new: str, said: str) -> None:
    assert old in GOOD
    with pytest.raises(ResourceError) as caught:
        built(tmp_path, GOOD.replace(old, new))
    assert said in str(caught.value)


def test_a_policy_is_no_profile(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="must be Profile"):
        built(tmp_path, GOOD.replace("kind: Profile", "kind: GatePolicy"))
