"""`epochgate epoch` against real peers."""

import json
from pathlib import Path

import pytest

from sidecar import clock
from sidecar.authority import ceremony
from sidecar.authority.plan import EpochPlan
from sidecar.cli.text import BAD_DATA, UNAVAILABLE, USAGE, VERIFICATION_FAILED
from sidecar.core import canonical, layout
from sidecar.core.objects.trust import Mark, Role, Trust
from tests import builders, rotation
from tests.cli.fleet import Fleet, make_fleet
from tests.valkey import ValkeyServer

pytestmark = pytest.mark.redis

Three = tuple[ValkeyServer, ValkeyServer, ValkeyServer]


@pytest.fixture
def fleet(valkeys: Three, tmp_path: Path) -> Fleet:
    return make_fleet(tmp_path, valkeys)


def issue(fleet: Fleet, *more: object, keys: tuple[int, ...] = (1, 2)) -> list[object]:
    return [
        "epoch", "issue", *fleet.peers(), *fleet.keys(Role.EPOCH, *keys),
        "--policy", fleet.folder / "policy.json", "--routes", fleet.folder / "routes.json", *more,
    ]  # fmt: skip


def test_issued_epoch_is_on_every_peer_with_its_blobs(fleet: Fleet) -> None:
    said = fleet.json(*issue(fleet))
    assert (said["epoch"], said["acks"], said["needed"]) == (1, 3, 2)
    for server in fleet.servers:
        assert server.do("GET", layout.head_key("test")) == said["sha256"].encode()
        raw = server.do("GET", layout.epoch_key("test", said["sha256"]))
        assert isinstance(raw, bytes)
        shown = fleet.json("epoch", "show", *fleet.peers())
        for blob, name in ((builders.POLICY, "policy"), (builders.ROUTES, "routes")):
            assert server.do("GET", layout.blob_key("test", shown[name]["sha256"])) == blob


def test_options_reach_the_epoch(fleet: Fleet, tmp_path: Path) -> None:
    more = ("--activation", "immediate", "--service", "chat", "--region", "eu", "--reason", "why")
    fleet.json(*issue(fleet, *more, "--not-after", "1h", "--out", tmp_path / "e.json"))
    shown = fleet.json("epoch", "show", "--trust", tmp_path / "trust.json", tmp_path / "e.json")
    assert shown["activation"]["mode"] == "immediate"
    assert (shown["scope"]["services"], shown["scope"]["regions"]) == (["chat"], ["eu"])
    assert (shown["reason"], shown["not_after"] - shown["issued_at"]) == ("why", 3_600_000)
    verified = fleet.json(
        "epoch", "verify", "--trust", tmp_path / "trust.json", tmp_path / "e.json"
    )
    assert verified["verified"]


def test_an_epoch_can_be_for_some_tenants_and_only_observe(fleet: Fleet) -> None:
    (fleet.folder / "routes.json").write_bytes(
        builders.routes_bytes(attributes={"tenant": "x-tenant"})
    )
    fleet.json(*issue(fleet, "--tenant", "acme", "--tenant", "globex", "--enforcement", "observe"))
    shown = fleet.json("epoch", "show", *fleet.peers())
    assert shown["scope"]["tenants"] == ["acme", "globex"]
    assert shown["enforcement"] == "observe"
    table = [
        line.split() for line in fleet.run("epoch", "show", *fleet.peers()).stdout.splitlines()
    ]
    assert ["tenants", "acme,", "globex"] in table
    assert ["enforcement", "observe"] in table


