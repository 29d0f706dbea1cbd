"""What an epoch says apart from its number and its times: read back as a plan, and compared.

Rules:

* `again` and `changes` know every field of `EpochPlan`. A demand that one of them did not know
  would be dropped, or would differ, without a word; tests hold both to the list of fields.
* A change is called looser where that is certain: a demand that is gone or wider, somebody new in a
  scope, an end to enforcement. Which of two policies or route tables is, nobody here says.

Source: protocol b.1 (epoch), b.3 step 6.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sidecar.authority.plan import EpochPlan
from sidecar.config import units
from sidecar.core import canonical, policy, profile, routes
from sidecar.core.objects.epoch import Predicate
from sidecar.core.profile import BASELINE

SHORT = 16  # digits of a digest: enough to tell bundles apart


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that two plans say differently.

    Attributes:
        what: Its name, for people.
        before: As it was; None: it was not there.
        after: As it is to be; None: it goes.
        looser: Whether more is let through, or less is demanded, than before.
    """

    what: str
    before: str | None
    after: str | None
    looser: bool = False


def again(
    says: Predicate, policy_raw: bytes, routes_raw: bytes, profile_raw: bytes | None = None
) -> EpochPlan:
    """The plan that says what an epoch says, with a life as long as its own, counted from now.

    Args:
        says: What the epoch says.
        policy_raw: The policy bundle that it names.
        routes_raw: The route table that it names.
        profile_raw: Its profile; None: the one that is built in.
    """
    return EpochPlan(
        policy=policy_raw,
        routes=routes_raw,
        profile=profile_raw,
        life_ms=says.not_after - says.issued_at,
        activation=says.activation.mode,
        services=says.scope.services,
        regions=says.scope.regions,
        tenants=says.scope.tenants,
        enforcement=says.enforcement,
        runtime=says.runtime,
        instances=says.scope.instances,
        max_unacked_ms=says.telemetry.max_unacked_ms,
        max_diverged=says.telemetry.max_diverged,
        max_checkpoint_age_ms=says.audit.max_checkpoint_age_ms,
        max_audit_unacked_ms=says.audit.max_unacked_ms,
    )


def changes(before: EpochPlan, after: EpochPlan) -> list[Change]:
    """Everything that differs, apart from the reason; what is taken away last.

    Raises:
        ProtocolError: a policy, route table or profile does not compile.
    """
    found = [
        Change(term.what, term.show(old), term.show(new), term.looser(old, new))
        for term in _TERMS
        if (old := term.of(before)) != (new := term.of(after))
    ]
    return [
        *found,
        *_file_changes(before.runtime.model_digests, after.runtime.model_digests),
        *(Change("takes away", name, None) for name in after.removes),
    ]


@dataclass(frozen=True, slots=True)
class _Term:
    what: str
    of: Callable[[EpochPlan], Any]
    show: Callable[[Any], str]
    looser: Callable[[Any, Any], bool]


def _file_changes(before: dict[str, str], after: dict[str, str]) -> list[Change]:
    return [
        Change(f"file {name}", before.get(name), after.get(name), looser=name not in after)
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name)
    ]


def _unknown(_before: object, _after: object) -> bool:
    return False


def _wider(before: Sequence[str], after: Sequence[str]) -> bool:
    return bool(before) and (not after or not set(after) <= set(before))


def _later(before_ms: int, after_ms: int) -> bool:
    return bool(before_ms) and (not after_ms or after_ms > before_ms)


def _more(before: int | None, after: int | None) -> bool:
    return before is not None and (after is None or after > before)


def _names(empty: str) -> Callable[[Sequence[str]], str]:
    return lambda names: ", ".join(names) or empty


def _digests(found: Sequence[str]) -> str:
    return " or ".join(found) or "any"


def _limit(value_ms: int) -> str:
    return units.show_duration(value_ms) if value_ms else "no limit"


def _count(value: int | None) -> str:
    return "no limit" if value is None else str(value)


def _policy(raw: bytes) -> str:
    return f"{policy.parse(raw).name} {canonical.digest(raw)[:SHORT]}"


def _routes(raw: bytes) -> str:
    return f"{routes.parse(raw).name} {canonical.digest(raw)[:SHORT]}"


def _profile(raw: bytes | None) -> str:
    if raw is None:
        return BASELINE.name
    return f"{profile.parse(raw).name} {canonical.digest(raw)[:SHORT]}"


def _demands_less(before: bytes | None, after: bytes | None) -> bool:
    old, new = (BASELINE if raw is None else profile.parse(raw) for raw in (before, after))
    return profile.looser(old, new)


def _term(
    what: str,
    of: Callable[[EpochPlan], Any],
    show: Callable[[Any], str] = str,
    looser: Callable[[Any, Any], bool] = _unknown,
) -> _Term:
    return _Term(what, of, show, looser)


_TERMS = (
    _term("policy", lambda plan: plan.policy, _policy),
    _term("routes", lambda plan: plan.routes, _routes),
    _term("profile", lambda plan: plan.profile, _profile, _demands_less),
    _term("enforcement", lambda plan: plan.enforcement, looser=lambda _, new: new == "observe"),
    _term("services", lambda plan: plan.services, _names("all"), _wider),
    _term("regions", lambda plan: plan.regions, _names("all"), _wider),
    _term("tenants", lambda plan: plan.tenants, _names("all"), _wider),
    _term("instances", lambda plan: plan.instances, _names("open"), _wider),
    _term("code", lambda plan: plan.runtime.code_sha256, _digests, _wider),
    _term("image", lambda plan: plan.runtime.image_digests, _digests, _wider),
    _term("configuration", lambda plan: plan.runtime.config_sha256, _digests, _wider),
    _term("max unacked", lambda plan: plan.max_unacked_ms, _limit, _later),
    _term("max diverged", lambda plan: plan.max_diverged, _count, _more),
    _term("log unsigned", lambda plan: plan.max_checkpoint_age_ms, _limit, _later),
    _term("log unacked", lambda plan: plan.max_audit_unacked_ms, _limit, _later),
    _term("life", lambda plan: plan.life_ms, units.show_duration, _later),
    _term(
        "activation", lambda plan: plan.activation,
        looser=lambda old, _: old == "immediate",
    ),
)  # fmt: skip
