"""From one YAML file and `EPOCHGATE_*` variables to the values of `sections.py`.

Rules:

* Every problem is reported at once, with its path and where the value came from.
* Unknown keys are refused, with the key that was probably meant. A knob that is spelled wrong and
  silently keeps its default is how a limit goes missing.
* The environment is handed in as a mapping and wins over the file. A variable is the path in upper
  case, joined with two underscores: `sync.poll` is EPOCHGATE_SYNC__POLL. A list is written as YAML.
  An unknown variable with `__` in it is refused; one without may be somebody else's (Kubernetes
  makes EPOCHGATE_PORT for a Service called epochgate) and is left alone.
* Relative paths are relative to the file, not to wherever the process was started.
* Passwords come from files of their own and are never part of a message.

Source: codebases 8.5; conventions 11-B.
"""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from sidecar.config import document, sections, value
from sidecar.config.check import within_file
from sidecar.config.document import Items, Node, Scalar, Table
from sidecar.config.problem import ConfigError, Problem
from sidecar.config.sections import AuthorityConfig, MeasuredFile, SidecarConfig, WitnessAddress
from sidecar.config.table import (
    API_VERSION,
    AUTHORITY,
    KINDS,
    NAME,
    PORTS_MAX,
    SIDECAR,
    TABLES,
    Field,
    Unit,
)

_DEFAULT = "default"
_MAKERS: Mapping[Unit, Callable[[Mapping[str, Any]], object]] = {
    Unit.PEERS: value.peer,
    Unit.FILES: lambda said: MeasuredFile(**said),
    Unit.SINKS: value.sink,
    Unit.WITNESSES: lambda said: WitnessAddress(**said),
}

C = TypeVar("C", SidecarConfig, AuthorityConfig)


@dataclass(frozen=True, slots=True)
class Setting:
    """One effective value: path, text as the file would say it, and where it came from."""

    path: str
    value: str
    origin: str


@dataclass(frozen=True, slots=True)
class Loaded(Generic[C]):
    """A configuration, its name, and the origin of each of its values.

    Attributes:
        config: What the program is handed.
        file: Where it was read from.
        name: `metadata.name`.
        origins: Every effective value; passwords are not among them.
    """

    config: C
    file: Path
    name: str
    origins: tuple[Setting, ...]


def read_sidecar(path: Path, environment: Mapping[str, str]) -> Loaded[SidecarConfig]:
    """Read a `SidecarConfig`.

    Args:
        path: The file.
        environment: Variables; only `EPOCHGATE_*` are looked at.

    Raises:
        ConfigError: with every problem.
    """
    reading = _Reading(path, SIDECAR, environment)
    return Loaded(_sidecar(reading.values), path, reading.name, tuple(reading.origins))


def read_authority(path: Path, environment: Mapping[str, str]) -> Loaded[AuthorityConfig]:
    """Read an `AuthorityConfig`; otherwise like `read_sidecar`."""
    reading = _Reading(path, AUTHORITY, environment)
    return Loaded(_authority(reading.values), path, reading.name, tuple(reading.origins))


def read_any(
    path: Path, environment: Mapping[str, str]
) -> Loaded[SidecarConfig] | Loaded[AuthorityConfig]:
    """Read whichever kind the file says it is."""
    root = document.parse(_text(path), str(path))
    kind = root.items.get("kind") if isinstance(root, Table) else None
    if isinstance(kind, Scalar) and kind.text == AUTHORITY:
        return read_authority(path, environment)
    return read_sidecar(path, environment)


