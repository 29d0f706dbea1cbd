"""Policies, route tables and profiles as people write them, turned into what an epoch names.

Rules:

* What leaves this module is canonical and has been read back by the very parser of the sidecar. So
  a file that builds here is never refused by a pod.
* Bytes that were built before pass through unchanged, or not at all: their digest may already be
  part of an epoch.

Source: core/policy, core/routes; conventions 11-J.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from sidecar.cli import resource
from sidecar.cli.kinds import policy as policy_file
from sidecar.cli.kinds import profile as profile_file
from sidecar.cli.kinds import routes as routes_file
from sidecar.cli.resource import ResourceError
from sidecar.config.document import Node, Table
from sidecar.config.problem import Problem
from sidecar.core import canonical, policy, profile, routes
from sidecar.core.policy_body import Body
from sidecar.core.reason import ProtocolError

POLICY = policy_file.KIND
ROUTES = routes_file.KIND
PROFILE = profile_file.KIND
KINDS = (POLICY, ROUTES, PROFILE)

# How canonical bytes begin: `_type` sorts before every other key that we have.
_BUILT = {
    POLICY: f'{{"_type":"{policy.TYPE}",'.encode(),
    ROUTES: f'{{"_type":"{routes.TYPE}",'.encode(),
    PROFILE: f'{{"_type":"{profile.TYPE}",'.encode(),
}


def load_policy(path: Path) -> bytes:
    """The canonical bytes of a policy, from YAML or from bytes built before.

    Raises:
        ResourceError: with everything that is wrong with the file.
        OSError: The file cannot be read.
    """
    return load(path, POLICY)[1]


def load_routes(path: Path) -> bytes:
    """The canonical bytes of a route table, from YAML or from bytes built before.

    Raises:
        ResourceError: with everything that is wrong with the file.
        OSError: The file cannot be read.
    """
    return load(path, ROUTES)[1]


def load_profile(path: Path) -> bytes:
    """The canonical bytes of a profile, from YAML or from bytes built before.

    Raises:
        ResourceError: with everything that is wrong with the file.
        OSError: The file cannot be read.
    """
    return load(path, PROFILE)[1]


def load(path: Path, wanted: str | None = None) -> tuple[str, bytes]:
    """The kind of a file and its canonical bytes.

    Args:
        path: The file.
        wanted: The kind that it has to be; None: either.

    Raises:
        ResourceError: with everything that is wrong with the file.
        OSError: The file cannot be read.
    """
    return _load(path, wanted, outer=True)


def _load(path: Path, wanted: str | None, *, outer: bool) -> tuple[str, bytes]:
    raw = path.read_bytes()
    built = next((kind for kind, start in _BUILT.items() if raw.startswith(start)), None)
    if built is not None:
        _expect(path, built, wanted)
        return built, _read_back(path, built, raw)
    kind, root, reader = resource.read(path, raw)
    _expect(path, kind, wanted, root)

    def otherwise(name: str) -> Body:
        _, raw = _load(path.parent / name, POLICY, outer=False)
        return canonical.load(raw, Body, policy.MAX_BYTES)

    if kind == ROUTES:
        made = canonical.dump(routes_file.body(reader, root))
    elif kind == PROFILE:
        made = canonical.dump(profile_file.body(reader, root))
    else:
        made = canonical.dump(policy_file.body(reader, root, otherwise if outer else None))
    return kind, _read_back(path, kind, made)


def _expect(path: Path, kind: str, wanted: str | None, root: Node | None = None) -> None:
    known = KINDS if wanted is None else (wanted,)
    if kind not in known:
        said = f"is {kind!r}, must be" if kind else "is missing, must be"
        node = root.items.get("kind", root) if isinstance(root, Table) else root
        where = str(path) if node is None else node.origin
        raise ResourceError([Problem("kind", f"{said} {' or '.join(known)}", where)])


def _read_back(path: Path, kind: str, raw: bytes) -> bytes:
    try:
        _PARSE[kind](raw)
    except ProtocolError as error:
        raise ResourceError([Problem("", error.detail, str(path))]) from None
    return raw


_PARSE: Mapping[str, Callable[[bytes], object]] = {
    POLICY: policy.parse,
    ROUTES: routes.parse,
    PROFILE: profile.parse,
}
