"""Witnesses of audit logs on the command line: whether enough have cosigned, and who has to."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import click

from sidecar.audit import checkpoints, collection
from sidecar.cli.journals import FILE, FOLDER, KEY_FILE, KEYS, given, key_of, time_of
from sidecar.cli.peers import load_trust
from sidecar.cli.text import BAD_DATA, CliError
from sidecar.core.envelope import PublicKey, key_id
from sidecar.core.log import cosignature, tlog_policy
from sidecar.core.log.cosignature import Cosignature, Witnesses, WitnessKey
from sidecar.core.objects.trust import Trust
from sidecar.core.reason import ProtocolError, Reason

MS_PER_S = 1000

named = click.option(
    "--witness", "witness_keys", multiple=True, metavar="VKEY",
    help="Key of a witness that has to have cosigned, instead of those of --trust; repeat it.",
)  # fmt: skip


def wanted(trust: Trust | None, witness_keys: Sequence[str]) -> Witnesses | None:
    """Who has to have cosigned; None: nobody was named.

    Args:
        trust: Names witnesses, or not.
        witness_keys: Verifier keys; all of them have to, then.

    Raises:
        CliError: one of these is none.
    """
    if not witness_keys:
        return trust.witnesses if trust is not None and trust.witnesses.keys else None
    try:
        keys = {cosignature.parse_key(key).public: None for key in witness_keys}
    except ProtocolError as error:
        raise CliError(f"{error.detail}: --witness; expected name+id+base64", BAD_DATA) from None
    return Witnesses(keys, len(keys))


def check(raw: bytes, by: Witnesses) -> str:
    """Check that enough witnesses have cosigned a checkpoint.

    Args:
        raw: The note; that the log signed it is checked elsewhere.
        by: Who counts, and how many have to.

    Returns:
        What holds, one line.

    Raises:
        ProtocolError: THRESHOLD_NOT_MET, or what is wrong with a cosignature.
    """
    _, found = cosignature.find(raw, by.keys)
    good = [one for one in found if _in_time(one, by.keys)]
    if len(good) < by.threshold:
        detail = f"cosigned by {len(good)} witnesses, {by.threshold} have to"
        raise ProtocolError(Reason.THRESHOLD_NOT_MET, detail)
    said = ", ".join(f"{one.key.name} at {time_of(one.time_s * MS_PER_S)}" for one in good)
    return f"the checkpoint is cosigned by {said}; needed: {by.threshold} of {len(by.keys)}"


def _in_time(made: Cosignature, keys: Mapping[PublicKey, int | None]) -> bool:
    end = keys[made.key.public]
    return end is None or made.time_s * MS_PER_S < end


@click.command(
    "tlog-policy",
    epilog="Example: epochgate audit tlog-policy /var/lib/epochgate/audit --trust trust.json",
)
@click.argument("folder", type=FOLDER)
@click.option("--trust", "trust_file", required=True, type=FILE, help="The trust document.")
@KEYS
@KEY_FILE
def policy(folder: Path, trust_file: Path, keys: tuple[str, ...], key_file: Path | None) -> None:
    """Print who has to have signed a checkpoint of the logs in FOLDER, as a C2SP tlog-policy.

    The witnesses and how many of them are needed come from the trust document. It does not say
    under which name one signs: that is read from cosigned checkpoints in FOLDER, or it is the name
    that an authority uses.
    """
    trust, known = load_trust(trust_file), given(keys, key_file)
    journals = collection.find(folder)
    by = trust.witnesses
    if by.keys and len(by.keys) < by.threshold:
        detail = f"{by.threshold} witnesses have to cosign, and it names {len(by.keys)}"
        raise CliError(f"trust document: {trust_file}: {detail}", BAD_DATA)
    names = _names(journals, by)
    witnesses = [
        WitnessKey(names.get(key) or cosignature.witness_name(trust.domain, key_id(key)), key)
        for key in by.keys
    ]
    logs = [key_of(journal, known) for journal in journals]
    click.echo(tlog_policy.write(logs, witnesses, by.threshold), nl=False)


def _names(journals: Sequence[Path], by: Witnesses) -> dict[PublicKey, str]:
    names: dict[PublicKey, str] = {}
    for journal in journals:
        raw = checkpoints.held_cosigned(journal)
        if raw is not None:
            try:
                _, found = cosignature.find(raw, by.keys)
            except ProtocolError as error:
                where = journal / checkpoints.COSIGNED
                raise CliError(f"{where}: {error.detail}", BAD_DATA) from None
            names |= {one.key.public: one.key.name for one in found}
    return names