class _Reading:
    """One pass over file and environment. Raises ConfigError at its end or is complete."""

    def __init__(self, path: Path, kind: str, environment: Mapping[str, str]) -> None:
        self.folder = path.absolute().parent
        self.problems: list[Problem] = []
        self.origins: list[Setting] = []
        self.values: dict[str, Any] = {}
        self.name = _DEFAULT
        self.fields = {field.path: field for field in KINDS[kind]}
        root = document.parse(_text(path), str(path))
        found = self._file(root, kind)
        found |= self._variables(environment)
        for field in self.fields.values():
            self._field(field, found.get(field.path))
        self._journal()
        where = {setting.path: setting.origin for setting in self.origins}
        self.problems += within_file(self.values, where)
        if self.problems:
            raise ConfigError(self.problems)

    def _file(self, root: Node, kind: str) -> dict[str, Node]:
        if not isinstance(root, Table):
            raise ConfigError([Problem("", "must be keys and values", root.origin)])
        self._known(root, "", ("apiVersion", "kind", "metadata", "spec"))
        self._constant(root, "apiVersion", API_VERSION)
        self._constant(root, "kind", kind)
        metadata = root.items.get("metadata")
        if isinstance(metadata, Table):
            self._known(metadata, "metadata", ("name",))
            name = metadata.items.get("name")
            self.name = str(self._scalar(NAME, name, "metadata.name") if name else _DEFAULT)
        found: dict[str, Node] = {}
        spec = root.items.get("spec")
        if isinstance(spec, Table):
            self._walk(spec, "", found)
        else:
            self.problems.append(Problem("spec", "is missing", root.origin))
        return found

    def _constant(self, root: Table, key: str, wanted: str) -> None:
        node = root.items.get(key)
        if not isinstance(node, Scalar) or node.text != wanted:
            origin = root.origin if node is None else node.origin
            self.problems.append(Problem(key, f"must be {wanted}", origin))

    def _known(self, node: Table, prefix: str, keys: tuple[str, ...]) -> None:
        for key in node.items:
            if key not in keys:
                path = f"{prefix}.{key}" if prefix else key
                message = "is no known key" + _meant(key, keys)
                self.problems.append(Problem(path, message, node.keys[key]))

    def _walk(self, node: Table, prefix: str, found: dict[str, Node]) -> None:
        depth = prefix.count(".") + 1 if prefix else 0
        inside = [path for path in self.fields if path.startswith(f"{prefix}." if prefix else "")]
        keys = tuple(dict.fromkeys(path.split(".")[depth] for path in inside))
        self._known(node, f"spec.{prefix}" if prefix else "spec", keys)
        for key in keys:
            child = node.items.get(key)
            path = f"{prefix}.{key}" if prefix else key
            if child is None:
                continue
            if path in self.fields:
                found[path] = child
            elif isinstance(child, Table):
                self._walk(child, path, found)
            elif not (isinstance(child, Scalar) and child.text is None):
                self.problems.append(Problem(f"spec.{path}", "must be a section", child.origin))

    def _variables(self, environment: Mapping[str, str]) -> dict[str, Node]:
        known = {field.variable: field for field in self.fields.values()}
        found: dict[str, Node] = {}
        for name, text in sorted(environment.items()):
            if name in known and known[name].unit in (Unit.PORTS, *TABLES):
                found[known[name].path] = self._list(name, text)
            elif name in known:
                found[known[name].path] = Scalar(text, name)
            elif name.startswith("EPOCHGATE_") and "__" in name:
                message = "is no known variable" + _meant(name, tuple(known))
                self.problems.append(Problem("", message, name))
        return found

    def _list(self, name: str, text: str) -> Node:
        try:
            return document.parse(text, name)
        except ConfigError as error:
            self.problems += error.problems
            return Items((), name)

    def _field(self, field: Field, node: Node | None) -> None:
        path = f"spec.{field.path}"
        if node is None:
            if field.required:
                self.problems.append(Problem(path, f"is required: {field.about}"))
            else:
                self.values[field.path] = field.default
                if field.default is not None:
                    self._note(field, path, field.default, _DEFAULT)
        elif field.unit in TABLES:
            self.values[field.path] = self._tables(field, node, path)
        elif field.unit is Unit.PORTS:
            self.values[field.path] = self._ports(field, node, path)
        else:
            read = self._scalar(field, node, path)
            if read is not None:
                self.values[field.path] = read
                self._note(field, path, read, node.origin)

    def _note(self, field: Field, path: str, read: object, origin: str) -> None:
        self.origins.append(Setting(path, field.show(read), origin))

    def _scalar(self, field: Field, node: Node, path: str) -> object | None:
        if not isinstance(node, Scalar) or not node.text:
            self.problems.append(Problem(path, "must have one value", node.origin))
            return None
        try:
            return value.read(field, node.text, self.folder)
        except ValueError as error:
            self.problems.append(Problem(path, str(error), node.origin))
            return None

    def _ports(self, field: Field, node: Node, path: str) -> tuple[object, ...]:
        if not isinstance(node, Items) or len(node.items) > PORTS_MAX:
            message = f"must be a list of at most {PORTS_MAX} ports or ranges, like [8000]"
            self.problems.append(Problem(path, message, node.origin))
            return ()
        read = [
            self._scalar(field, item, f"{path}[{index}]") for index, item in enumerate(node.items)
        ]
        found = tuple(item for item in read if item is not None)
        self._note(field, path, found, node.origin)
        return found

    def _tables(self, field: Field, node: Node, path: str) -> tuple[object, ...] | None:
        _, least, most = TABLES[field.unit]
        if not isinstance(node, Items) or not least <= len(node.items) <= most:
            message = f"must be a list of {least} to {most} {field.unit.value}"
            self.problems.append(Problem(path, message, node.origin))
            return None
        read = [self._table(field, item, f"{path}[{i}]") for i, item in enumerate(node.items)]
        if not read:
            self._note(field, path, (), node.origin)
        whole = tuple(item for item in read if item is not None)
        return whole if len(whole) == len(read) else None

    def _table(self, field: Field, node: Node, path: str) -> object | None:
        keys, _, _ = TABLES[field.unit]
        if not isinstance(node, Table):
            wanted = " and ".join(key.path for key in keys if key.required)
            self.problems.append(Problem(path, f"must have {wanted}", node.origin))
            return None
        before = len(self.problems)
        self._known(node, path, tuple(key.path for key in keys))
        said: dict[str, Any] = {}
        for key in keys:
            item = node.items.get(key.path)
            inner = f"{path}.{key.path}"
            if item is not None:
                said[key.path] = self._scalar(key, item, inner)
                shown = item.text if isinstance(item, Scalar) else ""
                if said[key.path] is not None:
                    self.origins.append(Setting(inner, shown or "", item.origin))
            elif key.required:
                self.problems.append(Problem(inner, f"is required: {key.about}", node.origin))
        if len(self.problems) > before:
            return None
        try:
            return _MAKERS[field.unit](said)
        except ValueError as error:
            self.problems.append(Problem(path, str(error), node.origin))
            return None

    def _journal(self) -> None:
        state = self.values.get("state.dir")
        if "audit.dir" in self.fields and self.values.get("audit.dir") is None and state:
            self.values["audit.dir"] = state / "audit"
            self._note(self.fields["audit.dir"], "spec.audit.dir", state / "audit", _DEFAULT)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "is not UTF-8 text"
        raise ConfigError([Problem("", f"cannot be read: {why}", str(path))]) from None


