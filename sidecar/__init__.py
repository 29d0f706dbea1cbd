"""Epochgate: forward a request only while the governance authority still vouches for this pod.

`sidecar/README.md` is the map of this package; `sidecar/core` is where to start reading.
"""

__version__ = "0.1.0"
