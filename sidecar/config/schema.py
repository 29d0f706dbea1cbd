"""The table of knobs as JSON Schema (2020-12), for editors and for pipelines.

It says less than the reader: cross-checks and the signed limits are not in it. What it refuses the
reader refuses too.
"""

from typing import Any

from sidecar.config.table import (
    API_VERSION,
    AUTO,
    FRESHNESS,
    KINDS,
    LEVELS,
    LOOPBACK,
    PORTS_MAX,
    SINK_KINDS,
    TABLES,
    Field,
    Unit,
)

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_NAME = "^[a-z0-9][a-z0-9._-]{0,62}$"
_PLAIN = (Unit.COUNT, Unit.WORKERS)  # numbers without unit: integers in YAML too
_WORDS = {
    Unit.LEVEL: LEVELS,
    Unit.LOOPBACK: LOOPBACK,
    Unit.FRESHNESS: FRESHNESS,
    Unit.SINK_KIND: SINK_KINDS,
}
_PATTERNS = {
    Unit.DURATION: "^(0|[1-9][0-9]*(ms|s|m|h)|0(ms|s|m|h))$",
    Unit.SIZE: "^(0|[1-9][0-9]*(B|KiB|MiB|GiB|TiB)|0(B|KiB|MiB|GiB|TiB))$",
    Unit.PPM: "^(0|[1-9][0-9]*ppm|0ppm)$",
    Unit.NAME: _NAME,
    Unit.ADDRESS: "^.+:[0-9]{1,5}$",
    Unit.LISTEN: "^(unix:.+|.+:[0-9]{1,5})$",
    Unit.PORTS: "^[0-9]{1,5}(-[0-9]{1,5})?$",
    Unit.URL: "^rediss?://",
    Unit.HTTP: "^https?://",
}


def schema(kind: str) -> dict[str, Any]:
    """The schema of one kind of configuration, a key of `KINDS`."""
    spec = _object([], "What to do.")
    for field in KINDS[kind]:
        _place(spec, field)
    return {
        "$schema": DIALECT,
        "$id": f"urn:epochgate:schema:{kind.lower()}:v1alpha1",
        "title": kind,
        **_object(["apiVersion", "kind", "spec"], None),
        "properties": {
            "apiVersion": {"const": API_VERSION},
            "kind": {"const": kind},
            "metadata": {
                **_object([], None),
                "properties": {"name": {"type": "string", "pattern": _NAME}},
            },
            "spec": spec,
        },
    }


def _object(required: list[str], about: str | None) -> dict[str, Any]:
    head: dict[str, Any] = {"type": "object", "additionalProperties": False}
    if about:
        head["description"] = about
    return {**head, "required": required, "properties": {}}


def _place(spec: dict[str, Any], field: Field) -> None:
    # `required` only climbs to a section that must be there because something in it must be.
    where = spec
    *sections, key = field.path.split(".")
    for section in sections:
        if field.required and section not in where["required"]:
            where["required"].append(section)
        where = where["properties"].setdefault(section, _object([], None))
    if field.required:
        where["required"].append(key)
    where["properties"][key] = _value(field)


def _value(field: Field) -> dict[str, Any]:
    value: dict[str, Any]
    if field.unit in (Unit.PORTS, *TABLES):
        value = _list(field)
    elif field.unit in _PLAIN:
        value = _count(field)
    elif field.unit is Unit.FLAG:
        value = {"type": "boolean"}
    elif field.unit in _WORDS:
        value = {"enum": list(_WORDS[field.unit])}
    elif field.unit in (Unit.DURATION, Unit.SIZE, Unit.PPM):
        # A bare 0 is an integer to YAML, and means the same.
        value = {"anyOf": [{"type": "string", "pattern": _PATTERNS[field.unit]}, {"const": 0}]}
    else:
        value = {"type": "string", "minLength": 1}
        if field.unit in _PATTERNS:
            value["pattern"] = _PATTERNS[field.unit]
    value["description"] = _about(field)
    if field.default is not None:
        default = list(field.default) if isinstance(field.default, tuple) else field.default
        lists = (Unit.PORTS, Unit.FILES, Unit.WITNESSES, Unit.SINKS)
        as_it_is = field.unit in (*_PLAIN, Unit.FLAG, *lists)
        value["default"] = default if as_it_is else field.show(default)
    return value


def _list(field: Field) -> dict[str, Any]:
    if field.unit is Unit.PORTS:
        port = {"type": "integer", "minimum": 1, "maximum": 65_535}
        item: dict[str, Any] = {
            "anyOf": [port, {"type": "string", "pattern": _PATTERNS[field.unit]}]
        }
        return {"type": "array", "maxItems": PORTS_MAX, "items": item}
    keys, least, most = TABLES[field.unit]
    item = _object([key.path for key in keys if key.required], None)
    item["properties"] = {key.path: _value(key) for key in keys}
    return {"type": "array", "minItems": least, "maxItems": most, "items": item}


def _count(field: Field) -> dict[str, Any]:
    number = {"type": "integer", "minimum": field.low, "maximum": field.high}
    return {"anyOf": [number, {"const": AUTO}]} if field.unit is Unit.WORKERS else number


def _about(field: Field) -> str:
    if field.high and field.unit not in _PLAIN:
        return f"{field.about} {field.show(field.low)} to {field.show(field.high)}."
    return field.about
