"""What must hold between values, and between a file and the signed trust document."""

import re
from pathlib import Path

import pytest

from sidecar.config.check import against_trust, guarantee
from sidecar.config.problem import ConfigError
from sidecar.config.read import read_authority, read_sidecar
from sidecar.config.sections import AuthorityConfig, SidecarConfig
from sidecar.core.objects.trust import Limits, Quorum, Trust
from tests import builders
from tests.config.builders import AUTHORITY, SIDECAR, write


def sidecar(folder: Path, text: str = SIDECAR, **variables: str) -> SidecarConfig:
    environment = {f"EPOCHGATE_{name}": value for name, value in variables.items()}
    return read_sidecar(write(folder, text), environment).config


def authority(folder: Path, **variables: str) -> AuthorityConfig:
    environment = {f"EPOCHGATE_{name}": value for name, value in variables.items()}
    return read_authority(write(folder, AUTHORITY), environment).config


def refused(folder: Path, text: str = SIDECAR, **variables: str) -> dict[str, str]:
    with pytest.raises(ConfigError) as error:
        sidecar(folder, text, **variables)
    return {problem.path: problem.message for problem in error.value.problems}


def test_two_peers_may_not_share_an_id_or_a_server(tmp_path: Path) -> None:
    found = refused(tmp_path, SIDECAR.replace("id: r2", "id: r1"))
    assert list(found) == ["spec.sync.peers[1].id"]
    # Another database of the same server is still one server and would be two votes.
    found = refused(tmp_path, SIDECAR.replace(":6380", ":6379/1"))
    assert found == {"spec.sync.peers[1].url": "is the same server as peer r1"}


@pytest.mark.parametrize("quorum", ["1", "4"])
def test_a_quorum_is_more_than_half_and_at_most_all(quorum: str, tmp_path: Path) -> None:
    assert list(refused(tmp_path, SYNC__QUORUM=quorum)) == ["spec.sync.quorum"]


@pytest.mark.parametrize("quorum", ["2", "3"])
def test_a_majority_is_accepted(quorum: str, tmp_path: Path) -> None:
    assert sidecar(tmp_path, SYNC__QUORUM=quorum).sync.quorum == int(quorum)


def test_half_of_an_even_number_of_peers_is_no_majority(tmp_path: Path) -> None:
    text = SIDECAR.replace('      - {id: r3, url: "redis://ops@[::1]:6381/2"}\n', "")
    assert "must be 2 to 2" in refused(tmp_path, text, SYNC__QUORUM="1")["spec.sync.quorum"]


def test_skew_must_leave_something_of_a_lease(tmp_path: Path) -> None:
    assert "less than sync.ttl" in refused(tmp_path, SYNC__SKEW="4s")["spec.sync.skew"]


def test_one_read_may_take_a_quarter_of_a_lease_at_most(tmp_path: Path) -> None:
    assert "1000 ms" in refused(tmp_path, SYNC__TIMEOUT="1001ms")["spec.sync.timeout"]
    assert sidecar(tmp_path, SYNC__TIMEOUT="1s").sync.timeout_ms == 1000


def test_a_lease_that_rounds_cannot_keep_alive_is_refused(tmp_path: Path) -> None:
    """A poll longer than what a beat is worth would flap between running and contained."""
    assert "is too short" in refused(tmp_path, SYNC__POLL="4s")["spec.sync.ttl"]


def test_records_may_not_be_due_before_they_are_flushed(tmp_path: Path) -> None:
    found = refused(tmp_path, AUDIT__SYNC_PERIOD="2s", AUDIT__UNSYNCED_MAX="1s")
    assert list(found) == ["spec.audit.unsyncedMax"]


def test_a_disk_budget_holds_some_segments(tmp_path: Path) -> None:
    found = refused(tmp_path, AUDIT__DISK_BUDGET="255MiB")
    assert found == {
        "spec.audit.diskBudget": "must be 0 or at least 4 times audit.segmentSize, 268435456 bytes"
    }
    read = sidecar(tmp_path, AUDIT__DISK_BUDGET="256MiB", AUDIT__RETENTION="720h").audit
    assert (read.disk_budget_bytes, read.retention_ms) == (256 * 1024**2, 720 * 3_600_000)
    read = sidecar(tmp_path, AUDIT__DISK_BUDGET="4MiB", AUDIT__SEGMENT_SIZE="1MiB").audit
    assert read.disk_budget_bytes == 4 * read.segment_bytes


def test_records_are_kept_for_an_hour_at_least(tmp_path: Path) -> None:
    assert list(refused(tmp_path, AUDIT__RETENTION="59m")) == ["spec.audit.retention"]
    assert sidecar(tmp_path, AUDIT__RETENTION="0").audit.retention_ms == 0


def test_parts_of_a_head_are_not_longer_than_the_head(tmp_path: Path) -> None:
    found = refused(tmp_path, LIMITS__HEAD="4KiB", LIMITS__FIELD_NAME="8KiB")
    assert list(found) == ["spec.limits.target", "spec.limits.fieldName"]


