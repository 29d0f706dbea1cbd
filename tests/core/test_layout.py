"""Key names are part of the wire form: other programs and old peers hold them."""

from sidecar.core import layout

SHA = "0123456789abcdef" * 4


def test_names_are_those_that_peers_already_hold() -> None:
    assert layout.trust_key("prod", 7) == "eg:{prod}:trust:7"
    assert layout.epoch_key("prod", SHA) == f"eg:{{prod}}:epoch:{SHA}"
    assert layout.blob_key("prod", SHA) == f"eg:{{prod}}:blob:{SHA}"
    assert layout.beat_key("prod", SHA) == "eg:{prod}:beat:0123456789abcdef"
    assert layout.halts_key("prod") == "eg:{prod}:halts"
    assert layout.order_field(SHA) == "0123456789abcdef" * 2
    assert layout.head_key("prod") == "eg:{prod}:head"
    assert layout.push_channel("prod") == "eg:{prod}:push"


def test_domain_that_begins_like_another_shares_no_name_with_it() -> None:
    names = {layout.halts_key("prod"), layout.halts_key("prod.eu"), layout.halts_key("prod:halts")}
    assert len(names) == 3
    assert not layout.halts_key("prod.eu").startswith("eg:{prod}")
