"""Sections as plain values and back: how one process hands its configuration to another.

The file may have changed since it was read, and the environment too. So what a second process is to
do comes from the values of the first one, never from a second reading.

Only the classes of `sections.py` are made, whatever the plain values name.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from sidecar.config import sections

_PATH = "Path"
_CLASSES: Mapping[str, type] = {
    name: kind
    for name, kind in vars(sections).items()
    if isinstance(kind, type) and dataclasses.is_dataclass(kind)
}


def pack(value: object) -> object:
    """A section, or a value in one, as JSON-ready values that name their classes."""
    if isinstance(value, Path):
        return {_PATH: str(value)}
    if isinstance(value, tuple):
        return [pack(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {
            field.name: pack(getattr(value, field.name)) for field in dataclasses.fields(value)
        }
        return {type(value).__name__: fields}
    assert value is None or isinstance(value, str | int | float), type(value)
    return value


def unpack(value: object) -> object:
    """What was packed.

    Raises:
        ValueError: it was not packed by this version.
    """
    if isinstance(value, list):
        return tuple(unpack(item) for item in value)
    if not isinstance(value, dict):
        return value
    [(name, inside)] = value.items()
    if name == _PATH:
        return Path(inside)
    if name not in _CLASSES:
        raise ValueError(f"{name} is no section")
    return _CLASSES[name](**{key: unpack(item) for key, item in inside.items()})
