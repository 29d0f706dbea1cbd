"""What each reason means, and what to look at first: the texts of `epochgate explain`.

They live beside the command that prints them: a sidecar needs none of them. Every reason of
`core/reason.py` has one; a test says which is missing.
"""

from typing import NamedTuple


class Advice(NamedTuple):
    """What a reason means, and the first thing to check."""

    means: str
    check: str


_CLIENT = "The client: log the request it sends, or repeat it with curl -v against the sidecar."
_SIGNERS = "Which key signed it (`epochgate trust show`, `epochgate epoch show`), and whether the"

ADVICE: dict[str, Advice] = {
    "EG001": Advice(
        "The request breaks a rule of HTTP/1.1 that keeps two servers from reading it differently.",
        _CLIENT,
    ),
    "EG002": Advice(
        "The request target is longer than limits.target.",
        "Whether the client sends data in the query that belongs in the body.",
    ),
    "EG003": Advice(
        "Request line, headers or trailers exceed a limit: limits.head, headFields, fieldName or "
        "trailer.",
        "Large cookies or tokens; raise the limit in `limits` if they are meant.",
    ),
    "EG004": Advice(
        "The request body is longer than limits.body.",
        "Whether the client should send so much; raise limits.body or set it to 0 for no limit.",
    ),
    "EG005": Advice(
        "The head did not arrive within timeouts.head, or of the body less than limits.progress "
        "within timeouts.body.",
        "The network between client and sidecar, and clients that open connections and wait.",
    ),
    "EG006": Advice(
        "CONNECT and TRACE are never forwarded.", "The client; no setting changes this."
    ),
    "EG007": Advice("The method is none that the sidecar forwards.", _CLIENT),
    "EG008": Advice(
        "Only HTTP/1.0 and HTTP/1.1 are read; on a Unix socket only HTTP/1.1.", _CLIENT
    ),
    "EG009": Advice(
        "A transfer coding other than chunked was used.",
        "The client or a proxy before the sidecar; compression belongs in Content-Encoding.",
    ),
    "EG010": Advice("The Expect header asks for something other than 100-continue.", _CLIENT),
    "EG011": Advice(
        "WebSocket and other protocol upgrades are not forwarded.",
        "Whether the client can use server-sent events over plain HTTP instead.",
    ),
    "EG012": Advice(
        "As many client connections as limits.connections are open, and on none of them is a "
        "request waited for.",
        "epochgate_downstream_connections, and clients that open a connection per request.",
    ),
    "EG013": Advice(
        "Of an answer that waited for it, the client read less than limits.progress within "
        "timeouts.unread. The connection was cut, so the client sees the answer incomplete.",
        "Clients that stop reading; raise timeouts.unread for those that pause on purpose.",
    ),
    "EG020": Advice(
        "No connection to the service behind within timeouts.connect.",
        "Whether the service runs and listens where the signed route table says.",
    ),
    "EG021": Advice(
        "The service answered with bytes that are no valid HTTP/1.1 response.",
        "The logs of the service; curl -v straight to its port.",
    ),
    "EG022": Advice(
        "The service did not begin to answer within timeouts.response.",
        "Load and queue length of the service; raise timeouts.response for slow models.",
    ),
    "EG101": Advice(
        "Since its start the sidecar has not verified an epoch, so it has nothing to serve under.",
        "`epochgate status`: whether the peers answer; then whether an epoch was ever issued.",
    ),
    "EG102": Advice(
        "No fresh beat extended the lease before its deadline, so the right to serve ended.",
        "`epochgate status`: the causes listed there; then whether the authority publishes beats.",
    ),
    "EG103": Advice(
        "The newest beat of a peer is older than a lease may lean on.",
        "Whether the authority runs and reaches that peer; then both clocks (chronyc tracking).",
    ),
    "EG104": Advice(
        "A beat was issued later than this machine's wall clock plus skew.",
        "Time synchronisation on this node and on the authority's.",
    ),
    "EG105": Advice(
        "The wall clock moved against the boot clock by more than `sync.step`, so no lease may "
        "lean on it until a new round has agreed.",
        "NTP on the node (chronyc tracking), and whatever sets the clock; sync.freshness: nonce"
        " needs no wall clock.",
    ),
    "EG106": Advice(
        "The wall clock shows less than when this sidecar last stored its marks.",
        "The clock of the node; after a restore from a snapshot of the machine it is set by NTP"
        " within seconds.",
    ),
    "EG107": Advice(
        "The process, or the machine, did not run for longer than half a ttl. The lease from "
        "before is not trusted.",
        "CPU limits and throttling of the container; suspended or migrated machines.",
    ),
    "EG108": Advice(
        "With nonce freshness a lease needs a beat whose fleet tree covers a report of this "
        "sidecar, and there is none. The authority may have left it out on purpose.",
        "Whether the sidecar may write its report on the peers (ACL), `epochgate status "
        "--fleet`, and whether a halt names this instance.",
    ),
    "EG109": Advice(
        "The epoch's signed validity has ended.",
        "`epochgate epoch show`: not_after. The epoch keys have to issue the next epoch.",
    ),
    "EG110": Advice(
        "The epoch's signed validity has not begun on this clock.",
        "`epochgate epoch show`: not_before, against the time of this node.",
    ),
    "EG201": Advice(
        "No peer has the policy bundle or route table that the epoch names.",
        "Whether the bundle was published with the epoch; publish the epoch again.",
    ),
    "EG202": Advice(
        "A peer serves other bytes than the policy bundle that the epoch names.",
        "Who can write to that peer. The sidecar goes on asking the others.",
    ),
    "EG203": Advice(
        "The signed policy bundle does not compile, so it permits nothing; or one of its "
        "expressions has no value for this request.",
        "`epochgate policy check` on the bundle. Of one request the audit record names rule and "
        "clause: mostly a header that is not there; ask with `in` first.",
    ),
    "EG204": Advice(
        "The gate is open, and the signed policy does not permit this request.",
        "Which rule, and which clause of it: the audit record names them; `epochgate policy` shows "
        "how a request is judged.",
    ),
    "EG205": Advice(
        "The epoch, or its profile or policy, demands what cannot be met here, or nobody has the "
        "profile.",
        "profile, runtime and telemetry in `epochgate epoch show`; whether peers and witnesses are "
        "as many as it asks for; a policy or profile with `parent` needs a key here: "
        "parent.keyFile; then the version.",
    ),
    "EG206": Advice(
        "A newer epoch with immediate activation is known, and this sidecar does not hold it yet.",
        "Whether enough peers already serve the new epoch.",
    ),
    "EG207": Advice(
        "The policy asks for the decision that this request descends from: it was denied, is too "
        "old, is none that a gate with this key has made, or there is none (`required`).",
        "Whether the agent sends the newest x-epochgate-token it got as parent-decision, exactly "
        "once, and whether both pods have the same parent.keyFile.",
    ),
    "EG301": Advice(
        "The route table's bytes differ from the epoch's, or do not compile.",
        "Who can write to that peer; `epochgate policy check` on the route table.",
    ),
    "EG302": Advice(
        "The gate is open, and no route of the signed table matches the path.",
        "The path of the request against the route table of the epoch, byte for byte.",
    ),
    "EG303": Advice(
        "The signed route leads to another upstream than listen.upstream, or to another port than "
        "the one that the redirected connection was going to.",
        "Which port the client asked for, and where the route table sends its path.",
    ),
    "EG304": Advice(
        "The epoch's scope does not name this sidecar's region.",
        "spec.region against scope.regions in `epochgate epoch show`.",
    ),
    "EG305": Advice(
        "The epoch's scope does not name this sidecar's service.",
        "spec.service against scope.services in `epochgate epoch show`.",
    ),
    "EG306": Advice(
        "listen.transparent is set, and this connection came to the inbound port directly: nothing "
        "says which port it was meant for.",
        "`epochgate intercept check`; clients connect to the port of the service, not of the gate.",
    ),
    "EG401": Advice(
        "The digest of the sidecar's own installed code, or of its image, is none that the epoch "
        "names; or the code changed while it ran and is being read again.",
        "`epochgate measure` in the pod, against runtime in `epochgate epoch show`; "
        "integrity.imageDigest.",
    ),
    "EG402": Advice(
        "The digest of the effective settings is none that the epoch names, or the file changed "
        "since the sidecar was started.",
        "`epochgate config show` in the pod prints what the digest is made of; restart after a "
        "change.",
    ),
    "EG403": Advice(
        "A file that the epoch names (model weights, for instance) has another digest, cannot be "
        "read, is none of integrity.files, or changed and is being read again.",
        "`epochgate status`: digests, what could not be read, and progress.",
    ),
    "EG404": Advice(
        "The epoch demands digests, and nothing was measured yet, or nothing within "
        "integrity.maxAge.",
        "measured in `epochgate status`; then the disk or mount of the files to be measured.",
    ),
    "EG405": Advice(
        "The stored marks exist and cannot be read. A corrupt file is not a missing one: believing "
        "so could bring an older state back.",
        "The disk; keep the file as evidence, restore it, or bring up a new instance.",
    ),
    "EG406": Advice(
        "The marks that guard against rollback could not be stored.",
        "Free space and permissions of spec.state.dir.",
    ),
    "EG501": Advice(
        "The epoch demands acknowledged reports, and the last one that a beat covers is older "
        "than it permits.",
        "Whether the sidecar may write on the peers (ACL) and the authority reads them: "
        "`epochgate status --fleet`.",
    ),
    "EG502": Advice(
        "An authority acknowledged an older report than it had acknowledged before: it has lost"
        " or been denied what came between.",
        "Peers that were restored from an old copy; clocks and state of the authority.",
    ),
    "EG503": Advice(
        "The epoch demands reports, and fewer peers take them than a write needs.",
        "ACL of the sidecar's user (HSET on the reports key), memory limits of the peers.",
    ),
    "EG504": Advice(
        "A beat covers a report under this sidecar's name that this process did not make.",
        "Two sidecars with one instance key: give each its own spec.state.dir.",
    ),
    "EG601": Advice(
        "A known key's signature does not fit the bytes.",
        "Who wrote to that peer. This is damage or tampering, never a matter of timing.",
    ),
    "EG602": Advice(
        "Valid signatures, and fewer than the role's threshold.",
        f"{_SIGNERS} other holders signed too.",
    ),
    "EG603": Advice(
        "Signed by a key that does not hold the role in the trust document.",
        f"{_SIGNERS} sidecar's trust file is the current one.",
    ),
    "EG604": Advice(
        "Signed by a key that the trust document revoked, or that has expired.",
        f"{_SIGNERS} signer was moved to its new key.",
    ),
    "EG605": Advice(
        "A trust document signed by our root keys is not the next version of the one we hold: the "
        "number skips, or it names another predecessor.",
        "`epochgate trust show NEW --previous OLD`; whether two ceremonies made the same version.",
    ),
    "EG606": Advice(
        "The trust document has passed its expiry date.",
        "`epochgate trust show`: expires. The root keys have to sign a new version.",
    ),
    "EG607": Advice(
        "A beat names a newer trust document than this sidecar has.",
        "Whether the new trust document was distributed to spec.trust.file.",
    ),
    "EG608": Advice(
        "The bytes are not the one canonical form of their value.",
        "What wrote them; only bytes made by `epochgate` or to its rules are read.",
    ),
    "EG609": Advice(
        "The object is of another type, version or domain than was asked for.",
        "Whether files or keys of two domains were mixed up.",
    ),
    "EG610": Advice(
        "The object is longer than its limit and was not read.", "Who can write to that peer."
    ),
    "EG611": Advice(
        "The proof that a beat covers our report does not lead to the signed root.",
        "That peer: who can write there. The proof is made by the authority together with its "
        "beat.",
    ),
    "EG701": Advice(
        "The audit journal on disk does not continue the log it belongs to.",
        "`epochgate audit verify` on spec.audit.dir; keep the folder as evidence.",
    ),
    "EG702": Advice(
        "A decision could not be recorded, so nothing may be decided.",
        "Free space, permissions and disk errors at spec.audit.dir; then restart the sidecar.",
    ),
    "EG703": Advice(
        "Records wait longer for the disk than audit.unsyncedMax, or for a required sink than its "
        "maxLag, or fill audit.diskBudget.",
        "Disk latency: epochgate_audit_sync_duration_seconds. Room: epochgate_audit_disk_bytes; "
        "raise the budget, or let audit.retention prune, and never delete files of the log by "
        "hand. Sinks: `epochgate status`, and the log lines with event sink.",
    ),
    "EG704": Advice(
        "A record of the audit log went longer without a signed checkpoint over it than the "
        "epoch's audit.max_checkpoint_age_ms says.",
        "Disk latency, and audit.checkpointPeriod: it has to be well below what the epoch demands.",
    ),
    "EG705": Advice(
        "A record of the audit log went longer without a checkpoint that enough witnesses have "
        "cosigned than the epoch's audit.max_unacked_ms says.",
        "Whether audit.witnesses names them and they answer (log lines about a witness; "
        "audit.acked in /v1/state); the demand has to be well above audit.checkpointPeriod.",
    ),
    "EG706": Advice(
        "A peer or a witness remembers a checkpoint of this log whose records are others than "
        "those on disk.",
        "Keep the folder and `HGET eg:{domain}:heads <log>` of each peer as evidence; then give "
        "the pod a new state and audit folder.",
    ),
    "EG707": Advice(
        "A peer or a witness remembers a checkpoint of this log that covers more records than "
        "there are.",
        "An older copy was put back, or records were deleted: keep the folder and what the peers "
        "remember as evidence; then give the pod a new state and audit folder. A volume that keeps "
        "spec.state.dir has to keep spec.audit.dir, too.",
    ),
    "EG801": Advice(
        "Fewer peers than the quorum serve a fresh beat for one epoch.",
        "`epochgate status`: the last result of each peer, and the network to those that fail.",
    ),
    "EG802": Advice(
        "A peer serves an older state than one already seen.",
        "Whether that peer was restored from a backup or lost its data. Publishing again heals it.",
    ),
    "EG803": Advice(
        "Two validly signed versions of one number exist. Somebody with the keys signed both.",
        "Both versions in the audit log; find out which signer did it before anything is cleared.",
    ),
    "EG804": Advice(
        "The new epoch does not name the one held here as its predecessor.",
        "Whether epochs in between are still on the peers; `epochgate epoch show` for both.",
    ),
    "EG805": Advice(
        "Peers serve live beats for different epochs, and none of them on enough peers.",
        "A rollout under way ends by itself; else which peers lag: `epochgate status`.",
    ),
    "EG806": Advice(
        "A beat or an epoch has a number far above the last one.",
        "Whether the key of that authority was stolen: rotate it (`epochgate trust rotate`), "
        "which resets the mark.",
    ),
    "EG807": Advice(
        "More instances of the fleet hold another state than the epoch permits.",
        "`epochgate status --fleet`: which instances lag, and why.",
    ),
    "EG808": Advice(
        "Two authorities vouch for contradicting states.",
        "Which authorities run, and with which epoch: each logs what it publishes.",
    ),
    "EG901": Advice(
        "A signed halt is in force. It outlives leases, epochs and restarts.",
        "The halt's own reason in `epochgate status`; it ends with `epochgate clear`.",
    ),
    "EG902": Advice(
        "A signed halt is in force for this service or instance, or for the route, model or tenant "
        "of the request. A model or tenant that cannot be told counts as one that is named.",
        "`epochgate status`: the halts, and what each stops here; it ends with `epochgate clear`.",
    ),
    "EG903": Advice(
        "A contradiction between signed objects was found. No lease is granted until a clear "
        "names the evidence.",
        "`epochgate evidence`, then who holds the keys; `epochgate clear EVIDENCE` by a threshold.",
    ),
    "EG904": Advice(
        "The sidecar is shutting down and takes no new work.",
        "Nothing, when a rollout is under way; otherwise who sent SIGTERM.",
    ),
    "EG905": Advice(
        "The sidecar has not finished its first verification round.",
        "Wait one round; after that the reason says what is missing.",
    ),
    "EG906": Advice(
        "A bug in the sidecar. The request was denied rather than guessed about.",
        "The sidecar's log at the time of the decision; please report it.",
    ),
    "EG907": Advice(
        "A beat proves that an order exists which no peer shows. It may be a halt.",
        "Whether a peer lost data; publish the halts again, or wait until the peers agree.",
    ),
}