def test_the_two_listeners_are_not_one(tmp_path: Path) -> None:
    found = refused(tmp_path, LISTEN__STATUS="127.0.0.1:17001")
    assert list(found) == ["spec.listen.status"]
    free = "127.0.0.1:0"
    assert sidecar(tmp_path, LISTEN__STATUS=free, LISTEN__INBOUND=free).status.port == 0


def test_a_beat_that_cannot_miss_three_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape("spec.beat.ttl: is too short")):
        authority(tmp_path, BEAT__INTERVAL="1s")


# --- against the trust document: n=3 r=2, ttl 4000 ms, skew 500 ms, drift 2000 ppm ---


@pytest.fixture
def trust() -> Trust:
    return builders.make_trust()


def test_a_configuration_that_equals_the_signed_limits_fits(tmp_path: Path, trust: Trust) -> None:
    assert against_trust(sidecar(tmp_path), trust, 500) == []
    assert against_trust(authority(tmp_path), trust, None) == []


@pytest.mark.parametrize(
    ("variable", "value", "path"),
    [
        ("SYNC__TTL", "4001ms", "spec.sync.ttl"),
        ("SYNC__SKEW", "499ms", "spec.sync.skew"),
        ("SYNC__DRIFT", "1999ppm", "spec.sync.drift"),
    ],
)
def test_a_local_value_may_not_loosen_the_signed_one(
    variable: str, value: str, path: str, tmp_path: Path, trust: Trust
) -> None:
    (problem,) = against_trust(sidecar(tmp_path, **{variable: value}), trust, None)
    assert problem.path == path
    assert "may only tighten" in problem.message


def test_a_local_value_may_tighten_the_signed_one(tmp_path: Path, trust: Trust) -> None:
    config = sidecar(
        tmp_path, SYNC__TTL="3900ms", SYNC__SKEW="600ms", SYNC__DRIFT="3000ppm", SYNC__QUORUM="3"
    )
    assert against_trust(config, trust, 500) == []


def test_a_quorum_below_the_signed_one_is_refused(tmp_path: Path) -> None:
    strict = builders.make_trust(quorum=Quorum(n=3, r=3, w=3))
    (problem,) = against_trust(sidecar(tmp_path), strict, None)
    assert problem.path == "spec.sync.quorum"


def test_another_number_of_peers_is_refused(tmp_path: Path) -> None:
    five = builders.make_trust(quorum=Quorum(n=5, r=2, w=4))
    assert [p.path for p in against_trust(sidecar(tmp_path), five, None)] == ["spec.sync.peers"]
    assert [p.path for p in against_trust(authority(tmp_path), five, None)] == ["spec.peers"]


def test_an_interval_that_leases_cannot_bridge_is_refused(tmp_path: Path, trust: Trust) -> None:
    """Worth 4000 x 0.998 - 500 = 3492 ms; needed 4 x interval + 250 + 300 ms."""
    assert against_trust(sidecar(tmp_path), trust, 735) == []  # 3490 < 3492
    (problem,) = against_trust(sidecar(tmp_path), trust, 736)  # 3494
    assert problem.path == "spec.sync.ttl"
    assert "3492 ms" in problem.message


@pytest.mark.parametrize("freshness", ["nonce", "both"])
def test_a_nonce_goes_there_and_back_within_a_lease(
    tmp_path: Path, trust: Trust, freshness: str
) -> None:
    """Worth 4000 x 0.998 = 3992 ms; needed 4 x interval + 2 x (250 + 300) ms."""
    config = sidecar(tmp_path, SYNC__FRESHNESS=freshness)
    assert against_trust(config, trust, 722) == []  # 3988
    (problem,) = against_trust(config, trust, 723)  # 3992
    assert problem.path == "spec.sync.ttl"
    assert "3992 ms" in problem.message


def test_skew_costs_a_lease_by_nonce_nothing(tmp_path: Path) -> None:
    assert "is too short" in refused(tmp_path, SYNC__SKEW="3500ms")["spec.sync.ttl"]
    assert sidecar(tmp_path, SYNC__SKEW="3500ms", SYNC__FRESHNESS="nonce").sync.skew_ms == 3500
    both = refused(tmp_path, SYNC__SKEW="3500ms", SYNC__FRESHNESS="both")
    assert "is too short" in both["spec.sync.ttl"]


def test_an_authority_is_judged_by_its_own_interval(tmp_path: Path, trust: Trust) -> None:
    assert against_trust(authority(tmp_path, BEAT__INTERVAL="822ms"), trust, None) == []
    (problem,) = against_trust(authority(tmp_path, BEAT__INTERVAL="823ms"), trust, None)
    assert problem.path == "spec.beat.ttl"


