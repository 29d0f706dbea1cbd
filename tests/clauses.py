"""Expressions of policies, as a build would have made them: their code, and a text for people."""

from sidecar.core.canonical import Json

Node = list[Json]


def equals(name: str, value: str) -> dict[str, Json]:
    """`name == "value"`."""
    return expression(["name", name], ["string", value], ["equals", 0, 1])


def header(name: str, value: str) -> dict[str, Json]:
    """`request.headers["name"] == "value"`; an error when there is no such header."""
    return expression(
        ["name", "request.headers"], ["string", name], ["index_map", 0, 1], ["string", value],
        ["equals", 2, 3],
    )  # fmt: skip


def value_of(name: str) -> dict[str, Json]:
    """`name`, as it is."""
    return expression(["name", name])


def text(value: str) -> dict[str, Json]:
    """`"value"`."""
    return expression(["string", value])


def header_value(name: str) -> dict[str, Json]:
    """`request.headers["name"]`."""
    return expression(["name", "request.headers"], ["string", name], ["index_map", 0, 1])


def expression(*nodes: Node) -> dict[str, Json]:
    """Its signed form."""
    return {"code": [*nodes], "text": f"made of {len(nodes)} nodes"}


TRUE = expression(["bool", True])
FALSE = expression(["bool", False])
