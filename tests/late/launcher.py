"""A sidecar that stops itself at one exact point of the forward path, when a request asks for it.

    python -m tests.late.launcher --config FILE

It is the unmodified program; around a few of its calls stands a check of the request's
`x-stop-at` header, because nobody can hit a window of a microsecond from outside. How it stops is
the kernel's: SIGSTOP, or with LATE_FREEZE=path a write to the `cgroup.freeze` of its own cgroup.
"""

import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from sidecar import clock
from sidecar.audit.recorder import Recorder
from sidecar.core.gate import Permit
from sidecar.proxy.upstream import Upstream

# In the order in which a permitted request passes them, and what a stop of the length of a lease
# must lead to: the write must not happen, or must prove late, or was in time.
ABORTS = ("before the record", "after the record", "before the last look")
LATE = ("after the last look", "before send", "before the write")
LATE_BODY = ("before the body's write",)  # the head went out in time, and the body after it
IN_TIME = ("after the write", "after the second look")
POINTS = (*ABORTS, *LATE, *LATE_BODY, *IN_TIME)

HEADER = b"x-stop-at"
FREEZE = os.environ.get("LATE_FREEZE")


def stop() -> None:
    """Stop the whole process here; somebody else makes it go on."""
    if FREEZE:
        Path(FREEZE).write_text("1")
    else:
        signal.raise_signal(signal.SIGSTOP)


class Journey:
    """Where the request is that asked for a stop; one at a time."""

    point = ""
    looked = False
    written = False

    @classmethod
    def begin(cls, point: str) -> None:
        cls.point, cls.looked, cls.written = point, False, False

    @classmethod
    def reach(cls, point: str) -> None:
        """Stop if this is the point; once."""
        if cls.point == point:
            cls.point = ""
            stop()


class Held:
    """A transport whose `write` has a point before and one after it."""

    def __init__(self, transport: Any) -> None:
        self._transport = transport

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        Journey.reach("before the body's write" if Journey.written else "before the write")
        self._transport.write(data)
        Journey.reach("after the write")
        Journey.written = True


def wrap() -> None:
    """Put the points in place. Before the roles are imported: they pass the clock on as a value."""
    decision, send, made, now = (
        Recorder.decision, Upstream.send, Upstream.connection_made, clock.now,
    )  # fmt: skip

    def noted(self: Recorder, decided: Any, head: Any, *rest: Any) -> str | None:
        asked = dict(head.headers).get(HEADER, b"") if head else b""
        Journey.begin(asked.decode() if isinstance(decided, Permit) else "")
        Journey.reach("before the record")
        decision_id = decision(self, decided, head, *rest)
        Journey.reach("after the record")
        return decision_id

    def sent(self: Upstream, *arguments: Any) -> None:
        Journey.reach("before send")
        send(self, *arguments)

    def connected(self: Upstream, transport: Any) -> None:
        made(self, Held(transport))  # type: ignore[arg-type]

    def read() -> Any:
        if not Journey.point or threading.current_thread() is not threading.main_thread():
            return now()
        if not Journey.looked:
            Journey.reach("before the last look")
        reading = now()
        if Journey.written:
            Journey.reach("after the second look")
        elif not Journey.looked:
            Journey.looked = True
            Journey.reach("after the last look")
        return reading

    Recorder.decision = noted  # type: ignore[method-assign,assignment]
    Upstream.send = sent  # type: ignore[method-assign,assignment]
    Upstream.connection_made = connected  # type: ignore[method-assign]
    clock.now = read


if __name__ == "__main__":
    wrap()
    from sidecar.roles import run_main

    run_main(["sidecar", *sys.argv[1:]])
