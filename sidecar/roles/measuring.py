"""What makes a sidecar measure itself, and what it shows of that.

The follower judges. Here what was found is handed to it, logged and recorded when it changes, and
shown on the status port. In a sidecar of several processes the one that follows measures: they all
run the same code with the same settings.
"""

import os
from collections.abc import Callable

from sidecar import clock
from sidecar.audit.recorder import Recorder
from sidecar.config import fingerprint, read
from sidecar.config.problem import ConfigError
from sidecar.config.read import Loaded
from sidecar.config.sections import SidecarConfig
from sidecar.core.canonical import Json
from sidecar.core.events import Measured
from sidecar.core.runtime import Measurement
from sidecar.sync import digest
from sidecar.sync.digest import Tree
from sidecar.sync.driver import Driver
from sidecar.sync.measure import Measurer, Plan
from sidecar.telemetry import logs
from sidecar.telemetry.logs import Log
from sidecar.telemetry.metrics import Metrics

_MS_PER_S = 1000


class Measuring:
    """Measures, and tells who has to know.

    Args:
        loaded: The configuration in use.
        recorder: Where each change of a digest is written.
        log: Told of each change.
        metrics: Shown when it was last looked.
    """

    def __init__(
        self, loaded: Loaded[SidecarConfig], recorder: Recorder, log: Log, metrics: Metrics
    ) -> None:
        self._measurer = Measurer(_plan(loaded), clock.now)
        self._recorder = recorder
        self._log = log
        self._metrics = metrics
        self._seen: dict[str, Json] = {}

    async def run(self, driver: Driver | None) -> None:
        """Measure until cancelled; the follower is told each time, where there is one."""

        def told(found: Measurement) -> None:
            if driver is not None:
                driver.feed(Measured(found))
            self._told(found)

        await self._measurer.run(told)

    def state(self) -> dict[str, object]:
        """What /v1/state shows: digests, problems, and what is being read."""
        found, progress = self._measurer.latest, self._measurer.progress
        return {
            **(_digests(found) if found else {}),
            "measured_at": found.measured.wall if found else None,
            "duration_ms": found.duration_ms if found else None,
            "problems": dict(self._measurer.problems),
            "progress": progress._asdict() if progress else None,
        }

    def _told(self, found: Measurement) -> None:
        self._metrics.integrity_measured.set(found.measured.wall / _MS_PER_S)
        digests = _digests(found)
        if digests != self._seen:
            self._seen = digests
            self._log.info(logs.MEASURED, **digests, problems=dict(self._measurer.problems))
            self._recorder.state("runtime", digests, clock.now())


def _digests(found: Measurement) -> dict[str, Json]:
    return {
        "code_sha256": found.code_sha256,
        "config_sha256": found.config_sha256,
        "image_digest": found.image_digest,
        "models": dict(found.models),
    }


def _plan(loaded: Loaded[SidecarConfig]) -> Plan:
    integrity = loaded.config.integrity
    return Plan(
        code=digest.code(),
        config_file=loaded.file,
        config=_in_effect(loaded),
        image_digest=integrity.image_digest,
        files={file.name: Tree(file.path) for file in integrity.files},
        period_ms=integrity.period_ms,
    )


def _in_effect(loaded: Loaded[SidecarConfig]) -> Callable[[], str | None]:
    """Says the digest of the settings in use, as long as file and variables say the same."""
    in_use = fingerprint.digest(loaded.origins)

    def now() -> str | None:
        try:
            said = fingerprint.digest(read.read_sidecar(loaded.file, os.environ).origins)
        except ConfigError:
            return None
        return in_use if said == in_use else None

    return now
