"""How drift is judged: levels, what is allowed, and what counts as how severe."""

from __future__ import annotations

from dataclasses import dataclass

from ...core.errors import UsageError
from .verdict import SEVERITIES, Severity

# A drift that reaches less of the devices than this is no more severe than the severity beside it.
_REACH: tuple[tuple[float, Severity], ...] = ((0.01, "minor"), (0.1, "moderate"))


@dataclass(frozen=True)
class Settings:
    """Rules of one server.

    Windows are `window_s` long, by arrival. `alpha` bounds the chance of any false alarm ever, over all measures and windows of
    one artifact; half of it goes to the fleet and half to its devices. Up to `delta` (devices: `device_delta`) a distance to
    the reference is allowed; of latency and errors `service_delta` (devices: twice that), since load comes and goes. `minor`,
    `moderate` and `severe` are the least distances of each severity. The first `first_windows` windows are what latency and
    errors are compared with; after `quiet_windows` windows in a row without drift an alert closes. `deff` is how many requests
    stand for an independent one.
    """

    window_s: int = 3600
    alpha: float = 0.05
    delta: float = 0.05
    device_delta: float = 0.1
    service_delta: float = 0.1
    minor: float = 0.05
    moderate: float = 0.1
    severe: float = 0.2
    first_windows: int = 24
    quiet_windows: int = 24
    deff: float = 1.0

    def __post_init__(self) -> None:
        """Check the numbers; raises UsageError."""
        if not 1 <= self.window_s <= 7 * 86_400:
            raise UsageError(f"windows of {self.window_s} seconds cannot be judged; give 1 to 604800, for example 3600.")
        if not 0 < self.alpha < 1 or not 0 < self.minor < self.moderate < self.severe < 1 or self.deff < 1:
            raise UsageError(
                "drift needs 0 < alpha < 1, severities that rise between 0 and 1, and a design effect of 1 or more."
            )
        if not (0 <= self.delta < 1 and 0 <= self.device_delta < 1 and 0 <= self.service_delta < 0.5):
            raise UsageError("what drift is allowed lies between 0 and 1 (latency and errors: 0.5); give for example 0.05.")
        if min(self.first_windows, self.quiet_windows) < 1:
            raise UsageError("a reference of latency and the end of an alert need 1 window or more; give for example 24.")

    def severity(self, low: float, reach: float) -> Severity | None:
        """By the distance's lower bound and the share of devices that drift; None below `minor`."""
        found = sum(low >= bound for bound in (self.minor, self.moderate, self.severe))
        if not found:
            return None
        most = next((SEVERITIES.index(name) for share, name in _REACH if reach < share), len(SEVERITIES) - 1)
        return SEVERITIES[min(found - 1, most)]
