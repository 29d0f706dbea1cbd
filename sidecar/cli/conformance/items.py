"""Every item of EG-PROTOCOL-001, sections 1 to 10: its words, our mechanism, its reason codes.

The sentence that closes a section is an item too. `missing` says what of an item is not built:
an item that nothing else speaks for is a gap, and is shown as one.

Source: EG-PROTOCOL-001 sections 1 to 10; protocol b.15.
"""

from dataclasses import dataclass

SECTIONS = {
    1: "Governance Synchronization Principle",
    2: "Synchronization Protocol Coordination Requirements",
    3: "Deterministic Synchronization Validation",
    4: "Fail-Closed Synchronization Enforcement",
    5: "Cryptographic Synchronization Verification",
    6: "Immutable Runtime Continuity",
    7: "Distributed Runtime Synchronization",
    8: "Synchronization Traceability Requirements",
    9: "Governance Synchronization Lifecycle Flow",
    10: "Deployment Contexts",
}


@dataclass(frozen=True, slots=True)
class Item:
    """One requirement.

    Attributes:
        id: Section and place in it.
        words: Of the document.
        mechanism: What we do about it.
        codes: Reasons that say that it does not hold.
        missing: What is not built; empty: nothing.
    """

    id: str
    words: str
    mechanism: str
    codes: str = ""
    missing: str = ""

    @property
    def section(self) -> int:
        """Its section."""
        return int(self.id.partition(".")[0])


