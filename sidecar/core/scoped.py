"""Orders that stop a part: which sidecars, and which requests of a sidecar that goes on.

Rules:

* Only `global` and a matching `service` or `instance` stop a whole sidecar; one that does not know
  its own name is meant by every name. `route`, `model` and `tenant` stop the requests that match.
* Stopping more than was asked is the safe misunderstanding. A scope that should name something and
  names nothing stops everything. A request whose model or tenant cannot be told with certainty is
  taken for one that is named.
* Model and tenant come from the headers that the signed route table declares, and are compared byte
  for byte (`head.one_value`). Where the policy has the body read, it counts as well: a model that
  either names is named (`head.model_of`).
* The tenants that an epoch is for, and the tenants and models in the budgets of its policy, are
  judged likewise: who is not certainly one of them is denied. Both say something: both must hold.

Everything slow happens when orders or epoch change; the hot path looks a name up in a set.

Source: protocol b.4, b.10.
"""

from dataclasses import dataclass
from typing import Literal, assert_never

from msgspec import UNSET

from sidecar.core.head import RequestHead, model_of, one_value
from sidecar.core.objects.epoch import Epoch
from sidecar.core.objects.halt import Halts, Scope
from sidecar.core.policy import Policy
from sidecar.core.reason import Reason
from sidecar.core.routes import Routes


@dataclass(frozen=True, slots=True)
class Scoped:
    """What some requests are denied for, compiled.

    Attributes:
        routes: Names of halted routes.
        models: Halted models.
        tenants: Halted tenants.
        served: Tenants that epoch and policy are for; None: everybody, empty: nobody.
        offered: Models that the policy is for; likewise.
    """

    routes: frozenset[str] = frozenset()
    models: frozenset[bytes] = frozenset()
    tenants: frozenset[bytes] = frozenset()
    served: frozenset[bytes] | None = None
    offered: frozenset[bytes] | None = None

    def forbids(self, table: Routes, route: str, head: RequestHead) -> Reason | None:
        """Why this request must not pass, or None.

        Args:
            table: The route table in force: says which headers to look at.
            route: Name of the route that the request takes.
            head: The request.
        """
        if route in self.routes:
            return Reason.HALT_SCOPED
        if self.models or self.offered is not None:
            model = model_of(head, table.model_header) or None
            wrong = _judged(model, self.models, self.offered)
            if wrong is not None:
                return wrong
        if self.tenants or self.served is not None:
            tenant = _value(head, table.tenant_header)
            return _judged(tenant, self.tenants, self.served)
        return None


NOTHING = Scoped()


def stops(scope: Scope, service: str, instance: str) -> Reason | None:
    """Why an active halt stops this whole sidecar, or None: it does not.

    Args:
        scope: Of the halt.
        service: The service behind, as epochs name it; empty: unknown.
        instance: Name of this sidecar; empty: unknown.
    """
    match scope.kind:
        case "drill":
            return None
        case "global":
            return Reason.HALT_GLOBAL
        case "service":
            meant = scope.value in ("", service) or not service
        case "instance":
            meant = scope.value in ("", instance) or not instance
        case "route" | "model" | "tenant":
            meant = not scope.value
        case _:  # pragma: no cover
            assert_never(scope.kind)
    return Reason.HALT_SCOPED if meant else None


def compiled(
    halts: Halts, epoch: Epoch | None, policy: Policy, before: Scoped | None
) -> Scoped | None:
    """What some requests are to be denied for; None, the usual case: nothing.

    Args:
        halts: Every order known.
        epoch: The one in force, or None.
        policy: Likewise; its budgets may name models and tenants.
        before: What the last call said: returned again as long as nothing has changed, so that
            running exchanges are judged again only when something has.
    """
    served = () if epoch is None else epoch.says.scope.tenants
    scopes = [order.says.scope for order in halts.active]
    found = Scoped(
        routes=frozenset(scope.value for scope in scopes if scope.kind == "route"),
        models=frozenset(scope.value.encode() for scope in scopes if scope.kind == "model"),
        tenants=frozenset(scope.value.encode() for scope in scopes if scope.kind == "tenant"),
        served=_both(_named(served), _budget(policy, "tenants")),
        offered=_budget(policy, "models"),
    )
    if found == NOTHING:
        return None
    return before if found == before else found


def unenforceable(epoch: Epoch, policy: Policy, table: Routes) -> Reason | None:
    """Why the epoch cannot be served with its route table, or None.

    What is for some tenants or models only needs a table that says where that of a request stands;
    the model may stand in its body.
    """
    tenants = epoch.says.scope.tenants or _budget(policy, "tenants") is not None
    if tenants and table.tenant_header is None:
        return Reason.PROFILE_UNSUPPORTED
    read = table.model_header is not None or policy.model_max_bytes
    if _budget(policy, "models") is not None and not read:
        return Reason.PROFILE_UNSUPPORTED
    return None


def _judged(
    value: bytes | None, halted: frozenset[bytes], served: frozenset[bytes] | None
) -> Reason | None:
    if halted and (value is None or value in halted):
        return Reason.HALT_SCOPED
    return Reason.POLICY_DENY if served is not None and value not in served else None


def _budget(policy: Policy, kind: Literal["models", "tenants"]) -> frozenset[bytes] | None:
    said = getattr(policy.budgets, kind, UNSET)
    return _named(said) if isinstance(said, tuple) else None


def _named(names: tuple[str, ...]) -> frozenset[bytes] | None:
    """A list of a signed object; without an entry it is for everybody."""
    return frozenset(name.encode() for name in names) if names else None


def _both(one: frozenset[bytes] | None, two: frozenset[bytes] | None) -> frozenset[bytes] | None:
    if one is None or two is None:
        return two if one is None else one
    return one & two


def _value(head: RequestHead, name: bytes | None) -> bytes | None:
    return None if name is None else one_value(head.headers, name)
