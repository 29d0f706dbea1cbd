"""Every knob in one table: its key, its unit, its bounds. Reader and JSON Schema both follow it.

Keys are camelCase and carry no unit, because values do (`poll: 250ms`). The attribute of a section
that a key fills is its snake-case name with the unit as suffix (`poll_ms`). Default and meaning are
those of `sections.py`: they are written down once, there.

Source: codebases 8.5; conventions 11-B.
"""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from sidecar.config import sections
from sidecar.config.units import show_duration, show_ports, show_size

API_VERSION = "epochgate.io/v1alpha1"
SIDECAR = "SidecarConfig"
AUTHORITY = "AuthorityConfig"

LEVELS = ("debug", "info", "warning", "error")
PEERS_MAX = 15  # as many as a trust document can name
PORTS_MAX = 64  # numbers or ranges in one list
WITNESSES_MAX = 15  # with the log's own, as many signatures as a checkpoint may bear
FILES_MAX = 16  # to be measured; a folder counts once; all of them have to fit into a report
LOOPBACK = ("strict", "standard")
FRESHNESS = ("clock", "nonce", "both")
WORKERS_MAX = 64
SINKS_MAX = 8  # each of them reads every log of the sidecar
SINK_KINDS = ("redis", "http", "otlp", "stdout")
AUTO = "auto"  # of WORKERS: 0, one for each core that may be used

_SECOND = 1000
_MINUTE = 60 * _SECOND
_HOUR = 60 * _MINUTE
_KIB = 1024
_MIB = 1024 * _KIB
_GIB = 1024 * _MIB


class Unit(Enum):
    """What kind of text a value is; the suffix of the attribute that it fills."""

    NAME = ""
    LEVEL = "level"
    FILE = "file"
    ADDRESS = "address"
    LISTEN = "address or unix socket"
    FLAG = "true or false"
    PORTS = "ports"
    LOOPBACK = "loopback"
    FRESHNESS = "freshness"
    URL = "url"
    HTTP = "http url"
    TEXT = "text"
    PEERS = "peers"
    FILES = "files"
    WITNESSES = "witnesses"
    SINKS = "sinks"
    SINK_KIND = "sink kind"
    COUNT = "count"
    WORKERS = "count or auto"
    DURATION = "_ms"
    SIZE = "_bytes"
    PPM = "_ppm"


@dataclass(frozen=True, slots=True)
class Field:
    """One knob.

    Attributes:
        path: Where it stands under `spec`, dotted.
        unit: What kind of text it is.
        about: What it does, one line.
        low: Smallest value, for numbers.
        high: Largest value, for numbers.
        default: As the reader returns it; None with `required` false: absent.
        required: Whether somebody has to write it down.
    """

    path: str
    unit: Unit
    about: str
    low: int = 0
    high: int = 0
    default: object = None
    required: bool = False

    @property
    def attribute(self) -> str:
        """Name of the attribute that it fills in its section."""
        name = re.sub(r"(?<=[a-z])([A-Z])", r"_\1", self.path.rpartition(".")[2]).lower()
        suffix = self.unit.value if self.unit.value.startswith("_") else ""
        # `segmentSize: 64MiB` says it is a size; `segment_bytes` says so too.
        return name.removesuffix("_size") + suffix

    @property
    def variable(self) -> str:
        """Name of the environment variable that overrides it."""
        parts = (re.sub(r"(?<=[a-z])([A-Z])", r"_\1", part) for part in self.path.split("."))
        return "EPOCHGATE_" + "__".join(parts).upper()

    def show(self, value: object) -> str:
        """A value as it would be written in the file."""
        if self.unit is Unit.FLAG:
            return "true" if value else "false"
        lists = (Unit.PORTS, Unit.FILES, Unit.WITNESSES, Unit.SINKS)
        if self.unit in lists and isinstance(value, tuple):
            return show_ports(value)
        if self.unit is Unit.WORKERS and value == 0:
            return AUTO
        if isinstance(value, int):
            shown = {Unit.DURATION: show_duration, Unit.SIZE: show_size}.get(self.unit, str)(value)
            return f"{shown}ppm" if self.unit is Unit.PPM else shown
        return str(value)


