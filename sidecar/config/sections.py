"""The knobs, as values: one frozen dataclass per section, each field with unit and consequence.

Rules:

* Each part of the program is handed its own section, never the whole.
* A number that changes the guarantee (`quorum`, `ttl_ms`, `skew_ms`, `drift_ppm`) has no default:
  somebody has to write it down. Against the signed trust document it may only tighten.
* Nothing here can open the gate. There is no fail-open switch to look for.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen or connect: an IP address or host name, and a port (0: any free one)."""

    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """Where to listen: the path of a Unix socket."""

    path: Path

    def __str__(self) -> str:
        return f"unix:{self.path}"

    @property
    def beside(self) -> Path:
        """Where the socket is made before it takes its place."""
        return self.path.with_name(self.path.name + ".new")


@dataclass(frozen=True, slots=True)
class PeerAddress:
    """One Redis peer.

    Attributes:
        id: Short name for metrics, logs and votes.
        host: Where it listens.
        port: Where it listens.
        db: Logical database.
        username: ACL user, or None.
        password: Secret; never shown.
        tls: Whether to connect with TLS and verify the certificate.
        ca_file: Certificates to trust for this peer, or None for the system's.
    """

    id: str
    host: str
    port: int
    db: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False
    ca_file: Path | None = None


@dataclass(frozen=True, slots=True)
class Sync:
    """How the sidecar follows its peers.

    Attributes:
        peers: Independent servers; their number is signed in the trust document.
        quorum: Peers that must agree to run; at least the signed `r`.
        ttl_ms: Longest life of a lease; at most the signed ceiling.
        skew_ms: Assumed wall-clock error; at least the signed one.
        drift_ppm: Assumed boot-clock rate error; at least the signed one.
        poll_ms: Pause between rounds, without jitter.
        timeout_ms: Longest wait for one peer in one round.
        freshness: What has to prove that a beat is fresh: the wall clock, a nonce of this sidecar's
            own reports (then the sidecar must be permitted to write them), or both.
        step_ms: How far wall and boot clock may part within a tenth of a second (EG105).
    """

    peers: tuple[PeerAddress, ...]
    quorum: int
    ttl_ms: int
    skew_ms: int
    drift_ppm: int
    poll_ms: int = 250
    timeout_ms: int = 300
    freshness: Literal["clock", "nonce", "both"] = "clock"
    step_ms: int = 250


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one client may ask for. Precedents: nginx 8k per line, Envoy 60 KiB and 100 fields.

    Attributes:
        target_bytes: Request target; more is EG002.
        head_bytes: Request line and headers together; more is EG003.
        head_fields: Header lines; more is EG003.
        field_name_bytes: Name of one header; more is EG003.
        body_bytes: Request body; 0 means no limit. More is EG004.
        chunk_line_bytes: A chunk-size line with its extensions; more is EG001.
        trailer_bytes: Trailers of a request, which are dropped; more is EG003.
        pipeline_depth: Requests read ahead on one connection before reading pauses.
        connections: Client connections at once. For one more, those that have waited longest for a
            request are closed; where none waits, the new one is answered EG012 and closed.
        buffer_bytes: Bytes that may wait for a client to read them before the service is paused.
        response_head_bytes: Head of an upstream response; more is EG021.
        progress_bytes: What a client must send of a body, or read of an answer, to be given
            timeouts.body or timeouts.unread anew; 0 means any byte will do.
    """

    target_bytes: int = 8192
    head_bytes: int = 32 * 1024
    head_fields: int = 100
    field_name_bytes: int = 256
    body_bytes: int = 0
    chunk_line_bytes: int = 64
    trailer_bytes: int = 4096
    pipeline_depth: int = 16
    connections: int = 10_000
    buffer_bytes: int = 256 * 1024
    response_head_bytes: int = 64 * 1024
    progress_bytes: int = 8 * 1024


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long one client or the service behind may take, in milliseconds; 0 means no limit.

    Attributes:
        head_ms: From the first byte of a request to the end of its head, or EG005.
        body_ms: For each limits.progress of a request body, or EG005.
        idle_ms: A connection without a request in progress is closed, without a word.
        connect_ms: To reach the upstream, or EG020.
        response_ms: From the end of the request to the first byte of the answer, or EG022.
            Inference can think for minutes, so the default is generous.
        stream_ms: Between two pieces of a response, or the exchange is cut, EG022.
        unread_ms: For each limits.progress of an answer that waits for a client to read it, or the
            connection is cut, EG013.
        total_ms: One exchange from head to last byte, or EG005 where the client is waited for,
            EG022 where the service is.
        linger_ms: After an error answer, unread bytes are discarded for so long, then closed.
    """

    head_ms: int = 10_000
    body_ms: int = 30_000
    idle_ms: int = 75_000
    connect_ms: int = 1_000
    response_ms: int = 600_000
    stream_ms: int = 300_000
    unread_ms: int = 60_000
    total_ms: int = 0
    linger_ms: int = 1_000


