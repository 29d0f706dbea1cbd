"""What a change of rules does to verdicts: it loosens, it tightens, it may do either, or nothing.

Rules:

* `loosens` promises that nothing which was permitted is denied now, `tightens` that nothing which
  was denied is permitted now; whoever cannot promise says `either`.
* A rule that permits is *picky* when it has conditions or validations: it may also deny (a
  condition that fails, a validation that is false). So it can take a request from a later rule that
  would have permitted it.
* What no later rule could permit is denied without the rule that denies it, too: such a rule only
  gives the denial a name.

Source: core/policy (order, errors); conventions 5.
"""

from collections.abc import Iterable, Sequence
from enum import Enum

from msgspec import UNSET, UnsetType

from sidecar.cli.workbench.overlap import covers, meet
from sidecar.core.clauses import listed
from sidecar.core.policy_body import DrainBody, ExpressionBody, RuleBody, ValidationBody


class Effect(Enum):
    """On verdicts."""

    NONE = "none"
    LOOSENS = "loosens"
    TIGHTENS = "tightens"
    EITHER = "either"


NONE, LOOSENS, TIGHTENS, EITHER = Effect
_INVERSE = {NONE: NONE, LOOSENS: TIGHTENS, TIGHTENS: LOOSENS, EITHER: EITHER}


def together(effects: Iterable[Effect]) -> Effect:
    """Of several changes."""
    found = {*effects} - {NONE}
    if not found:
        return NONE
    return found.pop() if len(found) == 1 else EITHER


def inverse(effect: Effect) -> Effect:
    """Of the change back."""
    return _INVERSE[effect]


def of_adding(rule: RuleBody, later: Sequence[RuleBody]) -> Effect:
    """Of a rule that is new; `later`: the rules after it."""
    contested = _permitted_by(later, rule)
    if rule.action == "deny":
        return TIGHTENS if contested else NONE
    return EITHER if _picky(rule) and contested else LOOSENS


def of_order(first: RuleBody, second: RuleBody) -> Effect:
    """Of two rules that have changed places; `first` was the first of them."""
    if not meet(first, second):
        return NONE
    if first.action != second.action:
        return LOOSENS if first.action == "deny" else TIGHTENS
    if first.action == "deny":
        return NONE
    return EITHER if _picky(first) or _picky(second) else NONE


def of_taking(field: str, old: RuleBody, new: RuleBody, later: Sequence[RuleBody]) -> Effect:
    """Of one of the fields that say what a rule takes (`TAKES`). The action is the same."""
    takes = TAKES[field](old, new)
    contested = _permitted_by(later, old, new)
    if old.action == "deny":
        return inverse(takes) if contested else NONE
    picky = _picky(old) or _picky(new)
    return EITHER if takes is not NONE and picky and contested else takes


def of_validations(
    old: tuple[ValidationBody, ...] | UnsetType, new: tuple[ValidationBody, ...] | UnsetType
) -> Effect:
    """All have to be true: more of them tighten."""
    had = {code_of(one.expression) for one in listed(old)}
    has = {code_of(one.expression) for one in listed(new)}
    return of_size(had >= has, had <= has)


def of_in_flight(old: DrainBody | str, new: DrainBody | str) -> Effect:
    """What runs may go on for longer, or for less."""
    return of_most(_drain_ms(old), _drain_ms(new))


def of_most(old: float, new: float) -> Effect:
    """Of a number that permits more, the larger it is."""
    return NONE if old == new else LOOSENS if new > old else TIGHTENS


def code_of(said: ExpressionBody | UnsetType) -> str:
    """What decides; the text of an expression is for people."""
    return "" if said is UNSET else str(said.code)


def of_size(wider: bool, narrower: bool) -> Effect:  # noqa: FBT001
    """Of a set that requests have to be in: whether it holds the old one, and is held by it."""
    if wider and narrower:
        return NONE
    return LOOSENS if wider else TIGHTENS if narrower else EITHER


def _methods(old: RuleBody, new: RuleBody) -> Effect:
    had, has = {*old.methods}, {*new.methods}
    return of_size(not has or (bool(had) and had <= has), not had or (bool(has) and has <= had))


def _paths(old: RuleBody, new: RuleBody) -> Effect:
    return of_size(covers(new.paths, old.paths), covers(old.paths, new.paths))


def _headers(old: RuleBody, new: RuleBody) -> Effect:
    return of_size({*old.headers} >= {*new.headers}, {*old.headers} <= {*new.headers})


def _conditions(old: RuleBody, new: RuleBody) -> Effect:
    had = [code_of(one.expression) for one in listed(old.conditions)]
    has = [code_of(one.expression) for one in listed(new.conditions)]
    if had == has:
        return NONE
    # Of a rule that denies, one that fails denies: what stands before it makes a difference.
    wider, narrower = had[: len(has)] == has, has[: len(had)] == had
    if old.action == "permit":
        wider, narrower = {*had} >= {*has}, {*had} <= {*has}
    return EITHER if wider is narrower else LOOSENS if wider else TIGHTENS


TAKES = {"methods": _methods, "paths": _paths, "headers": _headers, "conditions": _conditions}


def _picky(rule: RuleBody) -> bool:
    return bool(listed(rule.conditions) or listed(rule.validations))


def _permitted_by(later: Sequence[RuleBody], *rules: RuleBody) -> bool:
    return any(one.action == "permit" and any(meet(one, rule) for rule in rules) for one in later)


def _drain_ms(said: DrainBody | str) -> int:
    return said.drain_ms if isinstance(said, DrainBody) else 0