def test_demanded_digests_reach_the_epoch_and_are_shown(fleet: Fleet) -> None:
    one, two = "1" * 64, "2" * 64
    more = [
        "--code-sha256", one, "--code-sha256", two, "--config-sha256", one,
        "--image-digest", "sha256:3", "--model", f"weights={one}", "--model", f"b={two}",
    ]  # fmt: skip
    fleet.json(*issue(fleet, *more))
    assert fleet.json("epoch", "show", *fleet.peers())["runtime"] == {
        "code_sha256": [one, two], "config_sha256": [one], "image_digests": ["sha256:3"],
        "model_digests": {"weights": one, "b": two},
    }  # fmt: skip
    shown = fleet.run("epoch", "show", *fleet.peers()).stdout
    assert f"code           {one} or {two}" in shown
    assert f"file weights   {one}" in shown


def test_next_epoch_follows_the_newest_even_where_one_peer_lags(fleet: Fleet) -> None:
    first = fleet.json(*issue(fleet))
    fleet.servers[0].stop()
    second = fleet.json(*issue(fleet))
    fleet.servers[0].start()
    third = fleet.json(*issue(fleet))
    assert [one["epoch"] for one in (first, second, third)] == [1, 2, 3]
    chain = fleet.json("epoch", "history", *fleet.peers())
    assert [one["seq"] for one in chain] == [3, 2, 1]
    assert chain[0]["prev_sha256"] == second["sha256"]
    assert len(fleet.json("epoch", "history", *fleet.peers(), "--limit", "2")) == 2


def test_too_few_keys_says_how_many_are_missing_and_writes_nothing(fleet: Fleet) -> None:
    result = fleet.run(*issue(fleet, keys=(1,)))
    assert result.exit_code == BAD_DATA
    assert "needs 2 keys of role epoch, 1 given: 1 more --key" in result.output
    assert fleet.servers[0].do("DBSIZE") == 0


def test_too_few_peers_to_know_the_newest_epoch_is_refused(fleet: Fleet) -> None:
    """A guess would sign a second epoch under a number that is taken."""
    fleet.json(*issue(fleet))
    fleet.servers[0].stop()
    fleet.servers[1].stop()
    result = fleet.run(*issue(fleet))
    assert result.exit_code == UNAVAILABLE
    assert "1 of 2 needed peers answered" in result.output


def test_too_few_acknowledgements_end_with_the_table_and_exit_69(fleet: Fleet) -> None:
    for server in fleet.servers[:2]:
        server.do("ACL", "SETUSER", "default", "-set")
    result = fleet.run(*issue(fleet))
    assert result.exit_code == UNAVAILABLE
    assert "1 of 2 needed peers took it" in result.output
    assert result.output.count("denied") == 2


def test_two_epochs_with_one_number_are_not_built_upon(fleet: Fleet) -> None:
    fleet.json(*issue(fleet))
    plan = EpochPlan(builders.POLICY, builders.ROUTES, 60_000, reason="another first")
    keys = builders.signers(Role.EPOCH, 2)
    rival, raw = ceremony.make_epoch(plan, fleet.trust, None, keys, clock.now().wall)
    for key, value in ((layout.epoch_key("test", rival.sha256), raw),
                       (layout.head_key("test"), rival.sha256)):  # fmt: skip
        fleet.servers[2].do("SET", key, value)
    for command in (issue(fleet), ["epoch", "show", *fleet.peers()]):
        result = fleet.run(*command)
        assert result.exit_code == BAD_DATA
        assert "two epochs carry number 1" in result.output
    # A halt must work whatever state the epochs are in.
    fleet.json("halt", *fleet.peers(), *fleet.keys(Role.HALT, 1), "--reason", "sort it out")


def test_head_that_names_nothing_is_noted_and_does_not_stop_the_next(fleet: Fleet) -> None:
    fleet.json(*issue(fleet))
    fleet.servers[0].do("SET", layout.head_key("test"), "f" * 64)
    fleet.servers[1].do("SET", layout.head_key("test"), b"\x1b[31mred\xff")
    result = fleet.run("epoch", "show", *fleet.peers(), "-o", "json")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["seq"] == 1
    assert result.stderr.count("names no epoch that verifies") == 2
    assert "\x1b" not in result.stderr
    assert fleet.json(*issue(fleet))["epoch"] == 2