@dataclass(frozen=True, slots=True)
class Proxy:
    """The data plane.

    Attributes:
        inbound: Where clients connect, or are redirected to.
        upstream: The one service that may be reached through it; None: any signed one. It can only
            refuse: requests whose signed route leads elsewhere are denied with EG303.
        transparent: Whether connections are redirected here (`epochgate intercept`). Then the port
            that a client asked for must be that of the signed upstream, or EG303; a connection that
            was not redirected is EG306.
    """

    inbound: Address | UnixAddress
    upstream: Address | None = None
    transparent: bool = False
    limits: Limits = Limits()
    timeouts: Timeouts = Timeouts()
    warm_connections: int = 4


SINK_TIMEOUT_MS = 5_000


@dataclass(frozen=True, slots=True)
class Sink:
    """Where the audit log is copied to, out of band.

    Attributes:
        name: Short name for metrics, logs, and the files that say how far it is.
        kind: redis, http (batches in the shape of OPA decision logs), otlp or stdout.
        url: Where records are sent; None for stdout.
        required: Whether nothing is permitted while it is further behind than max_lag_ms (EG703).
        max_lag_ms: How long a record may wait for a required sink; 0: for ever.
        timeout_ms: Longest wait for an answer; then the same records are sent again.
        username: Redis ACL user, or None.
        secret: Password (redis) or bearer token (http, otlp), or None; never shown.
        ca_file: Certificates to trust for it, or None for the system's.
        max_len: About how many records a Redis stream keeps; 0: all.
    """

    name: str
    kind: Literal["redis", "http", "otlp", "stdout"]
    url: str | None = None
    required: bool = False
    max_lag_ms: int = 0
    timeout_ms: int = SINK_TIMEOUT_MS
    username: str | None = None
    secret: str | None = field(default=None, repr=False)
    ca_file: Path | None = None
    max_len: int = 0


@dataclass(frozen=True, slots=True)
class WitnessAddress:
    """Where a witness is asked: what its addresses begin with."""

    url: str


@dataclass(frozen=True, slots=True)
class Audit:
    """The audit log on disk.

    Attributes:
        dir: Folder of the journal; one writer at a time.
        segment_bytes: Size at which a new journal file is begun.
        sync_period_ms: How often the file is flushed to the disk.
        unsynced_max_ms: Age of un-flushed records at which the gate is held (EG703).
        checkpoint_period_ms: How often a signed checkpoint is written while records arrive.
        witnesses: Who is asked to cosign these; who of them counts is in the trust document.
        digest_key_file: Key of the digests that stand for subjects and tenants in records: 64 hex
            digits, the same for all pods that are to be searched together. None: an own one, made
            in state.dir.
        disk_budget_bytes: What the journal may take of the disk: a warning at 80 %, the gate is
            held at 100 % (EG703); 0: as much as there is.
        retention_ms: How old records have to be before they are pruned, whole segments at a time;
            0: kept for ever.
        sinks: Where the log is copied to.
    """

    dir: Path
    segment_bytes: int = 64 * 1024 * 1024
    sync_period_ms: int = 20
    unsynced_max_ms: int = 2_000
    checkpoint_period_ms: int = 1_000
    witnesses: tuple[WitnessAddress, ...] = ()
    digest_key_file: Path | None = None
    disk_budget_bytes: int = 0
    retention_ms: int = 0
    sinks: tuple[Sink, ...] = ()


