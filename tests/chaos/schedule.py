"""What one run is made of: every option and every fault drawn from the seed before anything starts.

Swarm testing: each seed leaves kinds of fault out, so that some runs dwell on a few.

Two rules keep a schedule within what the protocol promises; anything else may meet anything else:

* At most N - w peers lose data until they were given it back, and none while that cannot happen
  because an authority is down. (More is a disaster that people repair, see "epoch" below.)
* An epoch is not issued while a peer has just lost data: w acknowledgements found it no longer, and
  an operator who asks r peers could sign a second epoch under a number that is taken.

Source: codebases 9; hardening 7; Groce et al., Swarm Testing, 2012.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from random import Random
from typing import Any

PEERS = ("p1", "p2", "p3", "p4", "p5")
AUTHORITIES = ("a1", "a2")
SIDECARS = ("s1", "s2", "s3")
OFFICE = "office"  # where people run commands
QUORUM = 3  # r and w

REPAIR_MS = 1_500  # an authority has given a peer back what it lost by then
CALM_LIMIT_MS = 8_000
WITHOUT = 5  # every so many-th seed has no faults at all: then nothing may be denied
OVERHEAD_S = 7.0  # start, calm and end of a run
LOSSES = ("peer empty", "peer old", "peer flushed")
DOWN = ("authority killed", "authority stopped", "authorities silent")
LINK_MODES = ("delay", "cut", "mute", "deaf", "stall", "trickle", "repeat", "swap")
KINDS = (
    *LOSSES, "peer stopped", "majority stopped", "link", "cut off", *DOWN, "sidecar killed",
    "sidecar stopped", "sidecar stopped long", "epoch", "epoch at once", "halt",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """One fault, or one thing that people do.

    Attributes:
        at_ms: When it begins, from the start of the faults.
        kind: One of KINDS.
        who: Processes or peers that it is about.
        peers: For links: the other end.
        lasts_ms: Until it is put right; 0: it is over at once.
        mode: For links.
        amount: Of the mode.
    """

    at_ms: int
    kind: str
    who: tuple[str, ...] = ()
    peers: tuple[str, ...] = ()
    lasts_ms: int = 0
    mode: str = ""
    amount: int = 0

    def __str__(self) -> str:
        said = [self.kind, "+".join(self.who)]
        if self.mode:
            said += ["->", "+".join(self.peers), self.mode, str(self.amount or "")]
        lasts = f" for {self.lasts_ms} ms" if self.lasts_ms else ""
        return f"{self.at_ms:>6} ms  {' '.join(part for part in said if part)}{lasts}"


@dataclass(frozen=True, slots=True)
class Options:
    """One run. Times in milliseconds.

    Attributes:
        sidecar_spec: Parts of each sidecar's `spec`, as `section__key`, to replace or add.
        authority_spec: Likewise, for authorities.
    """

    seed: int
    chaos_ms: int
    ttl_ms: int
    skew_ms: int
    interval_ms: int
    publish_ms: int
    poll_ms: int
    timeout_ms: int
    kinds: tuple[str, ...]
    steps: tuple[Step, ...]
    sidecar_spec: dict[str, Any] = field(default_factory=dict)
    authority_spec: dict[str, Any] = field(default_factory=dict)

    def lines(self) -> Iterator[str]:
        """All of it, for people; the steps last."""
        for name, value in asdict(self).items():
            if name != "steps":
                yield f"{name:<15} {value}"
        yield from map(str, self.steps)


def draw(seed: int, seconds: float, *, faults: bool = True, **fixed: Any) -> Options:
    """Everything about one run.

    Args:
        seed: Of the run.
        seconds: About how long it may take in all.
        faults: Whether there are any.
        fixed: Options that are not drawn.
    """
    rng = Random(seed)
    faults = faults and seed % WITHOUT != 0
    ttl_ms = rng.choice((1200, 1600, 2000))
    chaos_ms = max(2_000, int((seconds - OVERHEAD_S) * 1000))
    kinds = tuple(kind for kind in KINDS if rng.random() < 0.6) or KINDS
    drawn: dict[str, Any] = {
        "seed": seed,
        "chaos_ms": chaos_ms,
        "ttl_ms": ttl_ms,
        "skew_ms": rng.choice((20, 50, 100)),
        "interval_ms": ttl_ms // 10,
        "publish_ms": ttl_ms // 20,
        "poll_ms": ttl_ms // rng.choice((10, 16)),
        "timeout_ms": ttl_ms // rng.choice((6, 8)),
        "kinds": kinds,
    }
    steps = tuple(_steps(rng, kinds, chaos_ms, ttl_ms)) if faults else ()
    return Options(**{**drawn, "steps": steps, **fixed})


def _steps(rng: Random, kinds: tuple[str, ...], chaos_ms: int, ttl_ms: int) -> list[Step]:
    wanted = max(2, round(chaos_ms / 1000 * rng.choice((0.8, 1.2, 1.8))))
    found: list[Step] = []
    for _ in range(wanted * 5):  # those that clash are drawn anew
        step = _step(rng, rng.choice(kinds), rng.randrange(chaos_ms), ttl_ms)
        if len(found) < wanted and _fits(step, found):
            found.append(step)
    return sorted(found, key=lambda step: (step.at_ms, step.kind))


def _step(rng: Random, kind: str, at_ms: int, ttl_ms: int) -> Step:
    short, long = rng.randint(200, ttl_ms - 300), ttl_ms + rng.randint(100, 800)
    one_peer = (rng.choice(PEERS),)
    if kind in ("peer empty", "peer old", "peer stopped"):
        return Step(at_ms, kind, one_peer, lasts_ms=rng.choice((100, short, long)))
    if kind == "peer flushed":
        return Step(at_ms, kind, one_peer)
    if kind == "majority stopped":
        return Step(at_ms, kind, tuple(sorted(rng.sample(PEERS, QUORUM))), lasts_ms=long)
    if kind in {"link", "cut off"}:
        return _link(rng, kind, at_ms, rng.choice((short, long)))
    if kind == "authorities silent":
        return Step(at_ms, kind, AUTHORITIES, lasts_ms=long)
    if kind in DOWN:
        return Step(at_ms, kind, (rng.choice(AUTHORITIES),), lasts_ms=long)
    if kind.startswith("sidecar"):
        lasts_ms = {"sidecar killed": 100, "sidecar stopped": short}.get(kind, long)
        return Step(at_ms, kind, (rng.choice(SIDECARS),), lasts_ms=lasts_ms)
    if kind == "halt":
        return Step(at_ms, kind, (OFFICE,), lasts_ms=rng.choice((short, long)))
    return Step(at_ms, kind, (OFFICE,))


def _link(rng: Random, kind: str, at_ms: int, lasts_ms: int) -> Step:
    who = rng.choice((*SIDECARS, *SIDECARS, *AUTHORITIES, OFFICE))
    count = rng.choice((1, 1, 2)) if kind == "link" else rng.choice((3, 4, 5))
    mode = rng.choice(LINK_MODES)
    amount = {"delay": rng.choice((20, 60, 400)), "trickle": rng.choice((2_000, 20_000))}
    peers = tuple(sorted(rng.sample(PEERS, count)))
    return Step(at_ms, kind, (who,), peers, lasts_ms, mode, amount.get(mode, 0))


def _is_loss(step: Step) -> bool:
    return step.kind in LOSSES


def _window(step: Step) -> tuple[int, int]:
    """While nothing else may happen to the same things."""
    lingers = _is_loss(step) or step.kind in DOWN or step.kind.startswith("epoch")
    after_ms = REPAIR_MS if lingers else 300
    return step.at_ms, step.at_ms + step.lasts_ms + after_ms


def _overlap(one: Step, other: Step) -> bool:
    (a, b), (c, d) = _window(one), _window(other)
    return a < d and c < b


def _fits(step: Step, found: list[Step]) -> bool:
    near = [other for other in found if _overlap(step, other)]
    losses = sum(map(_is_loss, near))
    if _is_loss(step) and losses >= len(PEERS) - QUORUM:
        return False
    return not any(_clash(step, other) or _clash(other, step) for other in near)


def _clash(one: Step, other: Step) -> bool:
    if one.mode or other.mode:
        if _is_loss(one) and other.who[0] in AUTHORITIES:
            return True  # whoever cannot reach the peer cannot give it back what it lost
        return one.who == other.who and bool(set(one.peers) & set(other.peers))
    if _is_loss(one) and (other.kind in DOWN or other.kind.startswith("epoch")):
        return True
    return bool(set(one.who) & set(other.who))
