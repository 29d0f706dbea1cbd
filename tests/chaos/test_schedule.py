"""A seed says everything, and no schedule asks for more than the protocol promises."""

from dataclasses import replace
from itertools import combinations

from tests.chaos import schedule
from tests.chaos.actor import Actor
from tests.chaos.fleet import Fleet
from tests.chaos.history import History
from tests.chaos.schedule import DOWN, KINDS, LINK_MODES, LOSSES, WITHOUT, Options, Step, draw

SEEDS = range(1, 200)


def test_a_seed_is_a_run() -> None:
    assert draw(7, 18) == draw(7, 18) != draw(8, 18)
    assert list(draw(7, 18).lines()) == list(draw(7, 18).lines())


def test_every_kind_of_fault_is_drawn() -> None:
    steps = [step for seed in SEEDS for step in draw(seed, 18).steps]
    assert {step.kind for step in steps} == set(KINDS)
    assert {step.mode for step in steps} - {""} == set(LINK_MODES)


def test_every_fifth_seed_has_no_faults() -> None:
    assert not draw(WITHOUT * 3, 18).steps
    assert not draw(1, 18, faults=False).steps
    assert all(draw(seed, 18).steps for seed in SEEDS if seed % WITHOUT)


def test_extra_parts_of_the_specs_can_be_given() -> None:
    chosen = draw(1, 18, sidecar_spec={"sync__poll": "30ms"})
    assert chosen.sidecar_spec == {"sync__poll": "30ms"}


def test_losses_stay_within_what_a_quorum_can_bear() -> None:
    for seed in SEEDS:
        steps = draw(seed, 30).steps
        losses = [step for step in steps if step.kind in LOSSES]
        for three in combinations(losses, 3):
            assert not all(_near(one, other) for one, other in combinations(three, 2)), seed
        spoiled = (s for s in steps if s.kind in DOWN or s.kind.startswith("epoch"))
        assert not any(_near(loss, other) for other in spoiled for loss in losses), seed


def _near(one: Step, other: Step) -> bool:
    (a, b), (c, d) = ((s.at_ms, s.at_ms + s.lasts_ms) for s in (one, other))
    return a <= d and c <= b


def test_every_kind_can_be_done(tmp_path: object) -> None:
    options = replace(draw(1, 18), steps=())
    assert isinstance(options, Options)
    actor = Actor(Fleet(tmp_path, options), History(), print)  # type: ignore[arg-type]
    assert set(actor._deeds) == set(KINDS)


def test_a_step_says_what_it_is() -> None:
    said = str(Step(1200, "link", ("s1",), ("p1", "p2"), 300, "delay", 20))
    assert said.strip() == "1200 ms  link s1 -> p1+p2 delay 20 for 300 ms"
    assert schedule.OFFICE in str(Step(5, "epoch", ("office",)))
