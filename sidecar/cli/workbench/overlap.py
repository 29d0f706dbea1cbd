"""Whether one request can meet two rules, and whether one rule takes all that another takes.

Sound in one direction each: `meet` says no, and `covers` says yes, only when that is certain.
Headers and expressions are not looked at.

Source: core/paths.
"""

from collections.abc import Sequence

from sidecar.core.paths import plain
from sidecar.core.policy_body import RuleBody

ONE, REST = "*", "**"


def meet(one: RuleBody, two: RuleBody) -> bool:
    """Whether a method and a path exist that both rules take."""
    methods = not one.methods or not two.methods or bool({*one.methods} & {*two.methods})
    return methods and any(_overlap(left, right) for left in one.paths for right in two.paths)


def covers(wide: Sequence[str], narrow: Sequence[str]) -> bool:
    """Whether each path that a pattern of `narrow` matches is matched by one of `wide`."""
    return all(any(_covers(outer, inner) for outer in wide) for inner in narrow)


def _overlap(left: str, right: str) -> bool:
    if left == right:
        return True
    if not (_matchable(left) and _matchable(right)):
        return False
    for one, two in zip(left.split("/")[1:], right.split("/")[1:], strict=False):
        if REST in (one, two):
            return True
        if not (one == two or (one == ONE and two) or (two == ONE and one)):
            return False
    return left.count("/") == right.count("/")


def _covers(outer: str, inner: str) -> bool:
    if outer == inner:
        return True
    if not _matchable(inner):
        return False
    for wide, narrow in zip(outer.split("/")[1:], inner.split("/")[1:], strict=False):
        if wide == REST:
            return True
        if narrow == REST or not (wide == narrow or (wide == ONE and narrow)):
            return False
    return outer.count("/") == inner.count("/")


def _matchable(pattern: str) -> bool:
    """Whether a wildcard can take what the pattern takes: plain paths only."""
    return plain(pattern.encode())