def _about(section: type) -> dict[str, str]:
    """What the docstring of a section says about each attribute."""
    found = re.findall(r"^ {8}(\w+): (.*(?:\n {12}.*)*)", section.__doc__ or "", re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in found}


def _number(section: type, path: str, unit: Unit, low: int, high: int) -> Field:
    field = Field(path, unit, "", low, high)
    known = {item.name: item for item in dataclasses.fields(section)}[field.attribute]
    required = known.default is dataclasses.MISSING
    return dataclasses.replace(
        field,
        about=_about(section).get(field.attribute, ""),
        default=None if required else known.default,
        required=required,
    )


def _numbers(
    section: type, prefix: str, unit: Unit, bounds: Mapping[str, tuple[int, int]]
) -> tuple[Field, ...]:
    return tuple(
        _number(section, f"{prefix}.{key}", unit, low, high) for key, (low, high) in bounds.items()
    )


def _list(path: str, about: str) -> Field:
    return Field(path, Unit.PORTS, about, default=())


NAME = Field("name", Unit.NAME, "What people call this configuration.", default="default")

PEER = (
    Field("id", Unit.NAME, "Short name for metrics, logs and votes.", required=True),
    Field("url", Unit.URL, "redis://[user@]host[:port][/db], or rediss:// for TLS.", required=True),
    Field("username", Unit.TEXT, "ACL user; here or in the URL."),
    Field("passwordFile", Unit.FILE, "File that holds the password and nothing else."),
    Field("caFile", Unit.FILE, "Certificates to trust for this peer, instead of the system's."),
)

MEASURED = (
    Field("name", Unit.NAME, "What epochs call it.", required=True),
    Field("path", Unit.FILE, "The file, or a folder with everything in it.", required=True),
)

WITNESS = (
    Field(
        "url", Unit.HTTP, "What its addresses begin with: http://host[:port][/path].", required=True
    ),
)

SINK = (
    Field("name", Unit.NAME, "Short name for metrics and logs.", required=True),
    Field(
        "kind",
        Unit.SINK_KIND,
        "redis (a stream for each log), http (batches as OPA sends decision logs), otlp (logs over "
        "HTTP), stdout.",
        required=True,
    ),
    Field("url", Unit.TEXT, "redis://..., rediss://..., or where to POST: http(s)://host/path."),
    Field(
        "required",
        Unit.FLAG,
        "Permit nothing while a record waits longer than maxLag for this sink (EG703).",
    ),
    Field("maxLag", Unit.DURATION, "How long one may.", _SECOND, 24 * _HOUR),
    Field("timeout", Unit.DURATION, "Longest wait for an answer.", 100, 5 * _MINUTE),
    Field("username", Unit.TEXT, "Redis: ACL user; here or in the URL."),
    Field("passwordFile", Unit.FILE, "Redis: file that holds the password and nothing else."),
    Field("tokenFile", Unit.FILE, "http, otlp: file that holds a bearer token and nothing else."),
    Field("caFile", Unit.FILE, "Certificates to trust for this sink, instead of the system's."),
    Field("maxLen", Unit.COUNT, "Redis: keep about so many records in a stream.", 1, 2**53),
)

# Lists of tables: the keys of one, and how many there may be.
TABLES: Mapping[Unit, tuple[tuple[Field, ...], int, int]] = {
    Unit.PEERS: (PEER, 1, PEERS_MAX),
    Unit.FILES: (MEASURED, 0, FILES_MAX),
    Unit.WITNESSES: (WITNESS, 0, WITNESSES_MAX),
    Unit.SINKS: (SINK, 0, SINKS_MAX),
}

