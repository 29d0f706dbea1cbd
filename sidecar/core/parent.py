"""The decision that a request descends from, as whoever sends it says, and what of that holds.

A gate gives a token with each decision: to the service with what it forwards, to the client with
the answer. An agent that calls on sends it along, and the next gate knows what came before.

    token = decision-id "." verdict "." wall-ms "." mac
    mac   = hex(BLAKE2s(key, size 16, person "eg-token", decision-id "." verdict "." wall-ms))

Rules:

* A token has one spelling; whatever differs from it in a byte is no token.
* The keys are the same in all pods of a fleet and stay in them. So a token says what some gate of
  this fleet has decided, and when; not who shows it: it is good for its bearer while it is young.
* A claim that nobody looked at denies wherever a parent matters.
* A token from the future is none, but for as much as two wall clocks may differ.

Source: protocol b.13, b.15 (8.7); RFC 7693.
"""

import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sidecar.core.reason import Reason

HEADER = b"parent-decision"
KEY_BYTES = 32
MAC_BYTES = 16
PERSON = b"eg-token"
# Of a parent that a profile asks for under a policy that does not say how old it may be.
PROFILE_MAX_AGE_MS = 60_000

Verdict = Literal["permit", "deny"]

_TOKEN = re.compile(
    rb"([0-9a-f]{16}-(?:0|[1-9][0-9]{0,18}))\.(permit|deny)\.(0|[1-9][0-9]{0,15})\.([0-9a-f]{32})"
)


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request says of the decision that it descends from.

    Attributes:
        kind: none: nothing. unchecked: nobody has looked, or nobody here can. false: what no gate
            of this fleet has made. permit, deny: the verdict of a decision that one has made.
        decision_id: Of that decision; empty: there is none.
        age_ms: How old it was when the request came.
    """

    kind: Literal["none", "unchecked", "false", "permit", "deny"]
    decision_id: str = ""
    age_ms: int = 0


UNCHECKED = Claim("unchecked")
NO_CLAIM = Claim("none")
FALSE = Claim("false")


@dataclass(frozen=True, slots=True)
class Demand:
    """What is asked of the decision that a request descends from.

    Attributes:
        max_age_ms: How old it may be.
        required: Whether a request without one is denied.
    """

    max_age_ms: int
    required: bool

    def refuses(self, claim: Claim) -> Reason | None:
        """Why a request with this claim may not pass, or None."""
        match claim.kind:
            case "none":
                return Reason.PARENT_DENIED if self.required else None
            case "permit":
                return Reason.PARENT_DENIED if claim.age_ms > self.max_age_ms else None
            case "unchecked":
                return Reason.PROFILE_UNSUPPORTED
            case _:
                return Reason.PARENT_DENIED


BY_PROFILE = Demand(PROFILE_MAX_AGE_MS, required=True)


def together(policy: Demand | None, *, by_profile: bool) -> Demand | None:
    """What policy and profile ask for together; None: no tokens are given, and none is looked at.

    Args:
        policy: What the policy asks for.
        by_profile: Whether the profile wants a parent for each request.
    """
    if not by_profile:
        return policy
    return BY_PROFILE if policy is None else Demand(policy.max_age_ms, required=True)


class Tokens:
    """Makes tokens, and reads them.

    Args:
        keys: 32 bytes each, the same in all pods that believe each other. Tokens are made with the
            first and read with any: so a fleet can go from one key to the next pod by pod.
        ahead_ms: How far the wall clock of another pod may be ahead of this one's.
    """

    __slots__ = ("_ahead_ms", "_keyed")

    def __init__(self, keys: Sequence[bytes], ahead_ms: int) -> None:
        if not keys or any(len(key) != KEY_BYTES for key in keys):
            raise ValueError(f"a key of tokens has {KEY_BYTES} bytes")
        self._keyed = [
            hashlib.blake2s(key=key, digest_size=MAC_BYTES, person=PERSON) for key in keys
        ]
        self._ahead_ms = ahead_ms

    def make(self, decision_id: str, verdict: Verdict, wall_ms: int) -> bytes:
        """The token of a decision.

        Args:
            decision_id: Its id.
            verdict: What it was.
            wall_ms: When, in ms since 1970.
        """
        said = f"{decision_id}.{verdict}.{wall_ms}".encode()
        return b"%b.%b" % (said, _mac(self._keyed[0], said))

    def claim(self, headers: Sequence[tuple[bytes, bytes]], wall_ms: int) -> Claim:
        """What a request claims. A header that is there twice, in whatever spelling, is false.

        Args:
            headers: Of the request; names in lower case.
            wall_ms: Now, in ms since 1970.
        """
        lines = [
            line
            for line in headers
            if len(line[0]) == len(HEADER) and line[0].replace(b"_", b"-") == HEADER
        ]
        if not lines:
            return NO_CLAIM
        # Applications read `_` as `-`: one of two spellings could be what they believe.
        if len(lines) > 1 or lines[0][0] != HEADER:
            return FALSE
        return self._read(lines[0][1], wall_ms)

    def _read(self, raw: bytes, wall_ms: int) -> Claim:
        token = _TOKEN.fullmatch(raw)
        if token is None:
            return FALSE
        decision_id, verdict, made, mac = token.groups()
        said = raw[: token.end(3)]
        if not any(hmac.compare_digest(_mac(keyed, said), mac) for keyed in self._keyed):
            return FALSE
        age_ms = wall_ms - int(made)
        if age_ms < -self._ahead_ms:
            return FALSE
        kind: Verdict = "permit" if verdict == b"permit" else "deny"
        return Claim(kind, decision_id.decode(), max(age_ms, 0))


def _mac(keyed: "hashlib.blake2s", said: bytes) -> bytes:
    mac = keyed.copy()
    mac.update(said)
    return mac.hexdigest().encode()
