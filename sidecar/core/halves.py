"""Which half of a rollout an instance takes.

Rules:

* By the key of the instance and the name of the policy, and by nothing else: an instance stays in
  its half over restarts, one that has the policy at 10 % has it at 20 %, and nobody chooses.
* An instance that does not know its key takes the policy itself, not what stands there for others.

Source: conventions 5.
"""

import hashlib

from msgspec import UNSET, UnsetType

from sidecar.core.facts import Workload
from sidecar.core.log.record import Half
from sidecar.core.policy_body import RolloutBody

SHARES = 10_000  # hundredths of a percent
_DOMAIN = b"epochgate/rollout/v1\n"


def share(policy: str, key_id: str) -> int:
    """Where an instance stands in the rollouts of a policy: 0 to 9999, in hundredths of a percent.

    Args:
        policy: Its name.
        key_id: Of the key of the instance.
    """
    digest = hashlib.sha256(_DOMAIN + policy.encode() + b"\n" + key_id.encode()).digest()
    return int.from_bytes(digest[:8], "big") % SHARES


def half(policy: str, said: RolloutBody | UnsetType, here: Workload) -> Half | None:
    """Which half is in force; None: the policy has no rollout.

    Args:
        policy: Its name.
        said: Its rollout.
        here: The instance.
    """
    if said is UNSET:
        return None
    if not here.key_id:
        return "within"
    return "within" if share(policy, here.key_id) < said.percent * SHARES // 100 else "otherwise"
