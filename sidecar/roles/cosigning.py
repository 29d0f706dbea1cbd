"""The witness of an authority: its key checked, its routes wired to the fleet that reports."""

from functools import partial

from aiohttp import web

from sidecar import clock, signer
from sidecar.authority import witness
from sidecar.authority.publisher import Publisher
from sidecar.authority.witness import Witness
from sidecar.config.sections import AuthorityConfig
from sidecar.core.objects.trust import Role
from sidecar.roles.start import StartError, why
from sidecar.telemetry.logs import Log


def routes(config: AuthorityConfig, publisher: Publisher, log: Log) -> list[web.RouteDef]:
    """What the public port answers as a witness; nothing without `keys.witness`.

    Raises:
        StartError: the key has not the role, or the files cannot be used.
        KeyFileError: the key cannot be used.
    """
    file = config.witness_key_file
    if file is None:
        return []
    key, trust = signer.load(file), publisher.trust
    if key.key_id not in trust.keys[Role.WITNESS]:
        how = "epochgate trust add-key --help; or name another key in spec.keys.witness"
        raise StartError(f"witness key: {file}: the trust document gives it no role witness; {how}")
    folder = config.state_dir / witness.FOLDER
    try:
        made = Witness(
            folder, key, trust.domain,
            lambda origin: witness.key_of(origin, trust.domain, publisher.fleet.members),
            clock.now, partial(log.complain, "witness"),
        )  # fmt: skip
    except OSError as error:
        raise StartError(f"witness: {folder}: {why(error)}; check spec.state.dir") from None
    return made.routes()
