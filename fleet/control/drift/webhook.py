"""Alerts told to an address of the user's: a POST of JSON, once for each change of an alert's severity or state.

What was told last is kept with the alert, after the other side took it (any status from 200 to 299): it may hear the same event
again where this process died in between, or where two servers tell it, and knows it by its `Idempotency-Key`. What is not taken
is tried again for as long as it holds, with waits that grow, each alert by itself; those that were never refused come first.
Where nobody answers, the rest of the round is left out. An alert that opened and closed before anybody could be told is not
told any more.
"""

from __future__ import annotations

import logging
import random
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy import and_, or_, select, update

from ....core.canonical import dumps
from ....core.errors import NetworkError, UsageError
from ...http import Http, Limits
from ..database import Database
from ..tables import ALERTS, ARTIFACTS
from .views import CLOSED, Alert, to_alert

log = logging.getLogger("edgewright.control")

WEBHOOK_VERSION = 1
_LIMITS = Limits(head_s=15.0, total_s=30.0, attempts=1, first_wait_s=2.0, longest_wait_s=300.0)
_MOST_BYTES = 64 << 10  # of an answer
_LOOK_S = 5.0


class Webhook:
    """Tells alerts to one address. One thread at a time; several servers may tell the same."""

    def __init__(self, database: Database, url: str, jitter: random.Random | None = None) -> None:
        """`url` is http or https; raises UsageError for another."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError("the webhook of alerts needs an address that begins with https:// or http://.")
        self._database, self._url, self._host = database, url, parts.hostname
        self._jitter = jitter or random.Random()
        self._http = Http(database.clock, limits=_LIMITS, jitter=self._jitter)
        self._refused: dict[int, tuple[int, float]] = {}  # by alert: how often in a row, and the monotonic time of the next try

    def tick(self) -> float:
        """Tell what is to be told; seconds until the next look. Raises StoreError when the database cannot be used."""
        with self._database.reading() as connection:
            rows = connection.execute(
                select(ALERTS)
                .where(
                    or_(
                        and_(ALERTS.c.told.is_(None), ALERTS.c.state != CLOSED),
                        ALERTS.c.told != ALERTS.c.severity + " " + ALERTS.c.state,
                    )
                )
                .order_by(ALERTS.c.id)
            ).all()
            known = select(ARTIFACTS.c.sha256, ARTIFACTS.c.version).where(ARTIFACTS.c.sha256.in_({row.sha256 for row in rows}))
            versions: dict[str, int] = {row.sha256: row.version for row in connection.execute(known)}
        clock = self._database.clock
        self._refused = {row.id: self._refused[row.id] for row in rows if row.id in self._refused}
        for row in sorted(rows, key=lambda row: (self._failures(row.id), row.id)):
            if row.id in self._refused and clock.monotonic() < self._refused[row.id][1]:
                continue
            alert = to_alert(row)
            status = self._post(alert, versions.get(alert.sha256))
            if status is None or not 200 <= status < 300:
                failures = self._failures(alert.id) + 1
                wait = max(_LIMITS.first_wait_s, _LIMITS.wait(failures, self._jitter))
                self._refused[alert.id] = failures, clock.monotonic() + wait
                why = "no answer" if status is None else f"status {status}"
                log.warning("alert %d was not taken by the webhook at %s (%s); it is told again", alert.id, self._host, why)
                if status is None:
                    return wait
                continue
            self._refused.pop(alert.id, None)
            with self._database.transaction() as connection:
                connection.execute(update(ALERTS).where(ALERTS.c.id == alert.id).values(told=f"{alert.severity} {alert.state}"))
        return _LOOK_S

    def _failures(self, alert: int) -> int:
        return self._refused.get(alert, (0, 0.0))[0]

    def _post(self, alert: Alert, version: int | None) -> int | None:
        """The status of the answer; None where nobody answered."""
        headers = {"Content-Type": "application/json", "Idempotency-Key": event(alert)}
        try:
            answer = self._http.post(self._url, dumps(message(alert, version)), max_bytes=_MOST_BYTES, headers=headers)
        except NetworkError:
            return None  # the error's sentence holds the address, whose path may be a secret
        return answer.status


def event(alert: Alert) -> str:
    """The name of what is told: the same whenever it is told again."""
    return f"edgewright/{alert.model}/{alert.id}/{alert.severity}/{alert.state}"


def message(alert: Alert, version: int | None) -> dict[str, Any]:
    """The JSON object that is posted; times are seconds since 1970."""
    return {
        "version": WEBHOOK_VERSION,
        "event": event(alert),
        "alert": alert.id,
        "model": alert.model,
        "model_version": version,
        "sha256": alert.sha256,
        "measure": alert.measure,
        "scope": {"kind": alert.scope.kind, "name": alert.scope.name, "value": alert.scope.value},
        "severity": alert.severity,
        "state": alert.state,
        "first_at": alert.first_at,
        "last_at": alert.last_at,
        "windows": alert.windows,
        "acknowledged_by": alert.acknowledged_by,
        "evidence": dict(alert.evidence),
    }
