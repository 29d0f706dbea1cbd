"""What the next epoch shall say, before anything is signed."""

from dataclasses import dataclass
from typing import Literal

from sidecar.core import profile
from sidecar.core.objects.epoch import NO_DEMANDS, Runtime
from sidecar.core.profile import BASELINE, Profile


@dataclass(frozen=True, slots=True)
class EpochPlan:
    """What the next epoch shall say.

    Attributes:
        policy: Canonical policy bundle.
        routes: Canonical route table.
        profile: Canonical profile; None: the one that demands nothing.
        life_ms: From now until it ends.
        activation: When the epoch before ends.
        services: Services it is for; none: all.
        regions: Regions it is for; none: all.
        tenants: Tenants it is for; none: all. The route table has to say where the tenant stands.
        enforcement: `observe`: what the policy does not permit is let through, and recorded.
        runtime: Digests that sidecars have to find; none: anything may run.
        instances: Ids of instance keys, a closed roster; none: it is open.
        max_unacked_ms: How long reports may go unacknowledged; 0 demands nothing.
        max_diverged: How many instances may hold another state; None demands nothing.
        max_checkpoint_age_ms: How long a record of an audit log may go without a signed checkpoint
            over it; 0 demands nothing.
        max_audit_unacked_ms: The same, without one that enough witnesses have cosigned.
        removes: What the epoch before listed and this one does not: service:NAME, route:NAME,
            policy:NAME.
        reason: Why, for people.
    """

    policy: bytes
    routes: bytes
    life_ms: int
    profile: bytes | None = None
    activation: Literal["lease", "immediate"] = "lease"
    services: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    tenants: tuple[str, ...] = ()
    enforcement: Literal["enforce", "observe"] = "enforce"
    runtime: Runtime = NO_DEMANDS
    instances: tuple[str, ...] = ()
    max_unacked_ms: int = 0
    max_diverged: int | None = None
    max_checkpoint_age_ms: int = 0
    max_audit_unacked_ms: int = 0
    removes: tuple[str, ...] = ()
    reason: str = ""

    @property
    def compiled_profile(self) -> Profile:
        """What the profile demands.

        Raises:
            ProtocolError: PROFILE_UNSUPPORTED: nobody would accept it.
        """
        return BASELINE if self.profile is None else profile.parse(self.profile)

    @property
    def blobs(self) -> tuple[bytes, ...]:
        """What the epoch names, in the order of `epoch.blobs`."""
        named = (self.policy, self.routes)
        return named if self.profile is None else (*named, self.profile)
