"""Configuration files for tests."""

from pathlib import Path

SIDECAR = """\
apiVersion: epochgate.io/v1alpha1
kind: SidecarConfig
metadata: {name: test}
spec:
  service: chat
  region: eu-1
  trust: {file: trust.json}
  state: {dir: state}
  listen: {inbound: "127.0.0.1:17001"}
  sync:
    peers:
      - {id: r1, url: "redis://127.0.0.1:6379/0"}
      - {id: r2, url: "redis://127.0.0.1:6380"}
      - {id: r3, url: "redis://ops@[::1]:6381/2"}
    quorum: 2
    ttl: 4s
    skew: 500ms
    drift: 2000ppm
"""

AUTHORITY = """\
apiVersion: epochgate.io/v1alpha1
kind: AuthorityConfig
spec:
  trust: {file: /etc/epochgate/trust.json}
  state: {dir: state}
  keys: {beat: beat.key}
  peers:
    - {id: r1, url: "redis://127.0.0.1:6379"}
    - {id: r2, url: "redis://127.0.0.1:6380"}
    - {id: r3, url: "redis://127.0.0.1:6381"}
  beat: {ttl: 4s}
"""


def write(folder: Path, text: str) -> Path:
    """The text as a file."""
    path = folder / "config.yaml"
    path.write_text(text, "utf-8")
    return path
