"""The engine of drift: judges each window of time once it is over, and keeps what follows in one transaction.

Windows are by arrival at the server, which no device's clock can disturb, and of equal length on a grid; empty ones are passed
over. What is judged is computed on one moment of the database and written only where nobody judged it meanwhile and nothing
came late. So a process that dies leaves a window judged or not judged, and two servers on one database judge each once.
"""

from __future__ import annotations

import json
import logging
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from sqlalchemy import Connection, func, select

from ...drift.compare import Others
from ...drift.counts import Counts, Layout
from ...drift.describe import holds
from ...drift.judge import Attributes, Judgement, Seen, Stand, judge
from ...drift.scope import FLEET, Scope
from ...drift.sequence import Tests, make_tests
from ...drift.settings import Settings
from ...drift.watched import watched_measures
from ...protocol.window import Window
from ..attributes import attributes_of
from ..database import Database
from ..tables import DRIFT_WINDOWS, WINDOWS
from .alerts import Closed, apply, open_alerts, scopes_of
from .gather import Gathered, Period, count_windows, gather
from .states import First, judged_until, load, save, set_judged_until
from .watching import Watching, watching

log = logging.getLogger("edgewright.control")

_GRACE_S = 5.0  # after a window's end, so that what arrived at its end is there
_OLDEST_S = 30 * 86_400.0  # windows that came before are not judged any more when the engine first runs
_MOST_WINDOWS = 50  # judged in one look
_LONGEST_S = 60.0  # between two looks


@dataclass(frozen=True)
class _Of:
    """What was judged of an artifact, and what is kept of it; `before` is where it stood, None to write all of it anew."""

    tests: Tests
    seen: Seen
    judgement: Judgement
    first: First
    before: Stand | None