def test_no_epoch_yet_says_how_to_make_the_first(fleet: Fleet) -> None:
    result = fleet.run("epoch", "show", *fleet.peers())
    assert result.exit_code == BAD_DATA
    assert "epoch issue --help" in result.output


def test_changed_file_fails_verification(fleet: Fleet, tmp_path: Path) -> None:
    fleet.json(*issue(fleet, "--out", tmp_path / "e.json"))
    said = json.loads((tmp_path / "e.json").read_bytes())
    said["signatures"].pop()
    (tmp_path / "e.json").write_text(json.dumps(said, separators=(",", ":"), sort_keys=True))
    result = fleet.run("epoch", "verify", "--trust", tmp_path / "trust.json", tmp_path / "e.json")
    assert result.exit_code == VERIFICATION_FAILED
    assert "EG602" in result.output


def test_peers_and_trust_may_come_from_the_authoritys_configuration(
    fleet: Fleet, tmp_path: Path
) -> None:
    peers = "".join(
        f"      - {{id: p{number}, url: 'redis://127.0.0.1:{server.port}'}}\n"
        for number, server in enumerate(fleet.servers)
    )
    (tmp_path / "authority.yaml").write_text(
        "apiVersion: epochgate.io/v1alpha1\nkind: AuthorityConfig\nmetadata: {name: a}\n"
        "spec:\n  trust: {file: trust.json}\n  state: {dir: state}\n"
        f"  keys: {{beat: beat-1.key}}\n  peers:\n{peers.replace('      -', '    -')}"
        "  beat: {ttl: 4s}\n  listen: {status: '127.0.0.1:0'}\n"
    )
    config = ["--config", str(tmp_path / "authority.yaml")]
    result = fleet.run("epoch", "show", *config)
    assert "none on the peers" in result.output
    twice = fleet.run("epoch", "show", *config, "--peer", "redis://127.0.0.1")
    assert twice.exit_code == USAGE


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "peers: none"),
        (["--peer", "redis://127.0.0.1:1"], "trust document: none named"),
        (["--peer", "http://127.0.0.1:1"], "trust document: none named"),
        (["--trust", "T", "--peer", "http://127.0.0.1:1"], "must be redis://"),
        (["--trust", "T", "--peer", "redis://u:secret@h:1"], "must not hold a password"),
    ],
)
def test_options_that_do_not_say_enough_are_refused(
    fleet: Fleet, options: list[str], message: str
) -> None:
    filled = [str(fleet.folder / "trust.json") if part == "T" else part for part in options]
    result = fleet.run("epoch", "show", *filled)
    assert result.exit_code == USAGE
    assert message in result.output
    assert "secret" not in result.output


@pytest.mark.parametrize("command", ["issue", "show", "verify", "history"])
def test_help_ends_with_an_example(fleet: Fleet, command: str) -> None:
    assert (
        f"Example:\n    epochgate epoch {command}" in fleet.run("epoch", command, "--help").output
    )


def test_tables_for_people_say_the_same(fleet: Fleet, tmp_path: Path) -> None:
    file = tmp_path / "e.json"
    issued = fleet.run(*issue(fleet, "--reason", "first", "--out", file))
    assert issued.exit_code == 0
    assert issued.stdout.startswith("epoch: 1\n")
    assert issued.stdout.count("  ok\n") == 3
    shown = dict(
        line.split(maxsplit=1)
        for line in fleet.run("epoch", "show", *fleet.peers()).stdout.splitlines()
    )
    assert (shown["epoch"], shown["reason"], shown["services"]) == ("1", "first", "all")
    rows = fleet.run("epoch", "history", *fleet.peers()).stdout.splitlines()
    assert rows[1].split()[0] == "1"
    verified = fleet.run("epoch", "verify", "--trust", tmp_path / "trust.json", file)
    assert verified.stdout == f"verified: epoch 1 {shown['sha256']}\n"


