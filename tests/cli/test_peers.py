"""Options that several commands share."""

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from sidecar.cli.peers import DURATION, load_keys, show_acks
from sidecar.core.objects.trust import Role
from tests import builders


@pytest.mark.parametrize(
    ("said", "ms"),
    [("500ms", 500), ("4s", 4000), ("24h", 86_400_000), ("2d", 172_800_000), ("0", 0)],
)
def test_duration_takes_units_up_to_days(said: str, ms: int) -> None:
    assert DURATION.convert(said, None, None) == ms


@pytest.mark.parametrize("said", ["", "d", "4", "-1d", "1.5h", "1d1h", "1 d", "365days"])
def test_duration_without_a_unit_or_with_another_is_refused(said: str) -> None:
    with pytest.raises(click.BadParameter):
        DURATION.convert(said, None, None)


def test_key_given_twice_counts_once(tmp_path: Path) -> None:
    key = builders.signer(Role.EPOCH)
    key.save(tmp_path / "a.key")
    key.save(tmp_path / "b.key")
    paths = [tmp_path / "a.key", tmp_path / "b.key", tmp_path / "a.key"]
    assert [held.key_id for held in load_keys([str(path) for path in paths])] == [key.key_id]


def test_what_a_peer_said_cannot_move_the_cursor() -> None:
    @click.command()
    def command() -> None:
        show_acks({"p": "refused: \x1b[2J"}, 1, "table", {"epoch": 1})

    result = CliRunner().invoke(command)
    assert "\x1b" not in result.output
    assert "refused" in result.output