@dataclass(frozen=True, slots=True)
class Drain:
    """What SIGTERM does: serve on for `delay_ms`, deny new work, wait `timeout_ms` for the rest."""

    delay_ms: int = 5_000
    timeout_ms: int = 25_000


PortRange = tuple[int, int]  # first and last


@dataclass(frozen=True, slots=True)
class Intercept:
    """What `epochgate intercept` redirects and refuses; the sidecar itself does not read it.

    Attributes:
        ports: Ports of the service that nobody reaches but through the gate.
        exclude: Ports within these that are left alone.
        uid: The user that the sidecar runs as: the only one that reaches the service directly.
        loopback: strict: other users of this machine (or pod) are refused on those ports, too.
            standard: they are not, only what comes from outside.
    """

    ports: tuple[PortRange, ...] = ()
    exclude: tuple[PortRange, ...] = ()
    uid: int = 17117
    loopback: str = "strict"


@dataclass(frozen=True, slots=True)
class MeasuredFile:
    """A file or folder of the service, such as model weights, and what epochs call it."""

    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class Integrity:
    """What is measured and compared with the digests that an epoch demands.

    Attributes:
        period_ms: Everything is read again so often, changed or not; what takes long to read, less
            often. A change of size, dates or identity is seen within 2 s whatever this says.
        max_age_ms: Where nothing was looked at for so long, nothing is permitted under an epoch
            that demands digests (EG404); at least twice integrity.period.
        files: Files and folders of the service.
        image_digest: What the platform says about the image, usually from the environment.
    """

    period_ms: int = 60_000
    max_age_ms: int = 120_000
    files: tuple[MeasuredFile, ...] = ()
    image_digest: str | None = None


@dataclass(frozen=True, slots=True)
class SidecarConfig:
    """Everything a sidecar is told.

    Attributes:
        service: The service behind, as epochs name it in their scope.
        region: The region it runs in, as epochs name it.
        trust_file: The pinned trust document.
        state_dir: Where marks and the instance key live; must survive a restart.
        status: Read-only listener: probes, metrics, state.
        fence_key_file: Where the key of the upstream fence is written at each start, for the
            service to read; None: requests are not sealed.
        parent_key_file: Key of the tokens of parent decisions: 64 hex digits, the same in all pods
            that call each other; a second line: believed, too. None: no policy is served that asks
            for parents.
        workers: Processes that carry traffic; 0: one for each core that may be used. With more than
            one, the process that was started only follows the peers.
        log_level: debug, info, warning or error.
    """

    service: str
    region: str
    trust_file: Path
    state_dir: Path
    status: Address
    sync: Sync
    proxy: Proxy
    audit: Audit
    drain: Drain = Drain()
    intercept: Intercept = Intercept()
    integrity: Integrity = Integrity()
    fence_key_file: Path | None = None
    parent_key_file: Path | None = None
    workers: int = 1
    log_level: str = "info"


@dataclass(frozen=True, slots=True)
class Beat:
    """How the authority vouches.

    Attributes:
        ttl_ms: Life of a beat; at most the signed ceiling.
        interval_ms: Pause between beats.
        publish_ms: Longest wait for one peer to acknowledge.
    """

    ttl_ms: int
    interval_ms: int = 500
    publish_ms: int = 100


@dataclass(frozen=True, slots=True)
class AuthorityConfig:
    """Everything an authority is told.

    Attributes:
        trust_file: The trust document.
        state_dir: Where the reserved sequence number and the last epoch live.
        beat_key_file: This replica's own beat key.
        peers: Where to publish.
        status: Read-only listener: probes, metrics, state.
        witness_key_file: Cosigns the heads of audit logs; None: this replica is no witness.
        log_key_file: Signs the governance log; None: none is kept.
        public: Where witness and governance log answer; None: nowhere.
    """

    trust_file: Path
    state_dir: Path
    beat_key_file: Path
    peers: tuple[PeerAddress, ...]
    beat: Beat
    status: Address
    witness_key_file: Path | None = None
    log_key_file: Path | None = None
    public: Address | None = None
    log_level: str = "info"
