"""What is handed to foreign programs; that they read it is what `make interop` shows."""

import json
import random
from pathlib import Path

from tests.evidence import interop


def test_altered_proofs_are_refused_here(tmp_path: Path) -> None:
    claims = list(interop.claims(5, (8,)))
    good = [claim for claim in claims if claim.accepted]
    assert {claim.kind for claim in good} == {"inclusion", "consistency"}
    altered = [other for claim in good for other in claim.altered(random.Random(1))]
    refused = [other for other in altered if not other.accepted]
    assert len(refused) > len(good)


def test_everything_that_is_to_be_read_is_written(tmp_path: Path) -> None:
    signed = interop.write(tmp_path, 300, 3, ())
    assert signed == 300 - interop.TAIL
    assert (tmp_path / "log" / "tile" / "0" / "000").stat().st_size == 256 * 32
    assert len(list(tmp_path.glob("*.tlog-proof"))) == len(list(tmp_path.glob("*.record"))) == 5
    assert (tmp_path / "records").read_bytes().count(b"\n") == signed
    said = json.loads((tmp_path / "proofs.json").read_text())
    assert {one["Accepted"] for one in said} == {True, False}