# fmt: off
ITEMS: tuple[Item, ...] = (
    Item("1.1", "synchronization continuity validation",
         "a lease that only fresh beats renew", "EG101-EG110"),
    Item("1.2", "orchestration coordination consistency",
         "the signed epoch names policy and routes by digest", "EG202 EG301"),
    Item("1.3", "cryptographic synchronization verification",
         "every object is verified in every round, peer by peer", "EG601"),
    Item("1.4", "immutable governance continuity",
         "each epoch names the one before by digest; what governs is in the authority's own log",
         "EG804"),
    Item("1.5", "distributed telemetry synchronization",
         "the authority's beats cover the reports of the fleet", "EG501 EG503"),
    Item("1.6", "fail-closed runtime protections",
         "closed is the starting value; nothing passes without a lease", "EG905 EG101"),
    Item("1.7", "any unverifiable condition shall trigger deterministic containment",
         "validations are functions of one snapshot and an instant", "all"),

    Item("2.1", "synchronization propagation",
         "written to a write quorum, hinted, read from every peer", "EG801"),
    Item("2.2", "runtime telemetry continuity",
         "reports are signed, numbered and chained", "EG502"),
    Item("2.3", "governance routing coordination",
         "the route table is the epoch's, by digest", "EG301"),
    Item("2.4", "distributed execution consistency",
         "one epoch for a quorum of peers", "EG801 EG805"),
    Item("2.5", "immutable audit continuity",
         "records in a hash chain and a tree under signed checkpoints", "EG701 EG704 EG705"),
    Item("2.6", "cross-region synchronization integrity",
         "an epoch names its regions", "EG304"),
    Item("2.7", "coordination shall remain synchronized across all runtime systems",
         "every sidecar enforces the newest epoch within a round", "EG206"),

    Item("3.1", "runtime synchronization continuity",
         "validation 1: lease, beats, nonces", "EG101-EG110"),
    Item("3.2", "governance policy coordination",
         "validation 2: the policy is the one that the epoch names", "EG201-EG206"),
    Item("3.3", "execution routing consistency",
         "validation 3: routes, upstream, service and region are the epoch's", "EG301-EG306"),
    Item("3.4", "runtime integrity verification",
         "validation 4: code, configuration, models and stored state", "EG401-EG406"),
    Item("3.5", "telemetry synchronization continuity",
         "validation 5: reports are taken and acknowledged", "EG501-EG504"),
    Item("3.6", "cryptographic synchronization validation",
         "validation 6: signatures, thresholds, trust chain, revocation", "EG601-EG611"),
    Item("3.7", "immutable audit synchronization",
         "validation 7: decisions can be written down, the log is whole", "EG701-EG703"),
    Item("3.8", "distributed runtime consistency",
         "validation 8: quorum, one epoch, no contradiction", "EG801-EG808"),
    Item("3.9", "validation failures shall trigger fail-closed protections",
         "no lease is renewed while a validation does not hold", "all"),

    Item("4.1", "synchronization interruption",
         "the lease runs out within the ttl", "EG102 EG103 EG801"),
    Item("4.2", "runtime telemetry inconsistency",
         "false or missing acknowledgements are told and contain", "EG501 EG502 EG504"),
    Item("4.3", "orchestration routing mismatch",
         "other routes, region or upstream: no lease", "EG301-EG306"),
    Item("4.4", "cryptographic verification interruption",
         "bad, too few or withheld signatures: no lease", "EG601-EG607"),
    Item("4.5", "immutable audit discontinuity",
         "a full disk denies before anything is forwarded; an edited log is not gone on with",
         "EG701 EG702"),
    Item("4.6", "distributed coordination failure",
         "a minority of peers gives no lease", "EG801"),
    Item("4.7", "runtime state divergence",
         "other code, other models, damaged marks, a fleet that differs", "EG401-EG405 EG807"),
    Item("4.8", "unverifiable synchronization transitions",
         "rollback, fork, gap, replay and confused types are refused", "EG609 EG802-EG804 EG808"),
    Item("4.9", "execution must default to containment during runtime uncertainty",
         "there is no switch that opens, and no request without a decision", "all"),

    Item("5.1", "signed synchronization events",
         "trust, epochs, beats, orders and reports are signed; what is not is ignored", "EG601"),
    Item("5.2", "runtime integrity verification",
         "the signed epoch lists digests", "EG401-EG403"),
    Item("5.3", "immutable proof continuity",
         "checkpoints over one growing tree, which peers and witness hold", "EG701 EG706 EG707"),
    Item("5.4", "distributed trust synchronization",
         "trust documents in a chain under two thresholds; beats name the one in force",
         "EG602 EG605 EG607"),
    Item("5.5", "governance evidence propagation",
         "a record with its proof and all that it rested on in one file: epochgate proof; "
         "contradictions with both envelopes: epochgate evidence"),
    Item("5.6", "audit authenticity validation",
         "checkpoints are signed by the instance's key and cosigned by witnesses", "EG701 EG706"),
    Item("5.7", "verification shall remain continuous during synchronization propagation",
         "every round verifies anew, beats must cover a nonce, the verifier tests itself",
         "EG108 EG611"),

    Item("6.1", "tamper-evident synchronization records",
         "a hash chain and a tree over the same bytes", "EG701"),
    Item("6.2", "immutable governance continuity",
         "each epoch names the one before by digest; what governs is in the authority's own log",
         "EG804"),
    Item("6.3", "distributed runtime replication",
         "every peer holds every object and is refilled; sinks copy the log", "EG801"),
    Item("6.4", "telemetry continuity synchronization",
         "reports are chained, and acknowledgements only move forward", "EG502"),
    Item("6.5", "audit persistence continuity",
         "a record is with the kernel before the request is with the service", "EG702"),
    Item("6.6", "governance evidence traceability",
         "a decision names rule, policy, epoch, beat and trust document; epochgate proof verify "
         "walks there"),
    Item("6.7", "continuity shall remain immutable and verifiable across distributed systems",
         "chain and checkpoints are verified offline: epochgate audit verify", "EG701"),

    Item("7.1", "synchronization continuity propagation",
         "a write quorum commits; every sidecar polls and is hinted", "EG801"),
    Item("7.2", "runtime telemetry synchronization",
         "the fleet tree in each beat", "EG501"),
    Item("7.3", "distributed execution consistency",
         "one epoch for a lease; a fleet that differs too much is contained", "EG805 EG807"),
    Item("7.4", "cryptographic synchronization continuity",
         "each beat names the trust document by number and digest", "EG607"),
    Item("7.5", "immutable audit persistence",
         "flushed before it is sealed", "EG702 EG703 EG705"),
    Item("7.6", "runtime governance integrity",
         "two signed objects with one number are latched, with both as evidence", "EG803 EG808"),
    Item("7.7", "desynchronization shall trigger deterministic containment",
         "the same fault gives the same reasons at every sidecar", "all"),

    Item("8.1", "synchronization lifecycle records",
         "lifecycle and transition records"),
    Item("8.2", "governance synchronization telemetry",
         "signed reports and metrics", "EG501"),
    Item("8.3", "orchestration routing references",
         "each decision names route and upstream", "EG302"),
    Item("8.4", "cryptographic proof references",
         "each answer names its record, a receipt its leaf; the proof is a file"),
    Item("8.5", "immutable audit records",
         "records under signed checkpoints, verified offline, exported as tiles", "EG701"),
    Item("8.6", "distributed coordination metadata",
         "each round that differs is on record, peer by peer", "EG801"),
    Item("8.7", "execution continuity records",
         "each permit has one outcome, keeps its trace id and names its parent, in whichever pod; "
         "a child of a denied parent is denied", "EG207"),
    Item("8.8", "traceability shall remain continuously available",
         "status, metrics and the log answer while contained and halted"),

    Item("9.1", "runtime synchronization initialization",
         "step 1: trust, state and log are whole, or it stays closed", "EG905 EG405 EG701"),
    Item("9.2", "synchronization validation",
         "step 2: enough peers vouch for one epoch", "EG101 EG801"),
    Item("9.3", "governance coordination inspection",
         "step 3: the epoch follows, is for us, policy and routes compile", "EG804 EG202"),
    Item("9.4", "runtime integrity verification",
         "step 4: what runs is what the epoch demands", "EG401-EG403"),
    Item("9.5", "cryptographic validation inspection",
         "step 5: thresholds, freshness and nonces", "EG602 EG108 EG611"),
    Item("9.6", "telemetry synchronization validation",
         "step 6: reports are acknowledged", "EG501 EG503"),
    Item("9.7", "fail-closed enforcement evaluation",
         "step 7: the sorted list of reasons; empty, or nothing opens", "all"),
    Item("9.8", "runtime coordination approval",
         "step 8: marks are stored, then the snapshot is published", "EG406"),
    Item("9.9", "immutable synchronization persistence",
         "step 9: the passage is in the log, and the log is flushed", "EG702 EG703"),
    Item("9.10", "audit continuity verification",
         "step 10: the log goes on from where it was", "EG701 EG704 EG705"),

    Item("10.1", "sovereign AI infrastructure",
         "profile sovereign: only a nonce counts, 4 of 5 peers, two witnesses",
         "EG108 EG205 EG705 EG801"),
    Item("10.2", "multi-region runtime coordination",
         "profile multi-region: a quorum in each region, nonce and clock, time to publish",
         "EG205 EG304 EG801"),
    Item("10.3", "financial governance enforcement",
         "profile financial: 2 s, 4 of 5 peers, no answer before its record is on the disk",
         "EG102 EG205 EG704 EG801"),
    Item("10.4", "healthcare runtime protection",
         "profile healthcare: a bounded drain, no paths in the log", "EG102 EG205"),
    Item("10.5", "enterprise AI governance",
         "profile enterprise: clocks that are looked after, 2 of 3 peers, a long drain",
         "EG102 EG205"),
    Item("10.6", "regulated multi-agent systems",
         "profile multi-agent: a parent decision for each request, nothing drains", "EG205"),
    Item("10.7", "kubernetes runtime coordination",
         "profile kubernetes: a drain within the grace period of a pod", "EG102 EG205"),
    Item("10.8", "distributed runtime synchronization",
         "profile distributed: only a nonce counts, 3 of 5 peers", "EG108 EG205 EG801"),
)
# fmt: on

BY_ID = {item.id: item for item in ITEMS}
