"""What travels with a record: there or not, and nothing else."""

import pytest

from sidecar.core import canonical
from sidecar.core.log.grounds import NOTHING, Grounds
from sidecar.core.reason import ProtocolError


def test_grounds_survive_their_canonical_form() -> None:
    made = Grounds(beat="b", epoch=None, trust=("t1", "t2"))
    assert canonical.load(canonical.dump(made), Grounds, 1000) == made
    assert made != NOTHING


def test_what_is_not_known_of_is_refused() -> None:
    with pytest.raises(ProtocolError):
        canonical.load(b'{"beat":null,"epoch":null,"extra":1,"trust":[]}', Grounds, 1000)
