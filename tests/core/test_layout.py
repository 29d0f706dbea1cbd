"""Key names are part of the wire form: other programs and old peers hold them."""

from sidecar.core import layout

SHA = "0123456789abcdef" * 4


def test_names_are_those_that_peers_already_hold() -> None:
    assert layout.trust("prod", 7) == "eg:{prod}:trust:7"
    assert layout.epoch("prod", SHA) == f"eg:{{prod}}:epoch:{SHA}"
    assert layout.blob("prod", SHA) == f"eg:{{prod}}:blob:{SHA}"
    assert layout.beat("prod", SHA) == "eg:{prod}:beat:0123456789abcdef"
    assert layout.halts("prod") == "eg:{prod}:halts"
    assert layout.order_id(SHA) == "0123456789abcdef" * 2
    assert layout.head("prod") == "eg:{prod}:head"
    assert layout.push("prod") == "eg:{prod}:push"


def test_domain_that_begins_like_another_shares_no_name_with_it() -> None:
    names = {layout.halts("prod"), layout.halts("prod.eu"), layout.halts("prod:halts")}
    assert len(names) == 3
    assert not layout.halts("prod.eu").startswith("eg:{prod}")
