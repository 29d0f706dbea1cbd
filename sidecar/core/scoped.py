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
* The tenants that an epoch is for are judged likewise: who is not certainly one of them is denied.

Everything slow happens when orders or epoch change; the hot path looks a name up in a set.

Source: protocol b.4, b.10.
"""

from dataclasses import dataclass
from typing import assert_never

from sidecar.core.head import RequestHead, model_of, one_value
from sidecar.core.objects.epoch import Epoch
from sidecar.core.objects.halt import Halts, Scope
from sidecar.core.reason import Reason
from sidecar.core.routes import Routes


@dataclass(frozen=True, slots=True)
class Scoped:
    """What some requests are denied for, compiled.

    Attributes:
        routes: Names of halted routes.
        models: Halted models.
        tenants: Halted tenants.
        served: Tenants that the epoch is for; none: everybody.
    """

    routes: frozenset[str] = frozenset()
    models: frozenset[bytes] = frozenset()
    tenants: frozenset[bytes] = frozenset()
    served: frozenset[bytes] = frozenset()

    def forbids(self, table: Routes, route: str, head: RequestHead) -> Reason | None:
        """Why this request must not pass, or None.

        Args:
            table: The route table in force: says which headers to look at.
            route: Name of the route that the request takes.
            head: The request.
        """
        if route in self.routes:
            return Reason.HALT_SCOPED
        if self.models:
            model = model_of(head, table.model_header)
            if not model or model in self.models:
                return Reason.HALT_SCOPED
        if self.tenants or self.served:
            tenant = _value(head, table.tenant_header)
            if self.tenants and (tenant is None or tenant in self.tenants):
                return Reason.HALT_SCOPED
            if self.served and tenant not in self.served:
                return Reason.POLICY_DENY
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


def compiled(halts: Halts, epoch: Epoch | None, before: Scoped | None) -> Scoped | None:
    """What some requests are to be denied for; None, the usual case: nothing.

    Args:
        halts: Every order known.
        epoch: The one in force, or None.
        before: What the last call said: returned again as long as nothing has changed, so that
            running exchanges are judged again only when something has.
    """
    scopes = [order.says.scope for order in halts.active]
    found = Scoped(
        routes=frozenset(scope.value for scope in scopes if scope.kind == "route"),
        models=frozenset(scope.value.encode() for scope in scopes if scope.kind == "model"),
        tenants=frozenset(scope.value.encode() for scope in scopes if scope.kind == "tenant"),
        served=frozenset(name.encode() for name in epoch.says.scope.tenants)
        if epoch is not None
        else frozenset(),
    )
    if found == NOTHING:
        return None
    return before if found == before else found


def unenforceable(epoch: Epoch, table: Routes) -> Reason | None:
    """Why the epoch cannot be served with its route table, or None.

    An epoch for some tenants only needs a table that says where the tenant of a request stands.
    """
    if epoch.says.scope.tenants and table.tenant_header is None:
        return Reason.PROFILE_UNSUPPORTED
    return None


def _value(head: RequestHead, name: bytes | None) -> bytes | None:
    return None if name is None else one_value(head.headers, name)
