"""What came in a window of time, merged by artifact and device, a piece at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from sqlalchemy import ColumnElement, Connection, func, select

from ....core.errors import ProtocolError
from ...drift.counts import Counts, Layout
from ...drift.judge import Seen
from ..tables import WINDOWS

_AT_ONCE = 4096  # windows that are decoded together


@dataclass(frozen=True)
class Period:
    """Everything that arrived in [start, end), seconds since 1970."""

    start: int
    end: int


@dataclass(frozen=True)
class Gathered:
    """What came in a period: `seen` by artifact (model, digest), `count` windows in all, `misfits` of them of no use.

    Misfits have other bins than their artifact, or none is known of it, or counts that no device reaches; where all of an
    artifact's together are too many to be added, each of them is one.
    """

    seen: Mapping[tuple[str, str], Seen]
    count: int
    misfits: int


def count_windows(connection: Connection, period: Period) -> int:
    """How many windows came in a period."""
    return int(connection.execute(select(func.count()).select_from(WINDOWS).where(*_within(period))).scalar_one())


def gather(connection: Connection, period: Period, layouts: Mapping[tuple[str, str], Layout]) -> Gathered:
    """What came in a period of these artifacts."""
    artifacts: dict[tuple[str, str], _Artifact] = {}
    columns = (WINDOWS.c.device, WINDOWS.c.model, WINDOWS.c.sha256, WINDOWS.c.data)
    count, misfits = 0, 0
    rows = select(*columns).where(*_within(period)).execution_options(yield_per=_AT_ONCE)
    for device, model, sha256, data in connection.execute(rows):
        count += 1
        layout = layouts.get((model, sha256))
        if layout is None:
            misfits += 1
            continue
        artifacts.setdefault((model, sha256), _Artifact(layout)).add(device, data)
    found = {}
    for key, artifact in sorted(artifacts.items()):
        seen = artifact.seen()
        misfits += artifact.misfits
        if seen is not None:
            found[key] = seen
    return Gathered(found, count, misfits)


@dataclass
class _Artifact:
    layout: Layout
    misfits: int = 0
    _count: int = 0
    _places: dict[str, int] = field(default_factory=dict)
    _owners: list[int] = field(default_factory=list)
    _waiting: list[bytes] = field(default_factory=list)
    _merged: list[tuple[Counts, Sequence[int]]] = field(default_factory=list)

    def add(self, device: str, data: bytes) -> None:
        self._owners.append(self._places.setdefault(device, len(self._places)))
        self._waiting.append(data)
        self._count += 1
        if len(self._waiting) >= _AT_ONCE:
            self._flush()

    def seen(self) -> Seen | None:
        self._flush()
        if not self._merged:
            return None
        rows = np.concatenate([rows for rows, _ in self._merged])
        try:
            self.layout.merge_all(rows)  # where all can be added, so can be those of any devices
        except ProtocolError:
            self.misfits = self._count
            return None
        owners = np.concatenate([np.asarray(owners, np.intp) for _, owners in self._merged])
        names = list(self._places)
        heard = np.unique(owners)  # a device of which every window is a misfit is not among them
        merged = self.layout.merge(rows, np.searchsorted(heard, owners), len(heard))
        return Seen(self.layout, tuple(names[at] for at in heard), merged)

    def _flush(self) -> None:
        windows, owners = self._waiting, self._owners
        self._waiting, self._owners = [], []
        if not windows:
            return
        try:
            rows = self.layout.decode(windows)
        except ProtocolError:
            fits = [self.layout.fits(data) for data in windows]
            self.misfits += len(fits) - sum(fits)
            windows = [data for data, is_one in zip(windows, fits, strict=True) if is_one]
            owners = [owner for owner, is_one in zip(owners, fits, strict=True) if is_one]
            if not windows:
                return
            rows = self.layout.decode(windows)
        own, places = np.unique(np.asarray(owners, np.intp), return_inverse=True)
        self._merged.append((self.layout.merge(rows, places.reshape(-1), len(own)), own.tolist()))


def _within(period: Period) -> tuple[ColumnElement[bool], ...]:
    return WINDOWS.c.received_at >= period.start, WINDOWS.c.received_at < period.end
