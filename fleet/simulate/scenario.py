"""What is rehearsed: how large the fleet is, what is wrong with the new version, and what else goes wrong."""

from __future__ import annotations

from dataclasses import dataclass, fields

from ...core.errors import UsageError

# What the new version does on a device where it fails, and who finds it.
KINDS = {
    "wrong": "its answers are not those of its test vectors: the device's own check",
    "crashing": "its process ends in the trial: the device's own watch over it",
    "late": "its process ends after it was committed, and does not start again: the device goes back",
    "slow": "most of its requests take five times as long: a guard over the fleet",
    "unsure": "it is less confident than at compile time: a guard over the fleet",
}
MIXED = "mixed"


@dataclass(frozen=True)
class Scenario:
    """Shares lie in [0, 1], times in seconds.

    On a share `failure` of the devices, of those that match the query `fails_where`, the new version fails in the way of
    `kind` (of KINDS, or MIXED). `loss` is of exchanges with the server, `silent` of devices that are off, `power_cuts` of
    updates that one falls into, `wrong_clocks` of devices. `poll_s` is the period of polls, `trial_s` what a device tries a new
    version before it commits it, `window_s` what a window of telemetry spans, `most_s` the longest that is rehearsed.
    """

    devices: int = 1000
    failure: float = 0.0
    kind: str = "crashing"
    fails_where: str = ""
    loss: float = 0.01
    silent: float = 0.005
    power_cuts: float = 0.001
    wrong_clocks: float = 0.01
    poll_s: float = 300.0
    trial_s: float = 300.0
    window_s: float = 1800.0
    most_s: float = 60 * 86400.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise UsageError for what cannot be rehearsed."""
        if not 1 <= self.devices <= 1_000_000:
            raise UsageError(f"{self.devices:,} devices cannot be simulated; give 1 to 1,000,000.")
        if self.kind not in (*KINDS, MIXED):
            raise UsageError(f"{self.kind!r} is no way to fail; choose one of {', '.join(KINDS)}, {MIXED}.")
        for name in ("failure", "loss", "silent", "power_cuts", "wrong_clocks"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise UsageError(f"{name.replace('_', ' ')} is {getattr(self, name):g}, and a share lies between 0 and 1.")
        for item in fields(self):
            if item.name.endswith("_s") and not 1.0 <= getattr(self, item.name) <= 10 * 366 * 86400.0:
                raise UsageError(
                    f"{item.name.removesuffix('_s')} is {getattr(self, item.name):g} s; give 1 second to ten years."
                )