def _meant(word: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else f"; known: {', '.join(known)}"


def _section(values: Mapping[str, Any], kind: str, prefix: str) -> dict[str, Any]:
    return {
        field.attribute: values[field.path]
        for field in KINDS[kind]
        if field.path.startswith(f"{prefix}.")
    }


def _sidecar(values: Mapping[str, Any]) -> SidecarConfig:
    return SidecarConfig(
        service=values["service"],
        region=values["region"],
        trust_file=values["trust.file"],
        state_dir=values["state.dir"],
        status=values["listen.status"],
        sync=sections.Sync(**_section(values, SIDECAR, "sync")),
        proxy=sections.Proxy(
            inbound=values["listen.inbound"],
            upstream=values["listen.upstream"],
            transparent=values["listen.transparent"],
            limits=sections.Limits(**_section(values, SIDECAR, "limits")),
            timeouts=sections.Timeouts(**_section(values, SIDECAR, "timeouts")),
            warm_connections=values["warmConnections"],
        ),
        audit=sections.Audit(**_section(values, SIDECAR, "audit")),
        drain=sections.Drain(**_section(values, SIDECAR, "drain")),
        intercept=sections.Intercept(**_section(values, SIDECAR, "intercept")),
        integrity=sections.Integrity(**_section(values, SIDECAR, "integrity")),
        fence_key_file=values["fence.keyFile"],
        parent_key_file=values["parent.keyFile"],
        workers=values["workers"],
        log_level=values["log.level"],
    )


def _authority(values: Mapping[str, Any]) -> AuthorityConfig:
    return AuthorityConfig(
        trust_file=values["trust.file"],
        state_dir=values["state.dir"],
        beat_key_file=values["keys.beat"],
        peers=values["peers"],
        beat=sections.Beat(**_section(values, AUTHORITY, "beat")),
        status=values["listen.status"],
        witness_key_file=values["keys.witness"],
        log_key_file=values["keys.log"],
        public=values["listen.public"],
        log_level=values["log.level"],
    )
