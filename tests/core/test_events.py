"""Events and commands are values: the driver, the simulation and a test can compare and replay."""

from dataclasses import FrozenInstanceError, is_dataclass
from typing import get_args

import pytest

from sidecar.core import events as ev
from sidecar.core.quorum import PeerId


@pytest.mark.parametrize("kind", [*get_args(ev.Event), *get_args(ev.Command)])
def test_every_event_and_command_is_an_immutable_value(kind: type) -> None:
    assert is_dataclass(kind)
    assert kind.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert "__slots__" in vars(kind)


def test_an_answer_names_the_peer_and_the_round_that_it_belongs_to() -> None:
    read = ev.ReadPeer(PeerId("a"), 7, ("key",), (), 10)
    reply = ev.PeerReplied(read.peer, read.round, {"key": (b"value",)})
    assert (reply.peer, reply.round) == (read.peer, read.round)
    with pytest.raises(FrozenInstanceError):
        reply.round = 8  # type: ignore[misc]
