"""The names that expressions of a policy can use, and their kinds. All of them always have a value.

Policies add `variables.NAME`. What stands behind each name is said in policies/EXPRESSIONS.md.
"""

from collections.abc import Mapping
from types import MappingProxyType

from sidecar.core.expression.kind import DURATION, INT, STRING, TIMESTAMP, Type, map_of

VARIABLES = "variables."

DECLARED: Mapping[str, Type] = MappingProxyType(
    {
        "request.method": STRING,
        "request.path": STRING,
        "request.query": STRING,
        "request.host": STRING,
        "request.headers": map_of(STRING, STRING),
        "request.model": STRING,
        "request.tenant": STRING,
        "request.agent": STRING,
        "request.parent": STRING,
        "epoch.seq": INT,
        "epoch.age": DURATION,
        "epoch.domain": STRING,
        "lease.remaining": DURATION,
        "lease.age": DURATION,
        "lease.quorum": INT,
        "lease.anchor": STRING,
        "workload.service": STRING,
        "workload.region": STRING,
        "workload.instance": STRING,
        "now": TIMESTAMP,
    }
)