def test_file_without_a_trust_document_is_not_believed(fleet: Fleet, tmp_path: Path) -> None:
    (tmp_path / "e.json").write_bytes(b"{}")
    result = fleet.run("epoch", "show", tmp_path / "e.json")
    assert result.exit_code == USAGE
    assert "give --trust" in result.output


# --- rosters, demands, removals


def test_roster_and_demands_reach_the_epoch(fleet: Fleet) -> None:
    key_id = builders.instance_key().key_id
    fleet.json(*issue(fleet, "--instance", key_id, "--max-unacked", "5s", "--max-diverged", 0))
    shown = fleet.json("epoch", "show", *fleet.peers())
    assert shown["scope"]["instances"] == [key_id]
    assert shown["telemetry"] == {"max_unacked_ms": 5000, "max_diverged": 0}


def test_how_far_the_log_may_lag_reaches_the_epoch_and_is_shown(fleet: Fleet) -> None:
    fleet.json(*issue(fleet, "--max-checkpoint-age", "5s"))
    shown = fleet.json("epoch", "show", *fleet.peers())
    assert shown["audit"]["max_checkpoint_age_ms"] == 5000
    assert "log unsigned  5000 ms" in fleet.run("epoch", "show", *fleet.peers()).stdout


def test_witnesses_that_are_not_there_cannot_be_demanded(fleet: Fleet) -> None:
    result = fleet.run(*issue(fleet, "--max-audit-unacked", "10s"))
    assert result.exit_code == BAD_DATA
    assert "asks for 1 witnesses of the audit log, the trust document has 0" in result.output


def test_roster_of_what_is_no_key_id_is_refused(fleet: Fleet) -> None:
    assert fleet.run(*issue(fleet, "--instance", "pod-1")).exit_code == BAD_DATA


def test_nothing_is_taken_away_without_being_named(fleet: Fleet) -> None:
    """A route that fell out of a file by mistake must not end in a denial at midnight."""
    fleet.json(*issue(fleet, "--service", "chat", "--service", "vision"))
    fewer = builders.routes_bytes().replace(b'"name":"api"', b'"name":"v1"')
    (fleet.folder / "routes.json").write_bytes(fewer)
    done = fleet.run(*issue(fleet, "--service", "chat"))
    assert done.exit_code == BAD_DATA
    assert "--remove route:api --remove service:vision" in done.output
    named = ("--service", "chat", "--remove", "service:vision", "--remove", "route:api")
    fleet.json(*issue(fleet, *named))
    shown = fleet.json("epoch", "show", *fleet.peers())
    assert (shown["seq"], shown["removes"]) == (2, ["route:api", "service:vision"])
    done = fleet.run(*issue(fleet, "--remove", "route:gone"))
    assert done.exit_code == BAD_DATA
    assert "lists no such thing" in done.output


def test_what_cannot_be_compared_is_not_replaced(fleet: Fleet) -> None:
    fleet.json(*issue(fleet))
    for server in fleet.servers:
        server.do("DEL", layout.blob_key("test", canonical.digest(builders.ROUTES)))
    done = fleet.run(*issue(fleet))
    assert done.exit_code == BAD_DATA
    assert "on no peer" in done.output


# --- after a rotation


def rotate(fleet: Fleet, **changes: object) -> Trust:
    keys = {Role.EPOCH: rotation.others(Role.EPOCH)}
    made = rotation.successor(fleet.trust, keys, **changes)
    for number, key in enumerate(keys[Role.EPOCH], start=101):
        key.save(fleet.folder / f"epoch-{number}.key")
    fleet.servers[2].do("SET", layout.trust_key("test", 2), made.raw)
    return made


