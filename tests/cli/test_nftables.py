"""The rules as text: what is wanted, how a listing is read, how both are compared."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.cli.nftables import Line, compare, parse, script, spared, wanted
from sidecar.config.read import read_sidecar
from sidecar.config.sections import SidecarConfig
from tests.config.builders import SIDECAR, write

# As nft 1.0.6 lists it, after 3 refused packets.
LISTED = """\
table inet epochgate {
    set service {
        type inet_service
        flags interval
        elements = { 8000, 9000-9004,
                 9006-9010 }
    }

    chain arriving {
        type nat hook prerouting priority dstnat; policy accept;
        iifname != "lo" fib daddr type local tcp dport @service redirect to :17001 comment "redirect"
    }

    chain entering {
        type filter hook input priority filter; policy accept;
        iifname != "lo" tcp dport @service counter packets 3 bytes 180 reject with tcp reset comment "outside"
        iifname != "lo" udp dport @service counter packets 0 bytes 0 drop comment "outside-udp"
    }

    chain leaving {
        type filter hook output priority filter; policy accept;
        oifname "lo" tcp dport @service meta skuid != 17117 counter packets 0 bytes 0 reject with tcp reset comment "loopback"
        oifname "lo" udp dport @service meta skuid != 17117 counter packets 0 bytes 0 drop comment "loopback-udp"
    }
}
""".replace("    ", "\t")  # noqa: E501 (as it is printed)


@pytest.fixture
def config(tmp_path: Path) -> SidecarConfig:
    text = SIDECAR.replace('"127.0.0.1:17001"', '"[::]:17001", transparent: true')
    ports = '  intercept: {ports: ["9000-9010", 8000], exclude: [9005]}\n'
    return read_sidecar(write(tmp_path, text + ports), {}).config


def wrong(config: SidecarConfig, listing: str) -> list[str]:
    return [x.name for x in compare(wanted(config), parse(listing)[0]) if not x.fits]


def test_what_is_listed_after_an_install_is_what_is_wanted(config: SidecarConfig) -> None:
    assert wrong(config, LISTED) == []
    assert parse(LISTED)[1]["chain entering", "outside"] == 3


def test_a_remark_of_nft_is_no_rule(config: SidecarConfig) -> None:
    assert wrong(config, f"# Warning: seen before\n{LISTED}") == []


def test_the_script_replaces_the_table_in_one_transaction(config: SidecarConfig) -> None:
    lines = script(wanted(config)).splitlines()
    assert lines[:3] == [
        "add table inet epochgate", "delete table inet epochgate", "table inet epochgate {",
    ]  # fmt: skip
    assert lines[-1] == "}"
    # Read back it is what it was made from.
    assert parse("\n".join(lines[2:]))[0] == tuple(replace(x, otherwise="") for x in wanted(config))


def test_without_redirection_there_is_no_redirection(config: SidecarConfig) -> None:
    fixed = replace(config, proxy=replace(config.proxy, transparent=False))
    assert {line.place for line in wanted(fixed)} == {
        "set service", "chain entering", "chain leaving",
    }  # fmt: skip


def test_standard_loopback_leaves_loopback_alone(config: SidecarConfig) -> None:
    standard = replace(config, intercept=replace(config.intercept, loopback="standard"))
    assert not any("oifname" in line.text for line in wanted(standard))
    assert wrong(standard, LISTED) == ["type", "loopback", "loopback-udp"]


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("17117", "0", ["loopback", "loopback-udp"]),
        (":17001", ":17002", ["redirect"]),
        ("9006-9010", "9006-9009", ["elements"]),
        ("hook input", "hook forward", ["type"]),
        ("priority filter; policy accept;\n\t\tiifname", "priority 1; policy accept;\n\t\tiifname",
         ["type"]),
        ("reject with tcp reset", "accept", ["outside", "loopback"]),
        ('comment "outside"\n', 'comment "x"\n', ["outside", "x"]),
        ("table inet epochgate {\n", "table inet epochgate {\n\tflags dormant\n", ["flags"]),
        ("\tchain leaving {", "\tchain more {\n\t\ttcp dport 1 accept\n\t}\n\tchain leaving {",
         ["tcp"]),
        ("\tchain leaving {", "\tct helper x {\n\t\ttype ftp\n\t}\n\tchain leaving {",
         ["ct", "type"]),
    ],
)  # fmt: skip
def test_a_difference_is_found(config: SidecarConfig, old: str, new: str, found: list[str]) -> None:
    assert old in LISTED
    changed = LISTED.replace(old, new)
    assert wrong(config, changed) == found


def test_nothing_installed_is_everything_missing(config: SidecarConfig) -> None:
    findings = compare(wanted(config), ())
    assert findings
    assert all(not x.fits and x.found is None and x.otherwise for x in findings)


def test_a_rule_twice_is_a_difference(config: SidecarConfig) -> None:
    lines = LISTED.splitlines()
    at = next(i for i, line in enumerate(lines) if '"outside"' in line)
    assert wrong(config, "\n".join([*lines[:at], lines[at], *lines[at:]])) == ["outside"]


def test_the_order_of_rules_matters_and_that_of_chains_does_not(config: SidecarConfig) -> None:
    lines = parse(LISTED)[0]
    places = ["chain leaving", "chain entering", "chain arriving", "set service"]
    moved = [line for place in places for line in lines if line.place == place]
    assert all(x.fits for x in compare(wanted(config), moved))
    turned = [*lines[:-2], lines[-1], lines[-2]]
    assert [x.name for x in compare(wanted(config), turned) if not x.fits] == ["order"]


def test_a_line_is_named_by_its_comment_or_its_first_word() -> None:
    assert Line("chain x", 'tcp dport 1 drop comment "no one"').name == "no one"
    assert Line("chain x", "tcp dport 1 drop").name == "tcp"


PORTS = st.lists(
    st.tuples(st.integers(1, 40), st.integers(0, 9)).map(lambda x: (x[0], x[0] + x[1])), max_size=6
)


@given(ports=PORTS, exclude=PORTS)
def test_excluded_ports_are_left_out_and_no_others(
    ports: list[tuple[int, int]], exclude: list[tuple[int, int]]
) -> None:
    def members(ranges: object) -> set[int]:
        return {n for first, last in ranges for n in range(first, last + 1)}  # type: ignore[attr-defined]

    found = spared(ports, exclude)
    assert members(found) == members(ports) - members(exclude)
    assert all(a[1] + 1 < b[0] for a, b in pairwise(found))
