"""The next epoch from the one before: what is kept, what is shown, what is refused."""

from pathlib import Path

import pytest

from sidecar.cli.text import BAD_DATA, USAGE
from sidecar.core import canonical, layout
from sidecar.core.objects.trust import Role
from tests import builders
from tests.cli.fleet import Fleet, make_fleet
from tests.valkey import ValkeyServer

pytestmark = pytest.mark.redis

Three = tuple[ValkeyServer, ValkeyServer, ValkeyServer]
POLICY, ROUTES = canonical.digest(builders.POLICY), canonical.digest(builders.ROUTES)
NEWER = builders.POLICY.replace(b"/v1/**", b"/v2/**")
DEMANDS = (
    "--service", "chat", "--region", "eu", "--max-unacked", "5s", "--max-diverged", "1",
    "--max-checkpoint-age", "7s", "--code-sha256", "1" * 64, "--model", f"weights={'2' * 64}",
    "--activation", "immediate", "--not-after", "1h",
)  # fmt: skip
SAID = ("scope", "telemetry", "audit", "runtime", "activation", "enforcement", "profile")


@pytest.fixture
def fleet(valkeys: Three, tmp_path: Path) -> Fleet:
    made = make_fleet(tmp_path, valkeys)
    (tmp_path / "newer.json").write_bytes(NEWER)
    return made


def issue(fleet: Fleet, *more: object, keys: tuple[int, ...] = (1, 2)) -> list[object]:
    return ["epoch", "issue", *fleet.peers(), *fleet.keys(Role.EPOCH, *keys), *more]


def both(fleet: Fleet) -> list[object]:
    return ["--policy", fleet.folder / "policy.json", "--routes", fleet.folder / "routes.json"]


def newest(fleet: Fleet) -> dict[str, object]:
    found: dict[str, object] = fleet.json("epoch", "show", *fleet.peers())
    return found


def test_keep_keeps_everything_that_no_option_says(fleet: Fleet) -> None:
    fleet.json(*issue(fleet, *both(fleet), *DEMANDS, "--reason", "first"))
    first = newest(fleet)
    newer = ("--policy", fleet.folder / "newer.json")
    said = fleet.json(*issue(fleet, *newer, "--keep", "--max-unacked", "4s"))
    assert [one["what"] for one in said["changes"]] == ["policy", "max unacked"]
    second = newest(fleet)
    assert second["telemetry"] == {"max_unacked_ms": 4000, "max_diverged": 1}
    assert [second[name] for name in SAID if name != "telemetry"] == [
        first[name] for name in SAID if name != "telemetry"
    ]
    assert second["not_after"] - second["issued_at"] == 3_600_000  # type: ignore[operator]
    assert second["routes"] == first["routes"]
    assert second["reason"] == ""
    # A kind of digest that is named replaces that kind; the others stay.
    fleet.json(*issue(fleet, "--keep", "--code-sha256", "3" * 64))
    assert newest(fleet)["runtime"] == {
        "code_sha256": ["3" * 64], "config_sha256": [], "image_digests": [],
        "model_digests": {"weights": "2" * 64},
    }  # fmt: skip


def test_without_keep_what_falls_back_is_shown_and_what_is_looser_is_warned_of(
    fleet: Fleet,
) -> None:
    fleet.json(*issue(fleet, *both(fleet), *DEMANDS))
    done = fleet.run(*issue(fleet, "--policy", fleet.folder / "newer.json"))
    assert done.exit_code == 0, done.output
    table = [line.split() for line in done.stdout.splitlines()]
    assert ["services", "chat", "all", "looser"] in table
    assert ["max", "unacked", "5s", "no", "limit", "looser"] in table
    assert ["policy", "chat", POLICY[:16], "chat", canonical.digest(NEWER)[:16], "-"] in table
    assert not any(line[:1] == ["routes"] for line in table), "they stay"
    assert done.stderr.startswith("warning: looser than epoch 1: services, regions, code, ")
    assert "--keep keeps what no option says" in done.stderr
    assert done.stdout.index("DIFFERS FROM 1") < done.stdout.index("epoch: 2\n")


def test_either_may_come_from_the_peers_by_its_digest(fleet: Fleet) -> None:
    fleet.json("policy", "publish", fleet.folder / "policy.json", *fleet.peers())
    by_digest = ("--policy", f"sha256:{POLICY}")
    done = fleet.run(*issue(fleet, *by_digest))
    assert done.exit_code == BAD_DATA
    assert "there is none before whose routes could be kept; give --routes FILE" in done.output
    fleet.json(*issue(fleet, *by_digest, "--routes", fleet.folder / "routes.json"))
    assert fleet.servers[1].do("GET", layout.blob_key("test", ROUTES)) == builders.ROUTES
    done = fleet.run(*issue(fleet, "--routes", f"sha256:{POLICY}"))
    assert done.exit_code == BAD_DATA
    assert "cannot be the routes of an epoch" in done.output
    assert newest(fleet)["seq"] == 1


def test_dry_run_shows_and_neither_needs_a_key_nor_writes(fleet: Fleet) -> None:
    fleet.json(*issue(fleet, *both(fleet)))
    newer = ("--policy", fleet.folder / "newer.json")
    said = fleet.json(*issue(fleet, *newer, "--dry-run", keys=()))
    assert (said["follows"], [one["what"] for one in said["changes"]]) == (1, ["policy"])
    assert "says what epoch 1 says" in fleet.run(*issue(fleet, "--keep", "--dry-run")).stdout
    assert newest(fleet)["seq"] == 1
    assert fleet.servers[0].do("GET", layout.blob_key("test", canonical.digest(NEWER))) is None


@pytest.mark.parametrize(
    ("options", "keys", "message"),
    [
        ([], (1, 2), "nothing to issue: give --policy, --routes or --profile, or --keep"),
        (["--keep"], (), "Missing option '--key'"),
        (["--policy", "sha256:12"], (1, 2), "must be sha256: and 64 digits"),
    ],
)
def test_options_that_do_not_say_enough_are_refused(
    fleet: Fleet, options: list[str], keys: tuple[int, ...], message: str
) -> None:
    done = fleet.run(*issue(fleet, *options, keys=keys))
    assert done.exit_code in (2, USAGE)
    assert message in done.output


def test_what_cannot_be_compared_says_how_to_put_it_back(fleet: Fleet) -> None:
    fleet.json(*issue(fleet, *both(fleet)))
    for server in fleet.servers:
        server.do("DEL", layout.blob_key("test", POLICY))
    done = fleet.run(*issue(fleet, "--keep"))
    assert done.exit_code == BAD_DATA
    assert POLICY in done.output
    assert "epochgate policy publish FILE" in done.output
    fleet.json("policy", "publish", fleet.folder / "policy.json", *fleet.peers())
    assert fleet.json(*issue(fleet, "--keep"))["epoch"] == 2
