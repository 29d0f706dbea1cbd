"""Who has to have signed a checkpoint, as a text file that other programs read.

    log <verifier key>
    witness w1 <verifier key>
    witness w2 <verifier key>
    group witnesses 2 w1 w2
    quorum witnesses

Source: C2SP tlog-policy.
"""

from collections.abc import Sequence

from sidecar.core.log.cosignature import WitnessKey
from sidecar.core.log.note import NoteKey

GROUP = "witnesses"


def write(logs: Sequence[NoteKey], witnesses: Sequence[WitnessKey], threshold: int) -> str:
    """The file.

    Args:
        logs: Any of them may have signed a checkpoint, each its own.
        witnesses: Who may cosign it; none: nobody has to.
        threshold: How many of them have to; at most as many as there are.
    """
    assert not witnesses or 1 <= threshold <= len(witnesses), "out of reach"
    lines = [f"log {key}" for key in logs]
    names = [f"w{number}" for number in range(1, len(witnesses) + 1)]
    lines += [f"witness {name} {key}" for name, key in zip(names, witnesses, strict=True)]
    if names:
        lines.append(f"group {GROUP} {threshold} {' '.join(names)}")
    lines.append(f"quorum {GROUP if names else 'none'}")
    return "".join(f"{line}\n" for line in lines)