_TRUST = Field("trust.file", Unit.FILE, "The pinned trust document.", required=True)
_STATUS = "Read-only listener: probes, metrics, state. Listening wider has to be written down."
_LEVEL = Field("log.level", Unit.LEVEL, "Least severe line to write.", default="info")

SIDECAR_FIELDS: tuple[Field, ...] = (
    Field("service", Unit.NAME, "The service behind, as epochs name it.", required=True),
    Field("region", Unit.NAME, "The region it runs in, as epochs name it.", required=True),
    _TRUST,
    Field("state.dir", Unit.FILE, "Marks and instance key; must survive a restart.", required=True),
    Field("listen.inbound", Unit.LISTEN, "Where clients connect.", required=True),
    Field("listen.upstream", Unit.ADDRESS, "Deny what the signed routes lead anywhere but here."),
    Field(
        "listen.transparent",
        Unit.FLAG,
        "Connections are redirected here: forward only to the port that each was going to.",
        default=False,
    ),
    Field("listen.status", Unit.ADDRESS, _STATUS, default=sections.Address("127.0.0.1", 17011)),
    Field(
        "sync.peers",
        Unit.PEERS,
        "Independent servers; their number is signed in the trust document.",
        required=True,
    ),
    _number(sections.Sync, "sync.quorum", Unit.COUNT, 1, PEERS_MAX),
    *_numbers(
        sections.Sync, "sync", Unit.DURATION, {"ttl": (100, 24 * _HOUR), "skew": (0, _MINUTE)}
    ),
    _number(sections.Sync, "sync.drift", Unit.PPM, 0, 100_000),
    *_numbers(
        sections.Sync,
        "sync",
        Unit.DURATION,
        {"poll": (10, _MINUTE), "timeout": (10, _MINUTE), "step": (10, _MINUTE)},
    ),
    Field(
        "sync.freshness",
        Unit.FRESHNESS,
        "What proves that a beat is fresh: clock (this wall clock), nonce (a beat that covers a "
        "report of this sidecar; needs no clock), or both.",
        default=FRESHNESS[0],
    ),
    *_numbers(
        sections.Limits,
        "limits",
        Unit.SIZE,
        {
            "target": (64, _MIB),
            "head": (_KIB, _MIB),
            "fieldName": (16, 8 * _KIB),
            "body": (0, 1024 * _GIB),
            "chunkLine": (16, 8 * _KIB),
            "trailer": (0, _MIB),
            "buffer": (4 * _KIB, 64 * _MIB),
            "responseHead": (_KIB, _MIB),
            "progress": (0, _MIB),
        },
    ),
    *_numbers(
        sections.Limits,
        "limits",
        Unit.COUNT,
        {"headFields": (1, 1000), "pipelineDepth": (1, 1000), "connections": (1, 1_000_000)},
    ),
    *_numbers(
        sections.Timeouts,
        "timeouts",
        Unit.DURATION,
        {
            "head": (0, _HOUR),
            "body": (0, _HOUR),
            "idle": (0, 24 * _HOUR),
            "connect": (0, _MINUTE),
            "response": (0, 24 * _HOUR),
            "stream": (0, 24 * _HOUR),
            "unread": (0, _HOUR),
            "total": (0, 24 * _HOUR),
            "linger": (0, _MINUTE),
        },
    ),
    dataclasses.replace(
        _number(sections.Proxy, "warmConnections", Unit.COUNT, 0, 1000),
        about="Fresh upstream connections kept ready.",
    ),
    Field("audit.dir", Unit.FILE, "Folder of the journal; default: audit, in state.dir."),
    _number(sections.Audit, "audit.segmentSize", Unit.SIZE, 64 * _KIB, 16 * _GIB),
    *_numbers(
        sections.Audit,
        "audit",
        Unit.DURATION,
        {
            "syncPeriod": (1, 10 * _SECOND),
            "unsyncedMax": (1, _MINUTE),
            "checkpointPeriod": (10, _HOUR),
            "retention": (0, 100 * 365 * 24 * _HOUR),
        },
    ),
    Field(
        "audit.witnesses",
        Unit.WITNESSES,
        "Who is asked to cosign checkpoints; who of them counts is in the trust document.",
        default=(),
    ),
    Field(
        "audit.digestKeyFile",
        Unit.FILE,
        "Key of the digests that stand for subjects and tenants in records: 64 hex digits, the "
        "same for all pods that are to be searched together; default: an own one in state.dir.",
    ),
    _number(sections.Audit, "audit.diskBudget", Unit.SIZE, 0, 1024 * 1024 * _GIB),
    Field(
        "audit.sinks",
        Unit.SINKS,
        "Where signed records are copied to, at least once and in order.",
        default=(),
    ),
    dataclasses.replace(
        _number(sections.Drain, "drain.delay", Unit.DURATION, 0, 10 * _MINUTE),
        about="After SIGTERM, serve on for so long.",
    ),
    dataclasses.replace(
        _number(sections.Drain, "drain.timeout", Unit.DURATION, 0, _HOUR),
        about="Then deny new work and wait so long for the rest.",
    ),
    Field(
        "fence.keyFile",
        Unit.FILE,
        "Seal permitted requests; the key is written here at each start, for the service to read.",
    ),
    Field(
        "parent.keyFile",
        Unit.FILE,
        "Key of the tokens by which a request names the decision that it descends from: 64 hex "
        "digits, the same in all pods that call each other; in a second line a key that is only "
        "believed, while the fleet goes from one to the other.",
    ),
    _list("intercept.ports", "Ports of the service, that nobody reaches but through the gate."),
    _list("intercept.exclude", "Ports within these that are left alone."),
    _number(sections.Intercept, "intercept.uid", Unit.COUNT, 0, 2**32 - 2),
    Field(
        "intercept.loopback",
        Unit.LOOPBACK,
        "strict: other users of this machine are refused on those ports; standard: they are not.",
        default=LOOPBACK[0],
    ),
    *_numbers(
        sections.Integrity,
        "integrity",
        Unit.DURATION,
        {"period": (_SECOND, 24 * _HOUR), "maxAge": (5 * _SECOND, 48 * _HOUR)},
    ),
    Field(
        "integrity.files",
        Unit.FILES,
        "Files and folders of the service whose digests an epoch may demand.",
        default=(),
    ),
    Field(
        "integrity.imageDigest",
        Unit.TEXT,
        "What the platform says about the image; usually set as a variable, from an annotation.",
    ),
    dataclasses.replace(
        _number(sections.SidecarConfig, "workers", Unit.WORKERS, 1, WORKERS_MAX),
        about="Processes that carry traffic, or auto: one for each core. With more than one, the "
        "process that was started only follows the peers. Limits count for each of them.",
    ),
    _LEVEL,
)

AUTHORITY_FIELDS: tuple[Field, ...] = (
    _TRUST,
    Field("state.dir", Unit.FILE, "Reserved numbers and the last epoch.", required=True),
    Field("keys.beat", Unit.FILE, "This replica's own beat key.", required=True),
    Field("peers", Unit.PEERS, "Where to publish.", required=True),
    *_numbers(
        sections.Beat,
        "beat",
        Unit.DURATION,
        {"ttl": (100, 24 * _HOUR), "interval": (10, _HOUR), "publish": (1, _MINUTE)},
    ),
    Field("keys.witness", Unit.FILE, "Cosigns the heads of audit logs; needs listen.public."),
    Field("keys.log", Unit.FILE, "Signs the governance log: what this replica saw and did."),
    Field("listen.status", Unit.ADDRESS, _STATUS, default=sections.Address("127.0.0.1", 17012)),
    Field("listen.public", Unit.ADDRESS, "Where the witness and the governance log answer."),
    _LEVEL,
)

KINDS: Mapping[str, tuple[Field, ...]] = {SIDECAR: SIDECAR_FIELDS, AUTHORITY: AUTHORITY_FIELDS}
