"""What a sidecar in several processes tells a worker at its start, and what a worker tells back.

The brief goes through the channel between the two and stands in no argument and no variable: it
holds the keys of the upstream fence and of parent decisions. No address and no password of a peer
is in it: a worker has no use for them.
"""

import socket
from dataclasses import replace
from pathlib import Path

import msgspec

from sidecar.config import handover
from sidecar.config.sections import SidecarConfig
from sidecar.telemetry.figures import Figures

REPORT_MAX_BYTES = 256 * 1024
REPORT_S = 0.1
_CHUNK_BYTES = 65_536


class Brief(msgspec.Struct, frozen=True):
    """What a worker is told.

    Attributes:
        index: Which one it is, from 0.
        origin: Name of its log.
        trust: Digest of the trust document, for its first record.
        settings: Packed configuration, see `config`.
        fence_key: The key of the upstream fence, hex; the same for all workers.
        parent_keys: The keys of parent decisions, hex, as they were when the sidecar started.
        snapshots: Descriptor of the memory that it reads snapshots from.
        reports: Descriptor of the memory that it writes reports to.
        socks: Descriptors of the listening sockets.
    """

    index: int
    origin: str
    trust: str
    settings: object
    fence_key: str | None
    parent_keys: tuple[str, ...]
    snapshots: int
    reports: int
    socks: tuple[int, ...]

    @property
    def config(self) -> SidecarConfig:
        """The configuration, with the worker's own folder for its log, and without peers."""
        config = handover.unpack(self.settings)
        assert isinstance(config, SidecarConfig)
        return config


class Report(msgspec.Struct, frozen=True):
    """What a worker says about itself, every `REPORT_S`.

    Attributes:
        boot: Boot time of this report; nanoseconds.
        generation: Number of the snapshot that it decides by; 0: none yet.
        state: What its gate is in.
        reason: Why it is closed, a code; None: it is open.
        holds: Codes of its holds, hardest first.
        in_flight: Exchanges under way.
        connections: Client connections.
        audit: Figures of its log, by name.
        figures: All that it counts.
    """

    boot: int
    generation: int
    state: str
    reason: str | None
    holds: tuple[str, ...]
    in_flight: int
    connections: int
    audit: dict[str, int]
    figures: Figures


def settings_for(config: SidecarConfig, index: int) -> object:
    """The configuration of one worker, packed."""
    # Which sinks there are, for whoever prunes; not how to get into them.
    sinks = tuple(replace(sink, secret=None) for sink in config.audit.sinks)
    audit = replace(config.audit, dir=log_folder(config, index), sinks=sinks)
    return handover.pack(replace(config, audit=audit, sync=replace(config.sync, peers=())))


def log_folder(config: SidecarConfig, index: int) -> Path:
    """Where one worker writes its log."""
    return config.audit.dir / f"worker-{index}"


def send(channel: socket.socket, brief: Brief) -> None:
    """Tell a worker; it may not run yet.

    Raises:
        OSError: the channel is closed.
    """
    channel.sendall(msgspec.json.encode(brief) + b"\n")


def receive(channel: socket.socket) -> Brief:
    """What this worker is told; nothing else comes before the newline.

    Raises:
        EOFError: whoever started this worker is gone.
        msgspec.DecodeError: it is of another version.
    """
    raw = b""
    while not raw.endswith(b"\n"):
        # Byte for byte what was sent: a notification that follows must stay in the channel.
        seen = channel.recv(_CHUNK_BYTES, socket.MSG_PEEK)
        if not seen:
            raise EOFError("no brief came")
        end = seen.find(b"\n") + 1
        raw += channel.recv(end or len(seen))
    return msgspec.json.decode(raw, type=Brief)