def test_a_silent_peer_must_not_delay_every_beat(tmp_path: Path, trust: Trust) -> None:
    """A beat reads all peers and then writes them; a silent one takes the whole limit each time."""
    same = {"BEAT__INTERVAL": "200ms"}
    assert against_trust(authority(tmp_path, BEAT__PUBLISH="100ms", **same), trust, None) == []
    (problem,) = against_trust(authority(tmp_path, BEAT__PUBLISH="101ms", **same), trust, None)
    assert problem.path == "spec.beat.publish"


def test_a_beat_longer_than_signed_is_refused(tmp_path: Path) -> None:
    short = builders.make_trust(limits=Limits(ttl_max_ms=3900, skew_max_ms=500, drift_ppm=2000))
    (problem,) = against_trust(authority(tmp_path), short, None)
    assert problem.path == "spec.beat.ttl"


def test_the_guarantee_is_the_tighter_of_both(tmp_path: Path, trust: Trust) -> None:
    promised = guarantee(sidecar(tmp_path, SYNC__TTL="3s", SYNC__SKEW="600ms"), trust)
    assert promised["superseded_epoch_honoured_ms_max"] == 3000
    assert (promised["skew_ms"], promised["drift_ppm"]) == (600, 2000)
    assert "min(local ttl 3000, signed ttl 4000) = 3000 ms" in str(promised["arithmetic"])
    assert "600 ms" in str(promised["assumes"])


@pytest.mark.parametrize(
    ("freshness", "assumed"),
    [("clock", "within 500 ms"), ("nonce", "nothing about wall clocks"), ("both", "nothing")],
)
def test_the_guarantee_says_what_it_rests_on(
    tmp_path: Path, trust: Trust, freshness: str, assumed: str
) -> None:
    promised = guarantee(sidecar(tmp_path, SYNC__FRESHNESS=freshness), trust)
    assert promised["freshness"] == freshness
    assert assumed in str(promised["assumes"])


@pytest.mark.parametrize(
    ("quorum", "hostile", "silent"), [(2, 0, 1), (3, 1, 0)], ids=["majority", "all"]
)
def test_the_guarantee_says_how_many_peers_may_lie_or_be_silent(
    tmp_path: Path, trust: Trust, quorum: int, hostile: int, silent: int
) -> None:
    """Of three, with two acknowledgements for what was written."""
    promised = guarantee(sidecar(tmp_path, SYNC__QUORUM=str(quorum)), trust)
    assert (promised["hostile_peers_max"], promised["silent_peers_max"]) == (hostile, silent)


TRANSPARENT = SIDECAR.replace('"127.0.0.1:17001"', '"[::]:17001", transparent: true')


def test_redirected_connections_need_a_listener_on_every_address(tmp_path: Path) -> None:
    assert sidecar(tmp_path, TRANSPARENT).proxy.transparent
    for inbound in ("127.0.0.1:17001", "unix:/run/in.sock", "localhost:17001"):
        found = refused(tmp_path, TRANSPARENT, LISTEN__INBOUND=inbound)
        assert list(found) == ["spec.listen.inbound"]
        assert "0.0.0.0:port" in found["spec.listen.inbound"]
    assert sidecar(tmp_path, TRANSPARENT, LISTEN__INBOUND="0.0.0.0:17001").proxy.transparent


def test_a_fixed_upstream_is_named_as_the_signed_table_names_it(tmp_path: Path) -> None:
    assert str(sidecar(tmp_path, LISTEN__UPSTREAM="[::1]:8000").proxy.upstream) == "[::1]:8000"
    for upstream in ("localhost:8000", "127.0.0.1:0"):
        found = refused(tmp_path, LISTEN__UPSTREAM=upstream)
        assert list(found) == ["spec.listen.upstream"]


def test_the_gate_does_not_intercept_its_own_ports(tmp_path: Path) -> None:
    found = refused(tmp_path, INTERCEPT__PORTS="[8000, 17000-17020]")
    assert list(found) == ["spec.intercept.ports"]
    assert "17001 and 17011" in found["spec.intercept.ports"]
    found = refused(tmp_path, INTERCEPT__PORTS="[17000-17020]", INTERCEPT__EXCLUDE="[17001]")
    assert "hold 17011:" in found["spec.intercept.ports"]
    config = sidecar(
        tmp_path, INTERCEPT__PORTS="[17000-17020]", INTERCEPT__EXCLUDE="[17001, 17011]"
    )
    assert config.intercept.ports == ((17000, 17020),)


def test_a_witness_is_named_once(tmp_path: Path) -> None:
    named = "[{url: 'http://w:1'}, {url: 'https://w:1/'}, {url: 'http://w:1/'}]"
    found = refused(tmp_path, AUDIT__WITNESSES=named)
    assert list(found) == ["spec.audit.witnesses[2].url"]


def test_a_witness_needs_a_port_to_answer_on(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        authority(tmp_path, KEYS__WITNESS="w.key")
    assert [problem.path for problem in caught.value.problems] == ["spec.keys.witness"]
    found = authority(tmp_path, KEYS__WITNESS="w.key", LISTEN__PUBLIC="127.0.0.1:17013")
    assert found.witness_key_file == tmp_path / "w.key"
