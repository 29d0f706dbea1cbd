"""Every check there is, in the order in which they are run.

`ON_DEPLOYMENT` bring faults into a deployment of our own; `ON_VIEW` only look, at any sidecar.
"""

from typing import Any

from sidecar.cli.conformance.check import Check
from sidecar.cli.conformance.checks import (
    continuity,
    coordination,
    distributed,
    evidence,
    governing,
    journal,
    looking,
    profiles,
    runtime,
    telemetry,
    tracing,
    trust,
)
from sidecar.cli.conformance.deployment import Deployment
from sidecar.cli.conformance.view import View

ON_VIEW: tuple[Check[View], ...] = (*looking.STATUS, *looking.REQUESTS, *looking.LOG)

ON_DEPLOYMENT: tuple[Check[Deployment], ...] = (
    *tracing.CHECKS,
    *evidence.CHECKS,
    *continuity.CHECKS,
    *coordination.CHECKS,
    *distributed.CHECKS,
    *telemetry.CHECKS,
    *runtime.CHECKS,
    *journal.CHECKS,
    *trust.CHECKS,
    *governing.CHECKS,
    *profiles.CHECKS,
)

EVERY: tuple[Check[Any], ...] = (*ON_DEPLOYMENT, *ON_VIEW)


def possible(view: View) -> tuple[Check[View], ...]:
    """Checks for which enough is known of a sidecar."""
    return (
        *looking.STATUS,
        *(looking.REQUESTS if view.inbound else ()),
        *(looking.LOG if view.journal is not None else ()),
    )
