"""Every check there is, in the order in which they are run.

`ON_DEPLOYMENT` bring faults into a deployment of our own; `ON_VIEW` only look, at any sidecar.
"""

from sidecar.cli.conformance.check import Check
from sidecar.cli.conformance.checks import (
    continuity,
    coordination,
    distributed,
    journal,
    looking,
    runtime,
    telemetry,
    tracing,
)
from sidecar.cli.conformance.deployment import Deployment
from sidecar.cli.conformance.view import View

ON_VIEW: tuple[Check[View], ...] = looking.CHECKS

ON_DEPLOYMENT: tuple[Check[Deployment], ...] = (
    *tracing.CHECKS,
    *continuity.CHECKS,
    *coordination.CHECKS,
    *distributed.CHECKS,
    *telemetry.CHECKS,
    *runtime.CHECKS,
    *journal.CHECKS,
)
