"""What an epoch takes away, by name."""

import pytest

from sidecar.core import canonical, routes
from sidecar.core.removals import Listed, vanished


def table(*names: str) -> routes.Routes:
    return routes.parse(canonical.encode({
        "_type": routes.TYPE, "name": "t", "exempt": [],
        "upstreams": {"model": {"host": "127.0.0.1", "port": 9000}},
        "routes": [{"name": name, "paths": [f"/{name}"], "upstream": "model"} for name in names],
    }))  # fmt: skip


def listed(services: str = "", names: str = "a b", policy: str = "chat") -> Listed:
    return Listed(services.split(), table(*names.split()), policy)


@pytest.mark.parametrize(
    ("before", "after", "gone"),
    [
        (listed(), listed(), ()),
        (listed(), listed(names="b a c"), ()),
        (listed(), listed(names="b"), ("route:a",)),
        (listed(), listed(policy="other"), ("policy:chat",)),
        (listed("x y"), listed("y"), ("service:x",)),
        (listed("x"), listed("z", "", "p"), ("policy:chat", "route:a", "route:b", "service:x")),
        (listed("x y"), listed(""), ()),  # opened to all
        (listed(""), listed("x"), ()),  # no name was listed
    ],
)  # fmt: skip
def test_what_was_listed_and_is_not_any_more(
    before: Listed, after: Listed, gone: tuple[str, ...]
) -> None:
    assert vanished(before, after) == gone
