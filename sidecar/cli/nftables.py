"""The nftables rules behind `epochgate intercept`: as text, as nft lists them, and compared.

One table, `inet epochgate`, for IPv4 and IPv6:

* `arriving` (nat, prerouting): a connection from outside to a port of the service goes to the
  inbound port of the gate instead. Only with `listen.transparent`.
* `entering` (filter, input): what still arrives at such a port from outside came around the first
  rule, such as a connection that was open before, and is refused.
* `leaving` (filter, output): on loopback only the gate's own user reaches the service.

A rule is written the way nft lists it, so that what is wanted and what is installed are compared as
text. What is not understood differs: the answer to doubt is "this is not what was asked for".

Source: hardening E-W3; nft(8).
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sidecar.config.sections import Address, PortRange, SidecarConfig

TABLE = "inet epochgate"
SERVICE = "set service"
_COMMENT = re.compile(r' comment "([^"]*)"$')
_COUNTER = re.compile(r" counter packets (\d+) bytes (\d+)")
_HEADERS = {
    "arriving": "type nat hook prerouting priority dstnat; policy accept;",
    "entering": "type filter hook input priority filter; policy accept;",
    "leaving": "type filter hook output priority filter; policy accept;",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table.

    Attributes:
        place: The chain or set that it stands in; empty: the table itself.
        text: As nft lists it, without the values of counters.
        otherwise: What would pass if it were missing.
    """

    place: str
    text: str
    otherwise: str = ""

    @property
    def name(self) -> str:
        """What tells it from the other lines of its place: its comment, or its first word."""
        found = _COMMENT.search(self.text)
        return found[1] if found else self.text.split(maxsplit=1)[0]


@dataclass(frozen=True, slots=True)
class Finding:
    """One line as it should be and as it is; None: absent."""

    place: str
    name: str
    wanted: str | None
    found: str | None
    otherwise: str

    @property
    def fits(self) -> bool:
        """Whether they agree."""
        return self.wanted == self.found


def wanted(config: SidecarConfig) -> tuple[Line, ...]:
    """The lines that a configuration asks for; `intercept.ports` must not be empty."""
    intercept = config.intercept
    ranges = spared(intercept.ports, intercept.exclude)
    shown = [str(first) if first == last else f"{first}-{last}" for first, last in ranges]
    lines = [
        Line(SERVICE, "type inet_service", "everything"),
        Line(SERVICE, "flags interval", "ports within a range"),
        Line(SERVICE, f"elements = {{ {', '.join(shown)} }}", "connections to other ports"),
    ]
    inbound = config.proxy.inbound
    if config.proxy.transparent and isinstance(inbound, Address):
        lines += _chain("arriving", [
            ('iifname != "lo" fib daddr type local tcp dport @service redirect to '
             f':{inbound.port} comment "redirect"',
             "nothing: connections from outside would be refused, not redirected"),
        ])  # fmt: skip
    lines += _chain("entering", [
        ('iifname != "lo" tcp dport @service counter reject with tcp reset comment "outside"',
         "connections from outside that were open before, or are not redirected"),
        ('iifname != "lo" udp dport @service counter drop comment "outside-udp"',
         "datagrams from outside (QUIC)"),
    ])  # fmt: skip
    if intercept.loopback == "strict":
        user = f"meta skuid != {intercept.uid}"
        lines += _chain("leaving", [
            (f'oifname "lo" tcp dport @service {user} counter reject with tcp reset '
             'comment "loopback"', "connections of other users of this machine"),
            (f'oifname "lo" udp dport @service {user} counter drop comment "loopback-udp"',
             "datagrams of other users of this machine"),
        ])  # fmt: skip
    return tuple(lines)


def _chain(name: str, rules: Sequence[tuple[str, str]]) -> list[Line]:
    place = f"chain {name}"
    head = Line(place, _HEADERS[name], "what its rules would refuse")
    return [head, *(Line(place, text, otherwise) for text, otherwise in rules)]


def spared(ports: Sequence[PortRange], exclude: Sequence[PortRange]) -> tuple[PortRange, ...]:
    """`ports` without `exclude`, in order; what touches is one range."""
    kept: list[PortRange] = []
    for first, last in sorted(ports):
        if kept and first <= kept[-1][1] + 1:
            kept[-1] = (kept[-1][0], max(last, kept[-1][1]))
        else:
            kept.append((first, last))
    for low, high in exclude:
        kept = [
            part
            for first, last in kept
            for part in ((first, min(last, low - 1)), (max(first, high + 1), last))
            if part[0] <= part[1]
        ]
    return tuple(kept)


def script(lines: Sequence[Line]) -> str:
    """Input for `nft -f -` that puts these lines in the place of what was there, all at once."""
    text = [f"add table {TABLE}", f"delete table {TABLE}", f"table {TABLE} {{"]
    for place in dict.fromkeys(line.place for line in lines):
        text += [f"\t{place} {{", *(f"\t\t{x.text}" for x in lines if x.place == place), "\t}"]
    return "\n".join([*text, "}", ""])


def parse(listing: str) -> tuple[tuple[Line, ...], dict[tuple[str, str], int]]:
    """The lines of `nft list table`, and packets counted, by place and name."""
    lines: list[Line] = []
    packets: dict[tuple[str, str], int] = {}
    for place, text in _split(listing):
        line = Line(place, _COUNTER.sub(" counter", text))
        lines.append(line)
        counted = _COUNTER.search(text)
        if counted:
            packets[place, line.name] = int(counted[1])
    return tuple(lines), packets


def _split(listing: str) -> Iterator[tuple[str, str]]:
    place, unfinished = "", ""
    for raw in listing.splitlines():
        text = " ".join(f"{unfinished} {raw}".split())
        unfinished = ""
        if text.startswith("elements =") and not text.endswith("}"):
            unfinished = text  # nft breaks a long set into lines
        elif re.fullmatch(r"(set|chain|map|counter|flowtable) \S+ \{", text):
            place = text.removesuffix(" {")
        elif text == "}":
            place = ""
        elif text and not text.startswith("#") and text != f"table {TABLE} {{":
            yield place, text
    if unfinished:
        yield place, unfinished


def compare(lines: Sequence[Line], found: Sequence[Line]) -> list[Finding]:
    """Each line that is wanted, in order, as it was found; then what was found beside it."""
    there: dict[tuple[str, str], str] = {}
    beside: list[Finding] = []
    known = {(line.place, line.name) for line in lines}
    for line in found:
        key = (line.place, line.name)
        if key in known and key not in there:
            there[key] = line.text
        else:
            beside.append(Finding(*key, None, line.text, "what it lets through"))
    result = [
        Finding(x.place, x.name, x.text, there.get((x.place, x.name)), x.otherwise) for x in lines
    ]
    for place in dict.fromkeys(line.place for line in lines):
        right = [x.name for x in lines if x.place == place and (place, x.name) in there]
        order = [name for where, name in there if where == place]
        if order != right:
            told = ", ".join(right), ", ".join(order)
            beside.append(Finding(place, "order", *told, "what an earlier rule accepts"))
    return result + beside