class DriftEngine:
    """Judges windows. One thread at a time; other processes may do the same on the same database."""

    def __init__(self, database: Database, settings: Settings | None = None) -> None:
        self.database = database
        self.settings = settings or Settings()

    def tick(self) -> float:
        """Judge all windows that are over; seconds until the next look. Raises StoreError when the database cannot be used."""
        for _ in range(_MOST_WINDOWS):
            now = self.database.clock.now()
            with self.database.reading() as connection:
                through = judged_until(connection)
                period = self._next(connection, through)
                if period is None:
                    return min(_LONGEST_S, self.settings.window_s / 2)
                due = period.end + min(_GRACE_S, self.settings.window_s / 5)
                if due > now:
                    return min(_LONGEST_S, due - now)
                layouts = watching(connection)
                gathered = gather(connection, period, {key: item.layout for key, item in layouts.items()})
                judged = self._judged(connection, period, gathered, layouts)
            self._keep(period, through, gathered, judged)
        return 0.0

    def _next(self, connection: Connection, through: float | None) -> Period | None:
        """The next window of time in which something came; None where nothing did."""
        since = self.database.clock.now() - _OLDEST_S if through is None else through
        first = connection.execute(select(func.min(WINDOWS.c.received_at)).where(WINDOWS.c.received_at >= since)).scalar()
        if first is None:
            return None
        length = self.settings.window_s
        start = int(first // length) * length
        return Period(start if through is None else max(start, int(through)), start + length)

    def _judged(
        self,
        connection: Connection,
        period: Period,
        gathered: Gathered,
        known: Mapping[tuple[str, str], Watching],
    ) -> dict[tuple[str, str], _Of]:
        attributes = _Attributes(connection, self.database)
        found = {}
        for (model, sha256), seen in gathered.seen.items():
            kept = load(connection, model, sha256)
            tests = self._tests(known[model, sha256], kept.first)
            if not tests.groups:
                continue
            row, before = seen.layout.merge_all(seen.rows), kept.stand(tests)
            judgement = judge(
                tests, seen, before, _Others(connection, tests, seen.layout, period), attributes,
                scopes_of(open_alerts(connection, model)), self.settings, zlib.crc32(f"{sha256}{period.start}".encode()),
            )  # fmt: skip
            found[model, sha256] = _Of(
                tests, seen, judgement, self._first(kept.first, seen.layout, row), None if kept.is_whole else before
            )
        return found

    def _tests(self, of: Watching, first: First) -> Tests:
        is_known = first.count >= self.settings.first_windows
        measures = watched_measures(of.histograms, first.window if is_known else None)
        bins = [item for item in measures if item.tensor is not None]
        return make_tests(bins, [item for item in measures if item.tensor is None], self.settings)

    def _first(self, first: First, layout: Layout, row: Counts) -> First:
        if first.count >= self.settings.first_windows:
            return first
        window = layout.window(row)
        return First(window if first.window is None else first.window.merge(window), first.count + 1)

    def _keep(
        self,
        period: Period,
        through: float | None,
        gathered: Gathered,
        judged: Mapping[tuple[str, str], _Of],
    ) -> None:
        """Write what was judged, unless somebody else did, or something came late."""
        with self.database.transaction() as connection:
            if judged_until(connection) != through or count_windows(connection, period) != gathered.count:
                return
            if gathered.misfits:
                log.warning(
                    "%d windows of telemetry have no bins that are known, or others, or counts that no device reaches; "
                    "drift is not looked for in them",
                    gathered.misfits,
                )
            for model in sorted({model for model, _ in judged}):
                of_model = {sha256: of for (name, sha256), of in judged.items() if name == model}
                closed = apply(
                    connection, self.database, model, {sha256: of.judgement for sha256, of in of_model.items()},
                    self.settings, period.end,
                )  # fmt: skip
                attributes = _Attributes(connection, self.database)
                for sha256, of in of_model.items():
                    stand = of.judgement.stand
                    for item in closed:
                        stand = _anew(of.tests, stand, item, attributes)
                    save(connection, self.database, of.tests, stand, of.before, (model, sha256), of.first, float(period.end))
                    self._put_windows(connection, (model, sha256), period, of)
            set_judged_until(connection, self.database, float(period.end))

    def _put_windows(self, connection: Connection, key: tuple[str, str], period: Period, of: _Of) -> None:
        model, sha256 = key
        put = self.database.upsert(DRIFT_WINDOWS)
        rows = [
            {
                "model": model, "sha256": sha256, "scope": str(scope), "start": period.start,
                "seconds": period.end - period.start, "data": of.seen.layout.window(row).encode(),
                "judged": json.dumps(judged.to_json(), separators=(",", ":")),
            }
            for scope, (row, judged) in of.judgement.windows.items()
        ]  # fmt: skip
        connection.execute(put.on_conflict_do_nothing(), rows)


class _Attributes:
    """Attributes of all devices, read when they are first asked for."""

    def __init__(self, connection: Connection, database: Database) -> None:
        self._connection, self._now = connection, database.clock.now()
        self._found: Attributes | None = None

    def __call__(self) -> Attributes:
        if self._found is None:
            self._found = attributes_of(self._connection, self._now)
        return self._found


class _Others:
    """Other windows of an artifact's scopes: the one before, and those a day and a week before."""

    def __init__(self, connection: Connection, tests: Tests, layout: Layout, period: Period) -> None:
        self._connection, self._watched, self._layout, self._period = connection, tests.watched, layout, period

    def __call__(self, scope: Scope) -> Others:
        windows, start = DRIFT_WINDOWS.c, self._period.start
        which = (windows.model == self._layout.model, windows.sha256 == self._layout.sha256, windows.scope == str(scope))
        query = select(windows.data).where(*which)
        last = self._connection.execute(query.where(windows.start < start).order_by(windows.start.desc()).limit(1)).scalar()
        day, week = (self._connection.execute(query.where(windows.start == start - days * 86_400)).scalar() for days in (1, 7))
        return Others(*(None if data is None else self._counts(data) for data in (last, day, week)))

    def _counts(self, data: bytes) -> dict[str, Counts]:
        window = Window.decode(data)
        return {item.name: np.asarray(item.of_window(window), np.int64) for item in self._watched}


def _anew(tests: Tests, stand: Stand, closed: Closed, attributes: _Attributes) -> Stand:
    """With the tests of an alert that closed started anew."""
    if closed.measure not in {item.name for item in tests.watched}:
        return stand
    if closed.scope == FLEET:
        return Stand(tests.anew(stand.fleet, closed.measure), stand.devices, stand.names)
    about = attributes() if closed.scope.kind == "attribute" else {}
    which = np.array([holds(closed.scope, name, about.get(name, {})) for name in stand.names], bool)
    return Stand(stand.fleet, tests.anew(stand.devices, closed.measure, which), stand.names)
