"""The shape of a trust document: what does not fit is refused before anybody counts signatures."""

from typing import Any

import pytest

from sidecar.core import canonical
from sidecar.core.objects.trust_body import Body, Role
from sidecar.core.reason import ProtocolError, Reason
from tests import builders

SAID = canonical.parse(canonical.dump(builders.trust_body()), 1 << 16)


def changed(path: str, value: Any) -> canonical.Json:
    """The document with one field replaced: `limits.ttl_max_ms`."""
    *outer, last = path.split(".")
    whole: Any = canonical.parse(canonical.encode(SAID), 1 << 16)
    inner = whole
    for name in outer:
        inner = inner[name]
    inner[last] = value
    return whole  # type: ignore[no-any-return]


def test_document_reads_as_it_was_written() -> None:
    assert canonical.convert(SAID, Body) == builders.trust_body()


def test_every_role_has_its_place() -> None:
    assert {role.value for role in Role} == set(builders.trust_body().roles.__struct_fields__)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("version", 0),
        ("version", True),
        ("domain", "Prod"),
        ("domain", "prod\n"),
        ("prev_sha256", "0" * 63),
        ("prev_sha256", "A" * 64),
        ("expires", -1),
        ("roles.root.threshold", 0),
        ("roles.root.threshold", 17),
        ("roles.root", None),
        ("roles.owner", {"keyids": [], "threshold": 1}),
        ("quorum.r", 0),
        ("quorum.n", 16),
        ("limits.ttl_max_ms", 99),
        ("limits.ttl_max_ms", 86_400_001),
        ("limits.skew_max_ms", 60_001),
        ("limits.drift_ppm", 100_001),
        ("floors.epoch", {"seq": 1}),
        ("floors.beat", {"short": 1}),
        ("revoked", [{"keyid": "0" * 64, "reason": "x" * 513, "at": 0}]),
        ("extra", 1),
    ],
)
def test_field_out_of_shape_is_refused(path: str, value: Any) -> None:
    with pytest.raises(ProtocolError) as caught:
        canonical.convert(changed(path, value), Body)
    assert caught.value.reason is Reason.TYPE_CONFUSION
