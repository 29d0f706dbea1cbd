"""Log lines: one JSON object each, on stdout, with a constant event name and fields.

* Events, never sentences: `{"ts": ..., "level": "warning", "event": "gate_state", "to": ...}`.
* Changes of state and faults, never one line per request: that is what metrics and the audit log
  are for. So the writing may be synchronous: it is rare.
* A field whose name says that it holds a secret is never written, whoever passes it.
* Lines of libraries are wrapped with event `library`, so that every line is JSON.
"""

import json
import logging
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import IO

LOGGER = "epochgate"
_SECRET = re.compile(r"pass(word|wd|phrase)|secret|seed|token|private|credential|authorization")
_LEVELS = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

# Event names. What is not here is not logged.
STARTED = "started"
STATUS_LISTENING = "status_listening"
PUBLIC_LISTENING = "public_listening"
LISTENING = "listening"
DRAINING = "draining"
COMPLAINT = "complaint"
AUTHORITY = "authority"
STOPPED = "stopped"
WORKER_STARTED = "worker_started"
WORKER_ENDED = "worker_ended"
ALONE = "alone"
GUARANTEE = "guarantee"
GATE_STATE = "gate_state"
EPOCH = "epoch"
MEASURED = "measured"
ORDER = "order"
PEER = "peer"
WITNESS = "witness"
CONFLICT = "conflict"
TRUST = "trust_adopted"
LATE_WRITE = "late_write"
INTERNAL_ERROR = "internal_error"
AUDIT_ROOM = "audit_room"
AUDIT_PRUNED = "audit_pruned"
AUDIT_UNRESERVED = "audit_unreserved"
AUDIT_UNCOMPARED = "audit_uncompared"
CONNECTIONS_LOWERED = "connections_lowered"
SINK = "sink"
LIBRARY = "library"


class _Lines(logging.Formatter):
    def __init__(self, always: Mapping[str, object]) -> None:
        super().__init__()
        self._always = always

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = getattr(record, "fields", {})
        ours = record.name == LOGGER
        line: dict[str, object] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": _level(record),
            "event": record.getMessage() if ours else LIBRARY,
        }
        line |= self._always
        if not ours:
            line |= {"logger": record.name, "message": record.getMessage()}
        line |= {key: _shown(key, value) for key, value in fields.items() if key not in line}
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=True, default=str)


class _Counting(logging.StreamHandler[IO[str]]):
    def __init__(
        self, stream: IO[str], counted: Callable[[str], None], always: Mapping[str, object]
    ) -> None:
        super().__init__(stream)
        self.setFormatter(_Lines(always))
        self._counted = counted

    def emit(self, record: logging.LogRecord) -> None:
        self._counted(_level(record))
        super().emit(record)


class Log:
    """What a process writes its lines with.

    Args:
        logger: From `setup`.
    """

    __slots__ = ("_logger",)

    def __init__(self, logger: logging.Logger) -> None:
        self._logger = logger

    def debug(self, event: str, **fields: object) -> None:
        """For somebody who is looking for something."""
        self._logger.debug(event, extra={"fields": fields})

    def info(self, event: str, **fields: object) -> None:
        """Something changed as it should."""
        self._logger.info(event, extra={"fields": fields})

    def warning(self, event: str, **fields: object) -> None:
        """The gate is closed, or may soon be."""
        self._logger.warning(event, extra={"fields": fields})

    def error(self, event: str, **fields: object) -> None:
        """Somebody has to do something."""
        self._logger.error(event, extra={"fields": fields})

    def complain(self, what: str, where: object, error: Exception) -> None:
        """Something at start cannot be used; the gate stays held, and this says why."""
        fields = {"what": what, "where": str(where), "why": str(error)}
        self._logger.error(COMPLAINT, extra={"fields": fields})


def setup(level: str, stream: IO[str], counted: Callable[[str], None], **always: object) -> Log:
    """Send every line of the process to one stream, as JSON.

    Args:
        level: debug, info, warning or error.
        stream: Usually stdout.
        counted: Told the level of each line.
        always: What every line says, besides time, level and event.
    """
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(_Counting(stream, counted, always))
    # Libraries speak only when something is wrong, whatever we were asked to tell about ourselves.
    root.setLevel(logging.WARNING)
    logger = logging.getLogger(LOGGER)
    logger.setLevel(_LEVELS[level])
    return Log(logger)


def _level(record: logging.LogRecord) -> str:
    for name in ("error", "warning", "info"):
        if record.levelno >= _LEVELS[name]:
            return name
    return "debug"


def _shown(key: str, value: object) -> object:
    return "***" if _SECRET.search(key.lower()) else value
