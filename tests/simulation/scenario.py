"""What one run is made of: every option drawn from the seed before anything happens.

Swarm testing: each seed leaves some kinds of fault out altogether. A run with every fault at once
mostly shows a sidecar that is contained, and finds less than runs that dwell on a few.

Source: Groce et al., Swarm Testing, 2012.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from random import Random
from typing import Any

from sidecar.core.lease import Freshness

LIES = ("replay", "garbage", "mixed", "forge", "mute", "withhold", "cover")
THIEVES = ("beat", "halt", "epoch", "epoch+beat", "epochs")
FRESHNESS: tuple[Freshness, ...] = ("clock", "nonce", "both")
ROTATED = ("beat", "epoch", "root", "halt", "any")
CUTS = ("one", "minority", "majority", "authority", "all")


@dataclass(frozen=True, slots=True)
class Scenario:
    """The options of one run. Times in milliseconds, `*_every_ms` 0 for never, rates 0 to 1."""

    seed: int
    # the fleet
    sidecars: int
    peers: int
    quorum: int
    authorities: int
    ttl_ms: int
    interval_ms: int
    poll_ms: int
    timeout_ms: int
    skew_ms: int
    drift_ppm: int
    extreme_clocks: bool
    freshness: Freshness
    reports: bool
    beat_threshold: int
    unacked_ms: int
    roster: bool
    faults_ms: int
    calm_ms: int
    # the network and the peers
    hint_rate: float
    delay_ms: float
    slow_rate: float
    loss_rate: float
    stale_rate: float
    wipe_every_ms: int
    cut: str
    cut_every_ms: int
    liars: int
    lie: str
    # machines and disks
    crash_every_ms: int
    authority_crash_every_ms: int
    authority_stops: bool
    store_ms: float
    store_failure_rate: float
    step_every_ms: int
    pause_every_ms: int
    stop_every_ms: int
    stop_synced: bool
    misset_every_ms: int
    wild_clocks: bool
    torn_rate: float
    old_state_rate: float
    # who has stolen what
    thief: str
    theft_every_ms: int
    raided: int
    raid_every_ms: int
    tamper_every_ms: int
    # what people do
    advance_every_ms: int
    immediate_rate: float
    halt_every_ms: int
    scoped_rate: float
    clear_every_ms: int
    rotate_every_ms: int
    rotated: str
    revoke_rate: float
    attack_every_ms: int
    twin_every_ms: int

    def options(self) -> dict[str, Any]:
        """Everything but the seed."""
        return {item.name: getattr(self, item.name) for item in fields(self) if item.name != "seed"}

    def lines(self) -> list[str]:
        """One line per option."""
        return [f"{item.name:<24} {getattr(self, item.name)}" for item in fields(self)]


# A small world in which nothing goes wrong: what planted bugs and shrunken failures start from.
CALM: dict[str, Any] = {
    "sidecars": 1, "peers": 3, "quorum": 2, "authorities": 1, "ttl_ms": 1000, "interval_ms": 125,
    "poll_ms": 100, "timeout_ms": 100, "skew_ms": 0, "drift_ppm": 0, "extreme_clocks": False,
    "faults_ms": 6000, "calm_ms": 1000, "delay_ms": 2.0, "slow_rate": 0.0, "loss_rate": 0.0,
    "stale_rate": 0.0, "wipe_every_ms": 0, "cut": "one", "cut_every_ms": 0, "liars": 0,
    "lie": "replay", "crash_every_ms": 0, "authority_crash_every_ms": 0, "authority_stops": False,
    "store_ms": 1.0, "store_failure_rate": 0.0, "step_every_ms": 0, "advance_every_ms": 0,
    "immediate_rate": 0.0, "halt_every_ms": 0, "clear_every_ms": 0, "attack_every_ms": 0,
    "twin_every_ms": 0, "pause_every_ms": 0, "stop_every_ms": 0, "stop_synced": False,
    "misset_every_ms": 0, "torn_rate": 0.0, "old_state_rate": 0.0,
    "thief": "beat", "theft_every_ms": 0, "raided": 1, "raid_every_ms": 0, "tamper_every_ms": 0,
    "freshness": "clock", "reports": True, "beat_threshold": 1, "unacked_ms": 0, "roster": False,
    "hint_rate": 0.0, "wild_clocks": False, "scoped_rate": 0.0, "rotate_every_ms": 0,
    "rotated": "any", "revoke_rate": 0.0,
}  # fmt: skip


def parse(words: Iterable[str]) -> dict[str, Any]:
    """Options as people type them: `name=value`, and `calm` for all of `CALM`.

    Raises:
        ValueError: for an option that there is not, or a value of another type.
    """
    options: dict[str, Any] = {}
    for word in words:
        name, _, value = word.partition("=")
        if word == "calm":
            options |= CALM
        elif name not in CALM:
            raise ValueError(f"there is no option {name!r}")
        else:
            options[name] = _value(name, value)
    return options


def _value(name: str, text: str) -> Any:
    kind = type(CALM[name])
    if kind is bool:
        if text not in ("True", "False"):
            raise ValueError(f"{name} is True or False, not {text!r}")
        return text == "True"
    return kind(text)


def draw(seed: int, rng: Random, **fixed: Any) -> Scenario:
    """Draw a scenario.

    Args:
        seed: For the record.
        rng: Fresh from the seed; it goes on to drive the run.
        fixed: Options that are not to be drawn, for a test that is about them.
    """
    ttl_ms = rng.choice((1000, 2000, 3000))
    peers = rng.choice((3, 3, 5))

    def sometimes(value: Any, rate: float = 0.5) -> Any:
        """Swarm: the fault, or none of it."""
        return value if rng.random() < rate else type(value)()

    authorities = rng.choice((1, 1, 2))
    freshness = rng.choice(FRESHNESS)
    reports = freshness != "clock" or rng.random() < 0.5
    options = {
        "seed": seed,
        "sidecars": rng.choice((1, 2, 2, 3)),
        "peers": peers,
        "quorum": peers // 2 + 1,
        "authorities": authorities,
        "freshness": freshness,
        "reports": reports,
        "beat_threshold": rng.choice((1, authorities)),
        "unacked_ms": sometimes(2 * ttl_ms if reports else 0, 0.3),
        "roster": reports and rng.random() < 0.3,
        "ttl_ms": ttl_ms,
        "interval_ms": ttl_ms // 8,
        "poll_ms": ttl_ms // rng.choice((8, 12, 16)),
        "timeout_ms": ttl_ms // rng.choice((8, 12)),
        "skew_ms": rng.choice((0, ttl_ms // 16, ttl_ms // 8)),
        "drift_ppm": rng.choice((0, 2000, 20_000)),
        "extreme_clocks": rng.random() < 0.5,
        "faults_ms": rng.choice((10, 14, 18)) * ttl_ms // 2,
        "calm_ms": 5 * ttl_ms,
        "hint_rate": sometimes(rng.choice((0.5, 1.0)), 0.3),
        "delay_ms": rng.choice((0.5, 2.0, ttl_ms / 100)),
        "slow_rate": sometimes(rng.choice((0.02, 0.1, 0.3))),
        "loss_rate": sometimes(rng.choice((0.01, 0.05, 0.2))),
        "stale_rate": sometimes(rng.choice((0.05, 0.3))),
        "wipe_every_ms": sometimes(ttl_ms * 3, 0.3),
        "cut": rng.choice(CUTS),
        "cut_every_ms": sometimes(ttl_ms * 2),
        "liars": sometimes(rng.randint(1, peers)),
        "lie": rng.choice(LIES),
        "crash_every_ms": sometimes(ttl_ms * 2),
        "authority_crash_every_ms": sometimes(ttl_ms * 2, 0.3),
        "authority_stops": rng.random() < 0.3,
        "store_ms": rng.choice((0.3, 3.0, ttl_ms / 20)),
        "store_failure_rate": sometimes(0.1, 0.2),
        "step_every_ms": sometimes(ttl_ms, 0.3),
        "advance_every_ms": sometimes(ttl_ms * rng.choice((1, 2, 4)), 0.8),
        "immediate_rate": rng.choice((0.0, 0.5, 1.0)),
        "halt_every_ms": sometimes(ttl_ms * 4, 0.4),
        "scoped_rate": sometimes(0.5),
        "clear_every_ms": sometimes(ttl_ms * 2, 0.7),
        "rotate_every_ms": sometimes(ttl_ms * rng.choice((1, 3)), 0.3),
        "rotated": rng.choice(ROTATED),
        "revoke_rate": rng.choice((0.0, 0.5, 1.0)),
        "attack_every_ms": sometimes(ttl_ms, 0.4),
        "twin_every_ms": sometimes(ttl_ms * 8, 0.15),
        "pause_every_ms": sometimes(ttl_ms * rng.choice((1, 3)), 0.4),
        "stop_every_ms": sometimes(ttl_ms * 4, 0.25),
        "stop_synced": rng.random() < 0.5,
        "misset_every_ms": sometimes(ttl_ms * 4, 0.2),
        "wild_clocks": freshness == "nonce" and rng.random() < 0.5,
        "torn_rate": sometimes(0.5),
        "old_state_rate": sometimes(0.5, 0.3),
        "thief": rng.choice(THIEVES),
        "theft_every_ms": sometimes(ttl_ms, 0.3),
        "raided": rng.choice((1, peers // 2 + 1, peers)),
        "raid_every_ms": sometimes(ttl_ms // 2, 0.25),
        "tamper_every_ms": sometimes(ttl_ms // 2, 0.25),
    }
    unknown = fixed.keys() - options.keys()
    assert not unknown, f"no such option: {sorted(unknown)}"
    return Scenario(**(options | fixed))
