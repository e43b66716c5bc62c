"""What time it is at least: the wall clock of a device may have started in 1970, and then nothing would ever expire.

The rules, in order:
1. The time of an update is the wall clock, or the floor plus the time that went by since it was learned, whichever is later.
2. The floor is learned only from an update that was verified to its end: the time that it was verified at, or the time at which
   its timestamp says that it was signed, if that is later. Neither is later than the first expiry of that update's chain, so a
   clock that ran ahead, or a thief of the timestamp key, cannot lift the floor beyond what offline keys signed for.
3. The floor is bound to the online keys that it was learned with. A root that replaces them lets go of it: that is how a fleet
   recovers from a thief who had lifted it, as it does from raised version numbers (section 5.3.11 of the specification).
"""

from __future__ import annotations

from ...core.artifact_json import Fields, parse, write
from ...core.clock import Clock
from ...core.errors import ArtifactError
from ..disk import Disk, write_durable

PERIOD = "x-edgewright-expiry-days"  # what the publisher writes into each role: for how many days it signed it
MAX_PERIOD_DAYS = 36_500  # more is a mistake or a lie
_WRITE_AFTER_S = 3600.0  # a floor that rose by less is not worth a write to flash


class TrustedTime:
    """The floor of one repository, kept in one small file."""

    def __init__(self, disk: Disk, clock: Clock, path: str) -> None:
        """Read the floor; a damaged file is none."""
        self._disk = disk
        self._clock = clock
        self._path = path
        self._floor, self._keys = self._read()
        self._written = self._floor
        self._learned_at = clock.monotonic()

    def reference(self, keys: list[str]) -> float:
        """Seconds since 1970 that surely went by, for a repository with these online keys."""
        now = self._clock.now()
        if keys != self._keys:
            return now
        return max(now, self._floor + self._clock.monotonic() - self._learned_at)

    def proved(self, verified_at: float, issued: float, expires: float, keys: list[str]) -> None:
        """Learn from an update that was verified at `verified_at`, of which the first part expires at `expires`.

        `issued` is when its timestamp was signed, as far as that can be told, else 0. Raises StoreError.
        """
        floor = max(verified_at, issued if issued <= expires else 0.0)
        has_other_keys = keys != self._keys
        self._floor, self._keys, self._learned_at = floor, keys, self._clock.monotonic()
        if has_other_keys or floor >= self._written + _WRITE_AFTER_S:
            write_durable(self._disk, self._path, write({"keys": keys, "seconds": int(floor)}, "the trusted time"))
            self._written = floor

    def _read(self) -> tuple[float, list[str]]:
        if self._disk.size(self._path) is None:
            return 0.0, []
        try:
            read = Fields(parse(self._disk.read(self._path), "the trusted time"), "the trusted time")
            return float(read.count("seconds")), list(read.texts("keys"))
        except ArtifactError:
            return 0.0, []
