"""What is different between two policies, as somebody who wrote them would say it.

Rules:

* Rules are the same rule when they have the same name. From one policy to the other: rules that are
  gone go, those that stay change, then change places, then new ones come. Each step is judged by
  itself, so what all steps together do is certain (`effect.py`).
* Nothing is passed over: a field that this file does not know is compared as it is, and its effect
  is `either`. Expressions are the same when the same code decides, whatever their text.

Source: conventions 5.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from math import inf
from typing import Any

import msgspec
from msgspec import UNSET

from sidecar.cli.workbench import effect
from sidecar.cli.workbench.effect import EITHER, LOOSENS, NONE, TIGHTENS, Effect, code_of
from sidecar.cli.workbench.spelling import differing, spelled
from sidecar.core.clauses import listed
from sidecar.core.policy_body import Body, BudgetsBody, ParentBody, RolloutBody, RuleBody

_Judge = Callable[[Any, Any], Effect]


@dataclass(frozen=True, slots=True)
class Change:
    """One difference.

    Attributes:
        where: Which part: `rule deny-lora: paths`.
        what: added, removed, changed or moved.
        before, after: As short text; of lists only what differs; empty: not there.
        effect: On verdicts.
    """

    where: str
    what: str
    before: str
    after: str
    effect: Effect


def compare(old: Body, new: Body) -> list[Change]:
    """Everything that is different: rules, then the rest."""
    return [
        *_rules(old.rules, new.rules),
        *_fields("", old, new, _OF_POLICY, ("rules", "budgets", "rollout", "variables")),
        *_variables(old, new),
        *_fields("budgets: ", _budgets(old), _budgets(new), _OF_BUDGETS),
        *_rollout(old, new),
    ]


def _rules(old: Sequence[RuleBody], new: Sequence[RuleBody]) -> Iterator[Change]:
    had = {rule.name: rule for rule in old}
    has = {rule.name: rule for rule in new}
    for index, rule in enumerate(old):
        if rule.name not in has:
            gone = effect.inverse(effect.of_adding(rule, old[index + 1 :]))
            yield Change(f"rule {rule.name}", "removed", spelled(rule), "", gone)
    stay = [rule.name for rule in old if rule.name in has]
    for index, name in enumerate(stay):
        later = [rules[after] for after in stay[index + 1 :] for rules in (had, has)]
        yield from _rule(had[name], has[name], later)
    yield from _moved(stay, [rule.name for rule in new if rule.name in had], has)
    for index, rule in enumerate(new):
        if rule.name not in had:
            come = effect.of_adding(rule, new[index + 1 :])
            yield Change(f"rule {rule.name}", "added", "", spelled(rule), come)


def _rule(old: RuleBody, new: RuleBody, later: Sequence[RuleBody]) -> Iterator[Change]:
    judges: dict[str, _Judge] = dict(_OF_RULE)
    for field in effect.TAKES:
        taking = effect.of_taking(field, old, new, later)
        judges[field] = partial(_always, taking)
    found = _fields(f"rule {old.name}: ", old, new, judges)
    if old.action == new.action:
        yield from found
        return
    # It decided the other way, so each of its fields means something else: as if it had gone and
    # another had come.
    gone = effect.inverse(effect.of_adding(old, later))
    whole = effect.together((gone, effect.of_adding(new, later)))
    yield from (replace(change, effect=whole) for change in found)


def _moved(
    before: Sequence[str], after: Sequence[str], rules: Mapping[str, RuleBody]
) -> Iterator[Change]:
    if list(before) == list(after):
        return
    place = {name: index for index, name in enumerate(after)}
    still = 0
    for one, two in combinations(before, 2):
        if place[one] < place[two]:
            continue
        found = effect.of_order(rules[one], rules[two])
        still += found is NONE
        if found is not NONE:
            yield Change("order", "moved", f"{one} before {two}", f"{two} before {one}", found)
    if still:
        yield Change("order", "moved", f"{still} pairs of rules that no verdict hangs on", "", NONE)


def _variables(old: Body, new: Body) -> Iterator[Change]:
    had = {one.name: one.expression for one in listed(old.variables)}
    has = {one.name: one.expression for one in listed(new.variables)}
    for name in {**had, **has}:
        before, after = had.get(name, UNSET), has.get(name, UNSET)
        if before == after:
            continue
        same = code_of(before) == code_of(after)
        # Not there on one side: then what uses it is different, too, and says what that does.
        told = NONE if same or before is UNSET or after is UNSET else EITHER
        yield _change(f"variable {name}", before, after, told)


def _rollout(old: Body, new: Body) -> Iterator[Change]:
    had, has = old.rollout, new.rollout
    if isinstance(had, RolloutBody) and isinstance(has, RolloutBody):
        if had.percent != has.percent:
            before, after = f"{had.percent}% of pods", f"{has.percent}% of pods"
            yield Change("rollout", "changed", before, after, _of_share(new, had, has))
        for change in compare(had.otherwise, has.otherwise):
            yield replace(change, where=f"the other pods: {change.where}")
    elif isinstance(has, RolloutBody):
        yield Change("rollout", "added", "", _shares(has), _of_otherwise(old, has))
    elif isinstance(had, RolloutBody):
        told = effect.inverse(_of_otherwise(new, had))
        yield Change("rollout", "removed", _shares(had), "", told)


def _of_otherwise(whole: Body, said: RolloutBody) -> Effect:
    """Of giving some pods another policy than `whole`."""
    return effect.together(change.effect for change in compare(whole, said.otherwise))


def _of_share(new: Body, had: RolloutBody, has: RolloutBody) -> Effect:
    """Of some pods that change from one half to the other."""
    whole = msgspec.structs.replace(new, rollout=UNSET)
    back = _of_otherwise(whole, has)
    return effect.inverse(back) if has.percent > had.percent else back


def _shares(said: RolloutBody) -> str:
    return f"{said.percent}% of pods; the others keep {said.otherwise.name}"


def _fields(
    where: str,
    old: msgspec.Struct,
    new: msgspec.Struct,
    judges: Mapping[str, _Judge],
    leave: Sequence[str] = (),
) -> Iterator[Change]:
    """The fields of two structs of one kind that differ."""
    for field in old.__struct_fields__:
        before, after = getattr(old, field), getattr(new, field)
        if field in leave or before == after:
            continue
        yield _change(f"{where}{field}", before, after, judges.get(field, _either)(before, after))


def _change(where: str, before: object, after: object, told: Effect) -> Change:
    what = "added" if before is UNSET else "removed" if after is UNSET else "changed"
    return Change(where, what, *differing(before, after), told)


def _budgets(said: Body) -> BudgetsBody:
    return said.budgets if isinstance(said.budgets, BudgetsBody) else BudgetsBody()


def _always(told: Effect, *_: object) -> Effect:
    return told


_none = partial(_always, NONE)
_either = partial(_always, EITHER)


def _of_most(old: object, new: object) -> Effect:
    """Of a bound from above; absent: none."""
    return effect.of_most(
        old if isinstance(old, int) else inf, new if isinstance(new, int) else inf
    )


def _of_least(old: object, new: object) -> Effect:
    """Of a bound from below; absent: none."""
    return effect.inverse(
        effect.of_most(old if isinstance(old, int) else 0, new if isinstance(new, int) else 0)
    )


def _of_only(old: object, new: object) -> Effect:
    """Of a list of what is served; absent: everything."""
    if not isinstance(old, tuple):
        return TIGHTENS
    if not isinstance(new, tuple):
        return LOOSENS
    return effect.of_size({*old} <= {*new}, {*old} >= {*new})


def _of_parent(old: object, new: object) -> Effect:
    if not isinstance(old, ParentBody):
        return TIGHTENS
    if not isinstance(new, ParentBody):
        return LOOSENS
    asked = effect.of_most(new.required, old.required)
    return effect.together((asked, effect.of_most(old.max_age_ms, new.max_age_ms)))


_OF_POLICY: Mapping[str, _Judge] = {
    "annotations": _none,
    "audit": _none,
    "mode": lambda _, new: TIGHTENS if new is UNSET else LOOSENS,
    "name": _none,
    "parent": _of_parent,
    "validations": effect.of_validations,
}
_OF_RULE: Mapping[str, _Judge] = {
    "in_flight": effect.of_in_flight,
    "validations": effect.of_validations,
}
_OF_BUDGETS: Mapping[str, _Judge] = {
    "max_age_ms": _of_most,
    "max_audit_lag_ms": _of_most,
    "min_quorum": _of_least,
    "models": _of_only,
    "regions": _of_only,
    "tenants": _of_only,
}
