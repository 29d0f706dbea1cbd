"""A policy and a route table as people write them, and what is wrong with a changed one."""

from pathlib import Path

import pytest

from sidecar.cli import source
from sidecar.cli.resource import ResourceError

POLICY = """\
apiVersion: epochgate.io/v1alpha1
kind: GatePolicy
metadata: {name: p}
spec:
  failurePolicy: Fail
  rules:
    - name: chat
      action: permit
      methods: [POST]
      paths: ["/v1/**"]
      headers: [{name: x-tier, value: "1"}]
      inFlight: cut
    - {name: rest, action: deny, paths: [/**]}
"""
ROUTES = """\
apiVersion: epochgate.io/v1alpha1
kind: RouteTable
metadata: {name: r}
spec:
  upstreams: {model: "127.0.0.1:8000", six: "[::1]:9"}
  routes: [{name: all, paths: [/**], upstream: model}]
  exempt: [{target: /health, upstream: six}]
"""


def found(file: Path, text: str, kind: str) -> list[str]:
    """Problems of a file, without its name; it must have some."""
    file.write_text(text)
    with pytest.raises(ResourceError) as caught:
        source.load(file, kind)
    return [str(problem).removeprefix(f"{file}:") for problem in caught.value.problems]
