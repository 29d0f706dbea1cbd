"""Where things lie on a peer: the names of keys and of the one channel.

Rules:

* Every name carries the domain in braces, so one Redis Cluster slot would hold a whole domain and
  no name of one domain is a prefix of another's.
* A name decides nothing. What is read under a name is verified as if it had come from anywhere: an
  epoch by its digest and signatures, a beat by its issuer, a trust document by its version.
* `head` and the channel are hints. A wrong hint costs a round, never a wrong decision.

Source: protocol b.2.
"""

KEY_ID_LETTERS = 16  # of a key id in the name of a beat: for people; the beat names it in full
ORDER_ID_LETTERS = 32  # of an order's digest in the hash of halts


def trust_key(domain: str, version: int) -> str:
    """String: the envelope of a trust document."""
    return f"{_prefix(domain)}:trust:{version}"


def epoch_key(domain: str, sha256: str) -> str:
    """String: the envelope of an epoch, by the digest of its payload."""
    return f"{_prefix(domain)}:epoch:{sha256}"


def blob_key(domain: str, sha256: str) -> str:
    """String: a policy bundle or route table, by the digest of its bytes."""
    return f"{_prefix(domain)}:blob:{sha256}"


def beat_key(domain: str, key_id: str) -> str:
    """String: the envelope of the newest beat of one key."""
    return f"{_prefix(domain)}:beat:{key_id[:KEY_ID_LETTERS]}"


def halts_key(domain: str) -> str:
    """Hash: `order_field` -> envelope of a halt or a clear."""
    return f"{_prefix(domain)}:halts"


def order_field(sha256: str) -> str:
    """Field of an order in the hash of halts, from the digest of its payload."""
    return sha256[:ORDER_ID_LETTERS]


def reports_key(domain: str) -> str:
    """Hash: name of an instance -> envelope of its newest report.

    One hash, so that an authority reads the whole fleet in one command. Values expire by what
    authorities do (`core/fleet.py`), not by themselves.
    """
    return f"{_prefix(domain)}:reports"


def proofs_key(domain: str, key_id: str) -> str:
    """Hash: name of an instance -> proof that the newest beat of one key covers its report."""
    return f"{_prefix(domain)}:proof:{key_id[:KEY_ID_LETTERS]}"


def heads_key(domain: str) -> str:
    """Hash: name of an audit log -> its newest checkpoint that this peer was given."""
    return f"{_prefix(domain)}:heads"


def audit_key(domain: str, log: str) -> str:
    """Stream: the records of one audit log, where a sink of kind redis copies them to."""
    return f"{_prefix(domain)}:audit:{log}"


def field_name(key: str, field: str) -> str:
    """How one field of a hash is named among what was found."""
    return f"{key}\n{field}"  # no key holds a newline


def head_key(domain: str) -> str:
    """String: the digest of the newest epoch; a hint for authorities and tools."""
    return f"{_prefix(domain)}:head"


def push_channel(domain: str) -> str:
    """Channel: something changed, look again. The message says nothing."""
    return f"{_prefix(domain)}:push"


def _prefix(domain: str) -> str:
    return f"eg:{{{domain}}}"