def test_next_epoch_is_signed_under_the_newest_trust_document_on_the_peers(fleet: Fleet) -> None:
    first = fleet.json(*issue(fleet))
    made = rotate(fleet, floors=rotation.floors(Mark(seq=1, sha256=first["sha256"])))
    assert fleet.run(*issue(fleet)).exit_code == BAD_DATA, "the old keys have no role any more"
    second = fleet.json(*issue(fleet, keys=(101, 102)))
    shown = fleet.json("epoch", "show", *fleet.peers())
    assert (second["epoch"], shown["prev_sha256"]) == (2, first["sha256"])
    assert (shown["trust"]["version"], shown["trust"]["sha256"]) == (2, made.sha256)


def test_epoch_that_new_keys_cannot_verify_does_not_begin_the_numbers_anew(fleet: Fleet) -> None:
    fleet.json(*issue(fleet))
    rotate(fleet)
    done = fleet.run(*issue(fleet, keys=(101, 102)))
    assert done.exit_code == BAD_DATA
    assert "floor" in done.output


def profiled(fleet: Fleet, **changes: object) -> list[object]:
    file = fleet.folder / "profile.json"
    file.write_bytes(builders.profile_bytes(**changes))
    return issue(fleet, "--profile", file)


def test_a_profile_is_published_and_kept_until_another_is_named(fleet: Fleet) -> None:
    fleet.json(*profiled(fleet))
    raw = builders.profile_bytes()
    sha256 = canonical.digest(raw)
    for server in fleet.servers:
        assert server.do("GET", layout.blob_key("test", sha256)) == raw
    shown = fleet.json("epoch", "show", *fleet.peers())
    assert shown["profile"] == {"name": "strict", "sha256": sha256}
    assert f"strict {sha256}" in fleet.run("epoch", "show", *fleet.peers()).stdout
    fleet.json(*issue(fleet))
    assert fleet.json("epoch", "show", *fleet.peers())["profile"]["name"] == "strict"
    dropped = fleet.run(*issue(fleet, "--profile", "baseline"))
    assert "looser than epoch 2: profile" in dropped.output
    assert fleet.json("epoch", "show", *fleet.peers())["profile"]["name"] == "baseline"
    fleet.json("epoch", "rollback", *fleet.peers(), *fleet.keys(Role.EPOCH, 1, 2))
    assert fleet.json("epoch", "show", *fleet.peers())["profile"]["sha256"] == sha256


def test_a_profile_that_the_deployment_cannot_meet_is_not_signed(fleet: Fleet) -> None:
    result = fleet.run(*profiled(fleet, quorum={"n": 5, "r": 3, "w": 3}))
    assert result.exit_code == BAD_DATA
    assert "ask for 5 peers, there are 3" in result.output
    result = fleet.run(*profiled(fleet, audit={"max_unacked_ms": 9000, "witnesses": 1}))
    assert "asks for 1 witnesses of the audit log, the trust document has 0" in result.output
    assert fleet.servers[0].do("DBSIZE") == 0


def test_an_authority_that_beats_too_slowly_for_a_profile_has_to_be_told_first(
    fleet: Fleet,
) -> None:
    fleet.json(*issue(fleet))
    first = ceremony.open_epoch(_newest(fleet), fleet.trust, clock.now().wall)
    for interval_ms, seq in ((401, 1), (400, 2)):
        said = {"interval_ms": interval_ms, "seq": seq, "issued_at": clock.now().wall}
        raw = builders.beat_bytes(fleet.trust, first, **said)
        key = layout.beat_key("test", builders.signer(Role.BEAT).key_id)
        for server in fleet.servers:
            server.do("SET", key, raw)
        result = fleet.run(*profiled(fleet))
        assert (result.exit_code == 0) == (interval_ms == 400), result.output
        assert ("beats every 401 ms" in result.output) == (interval_ms == 401)


def _newest(fleet: Fleet) -> bytes:
    sha256 = fleet.servers[0].do("GET", layout.head_key("test"))
    assert isinstance(sha256, bytes)
    raw = fleet.servers[0].do("GET", layout.epoch_key("test", sha256.decode()))
    assert isinstance(raw, bytes)
    return raw
