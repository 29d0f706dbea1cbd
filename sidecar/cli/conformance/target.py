"""Which sidecar to look at, by what the options say."""

import os
from pathlib import Path

from sidecar.cli import text
from sidecar.cli.conformance.view import View
from sidecar.cli.text import CliError
from sidecar.config import read
from sidecar.config.sections import Address


def view(against: str | None, audit: Path | None, config: Path | None) -> View | None:
    """The sidecar of `--against` or `--config`; None: nobody's, make a deployment.

    Args:
        against: URL of its status port, and of its inbound listener after a comma.
        audit: Its audit folder.
        config: Its configuration, which says all three.

    Raises:
        CliError: the options contradict each other, or are no URLs.
    """
    if config is not None:
        if against is not None or audit is not None:
            raise CliError("--config says what --against and --audit say; give one", text.USAGE)
        return _configured(config)
    if against is None:
        if audit is not None:
            raise CliError("--audit: of which sidecar? give --against", text.USAGE)
        return None
    status, _, inbound = against.partition(",")
    for url in (status, inbound):
        if url and not url.startswith(("http://", "https://")):
            raise CliError(f"--against {url[:80]}: must be http://HOST:PORT", text.USAGE)
    return View(inbound.rstrip("/"), status.rstrip("/"), audit)


def _configured(file: Path) -> View:
    loaded = read.read_sidecar(file, os.environ).config
    inbound, folder = loaded.proxy.inbound, loaded.audit.dir
    url = f"http://{inbound}" if isinstance(inbound, Address) else ""
    return View(url, f"http://{loaded.status}", folder if os.access(folder, os.R_OK) else None)
