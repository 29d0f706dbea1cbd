"""One sink over all logs of the sidecar: its figures, and whether it is too far behind.

A required sink is behind when a record waits longer than `maxLag`, or when there is no telling. It
has caught up when nothing waits longer than half of that, so that the gate does not flap.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from sidecar.audit.sinks.outlet import Outlet
from sidecar.audit.sinks.pump import Pump
from sidecar.config import sections


class Sink:
    """What one entry of spec.audit.sinks does.

    Args:
        settings: Of that entry.
        outlet: Its receiver.
        pumps: One for each log.

    Attributes:
        behind: Whether a required sink is further behind than it may be.
    """

    def __init__(self, settings: sections.Sink, outlet: Outlet, pumps: Sequence[Pump]) -> None:
        self.name: Final = settings.name
        self.pumps: Final = pumps
        self.outlet: Final = outlet
        self.behind = False
        self._settings = settings

    @property
    def lag_ms(self) -> int:
        """Age of the oldest record that was not acknowledged, in any log that can be sent."""
        return max((pump.lag_ms() or 0 for pump in self.pumps), default=0)

    @property
    def records(self) -> int:
        """Acknowledged."""
        return sum(pump.records for pump in self.pumps)

    @property
    def failures(self) -> int:
        """Attempts that were not acknowledged."""
        return sum(pump.failures for pump in self.pumps)

    @property
    def dropped(self) -> int:
        """Records that the receiver will never have."""
        return sum(pump.dropped for pump in self.pumps)

    def judge(self) -> bool:
        """Compare the lag with its budget; whether `behind` has changed."""
        if not self._settings.required:
            return False
        stopped = any(pump.cursor is None for pump in self.pumps)
        most_ms = self._settings.max_lag_ms // (2 if self.behind else 1)
        before, self.behind = self.behind, stopped or self.lag_ms > most_ms
        return self.behind is not before

    def state(self) -> Mapping[str, object]:
        """What /v1/state shows of it; durations in ms."""
        return {
            "kind": self._settings.kind,
            "required": self._settings.required,
            "max_lag_ms": self._settings.max_lag_ms,
            "lag_ms": self.lag_ms,
            "behind": self.behind,
            "records": self.records,
            "failures": self.failures,
            "refused": sum(pump.refused for pump in self.pumps),
            "dropped": self.dropped,
            "why": next((pump.why for pump in self.pumps if pump.why), None),
            "logs": {
                pump.log: None if pump.cursor is None else pump.cursor.seq for pump in self.pumps
            },
        }
