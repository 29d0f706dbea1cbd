"""The digest of the effective configuration: what an epoch may demand as `config_sha256`.

It is the SHA-256 of one canonical JSON object (sorted keys, no white space, UTF-8) that has, for
each line that `epochgate config show FILE` prints, the path and the value:

    {"spec.audit.checkpointPeriod":"1s", ... ,"spec.workers":"1"}

So variables count as they override the file, defaults count as if they were written down, and the
form of the file, its comments and the order of its keys do not. A release that adds a setting
changes the digest: it is then another configuration.

Not in it: passwords (`passwordFile` is, as it is written), where a value came from,
`metadata.name`, and `integrity.imageDigest`, which is a finding of its own and no setting.

Source: protocol b.1 (runtime), b.8 item 4.
"""

from collections.abc import Iterable

from sidecar.config.read import Setting
from sidecar.core import canonical

LEFT_OUT = frozenset({"spec.integrity.imageDigest"})


def digest(settings: Iterable[Setting]) -> str:
    """The digest, hex.

    Args:
        settings: Every effective value, as the reader returns them in `origins`.
    """
    said = {item.path: item.value for item in settings if item.path not in LEFT_OUT}
    return canonical.digest(canonical.encode(said))
