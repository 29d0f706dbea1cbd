"""`epochgate epoch rollback`: issue what an earlier epoch said, as the next one.

Numbers only grow: nothing is taken back. What the epochs since then listed and the earlier one did
not is named in the new one's `removes` without being asked for, and shown.
"""

import dataclasses

import click

from sidecar.authority import ceremony, rollout, terms
from sidecar.authority.ceremony import CeremonyError
from sidecar.authority.plan import EpochPlan
from sidecar.authority.rollout import HISTORY_MAX
from sidecar.cli.issuing import Before, Desk, carry_out, desk_options
from sidecar.cli.peers import DURATION
from sidecar.core.objects.epoch import Epoch, Predicate

EXAMPLE = """\b
Example:
  epochgate epoch rollback --config authority.yaml --dry-run
  epochgate epoch rollback --config authority.yaml --watch --reason "incident 7" \\
    --key keys/epoch-1.key --key keys/epoch-2.key
  epochgate epoch rollback --config authority.yaml --to 12 --watch --key ... --key ...
"""


@click.command(epilog=EXAMPLE)
@desk_options
@click.option("--to", "number", type=click.IntRange(1), metavar="N",
              show_default="the newest that says something else",
              help="Number of the epoch.")  # fmt: skip
@click.option("--not-after", "life_ms", type=DURATION, show_default="as long as that one's",
              help="Life from now.")  # fmt: skip
@click.option("--reason", default="", help="Why, for people; signed.")
def rollback(*, desk: Desk, number: int | None, life_ms: int | None, reason: str) -> None:
    """Sign an epoch that says what an earlier one said, and put it on the peers.

    Policy, routes, scope and demands are those of epoch N; it takes the next number. What that
    changes is shown before it is signed. Look first: epochgate epoch history.
    """

    async def planned(before: Before) -> EpochPlan:
        target = await _target(before, number)
        blobs = await rollout.blobs(before.peers, before.under, target)
        profile = await rollout.profile(before.peers, before.under, target)
        plan = dataclasses.replace(
            _again(target, blobs, profile), reason=reason or f"rollback to epoch {target.seq}"
        )
        if life_ms is not None:
            plan = dataclasses.replace(plan, life_ms=life_ms)
        assert before.newest is not None, "it has a target"
        return dataclasses.replace(
            plan, removes=ceremony.removed(plan, before.newest, before.blobs)
        )

    carry_out(desk, planned)


async def _target(before: Before, number: int | None) -> Epoch:
    newest = before.newest
    if newest is None:
        raise CeremonyError("none on the peers, so there is nothing to go back to")
    if number is not None and number >= newest.seq:
        raise CeremonyError(f"--to {number}: must be an earlier one; the newest is {newest.seq}")
    limit = HISTORY_MAX if number is None else newest.seq - number + 1
    chain = await rollout.history(before.peers, before.under, newest, before.now, limit)
    wanted = [
        one for one in chain[1:]
        if (_terms(one.says) != _terms(newest.says) if number is None else one.seq == number)
    ]  # fmt: skip
    if wanted:
        return wanted[0]
    last = chain[-1].seq
    if number is None and last == 1:
        raise CeremonyError(f"no epoch before {newest.seq} says anything else")
    raise CeremonyError(
        f"the peers hold the chain back to epoch {last} only; issue its files anew: epochgate "
        "epoch issue --policy FILE --routes FILE"
    )


def _again(
    target: Epoch, blobs: tuple[bytes | None, bytes | None], profile: bytes | None
) -> EpochPlan:
    policy, routes = blobs
    if policy is None or routes is None:
        refs = (("policy", policy, target.says.policy), ("routes", routes, target.says.routes))
        gone = " and ".join(f"{name} sha256:{ref.sha256}" for name, raw, ref in refs if raw is None)
        raise CeremonyError(
            f"no peer holds what epoch {target.seq} names: {gone}; put it back from the file that "
            "it was made of (epochgate policy publish FILE), then run this again"
        )
    return terms.again(target.says, policy, routes, profile)


def _terms(says: Predicate) -> object:
    # With nothing in the place of the blobs: their digests say the same. A longer life is not
    # something else.
    plan = dataclasses.replace(terms.again(says, b"", b""), life_ms=0)
    return plan, says.policy.sha256, says.routes.sha256, says.profile.sha256
