"""Accuracy over time: what was estimated of each window, beside the labels that came for the hour that it lies in."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, func, select

from ...drift.accuracy import contradicted
from ..tables import OUTCOMES
from .views import AccuracyPoint, AccuracyView, Point

_HOUR_S = 3600  # labels are counted by the hour in which was predicted


def accuracy_view(connection: Connection, model: str, sha256: str, points: Sequence[Point]) -> AccuracyView:
    """Accuracy of an artifact over windows of the fleet, the oldest first.

    Labels of an hour are told with the last window that begins in it, or spans it.
    """
    by_window: dict[int, tuple[int, int]] = {}
    for hour, (right, count) in _labelled(connection, model, sha256, points[0].start if points else 0).items():
        within = [item.start for item in points if item.start < hour + _HOUR_S and hour < item.start + item.seconds]
        if within:
            before = by_window.get(within[-1], (0, 0))
            by_window[within[-1]] = before[0] + right, before[1] + count
    found = tuple(
        AccuracyPoint(item.start, item.seconds, item.judged.accuracy, *by_window.get(item.start, (0, 0))) for item in points
    )
    told = [(item.estimate, item.right, item.labelled) for item in found if item.estimate is not None]
    newest = told[-1][0] if told else None
    return AccuracyView(sha256, found, contradicted(told) or (newest.doubt if newest else "") or None)


def _labelled(connection: Connection, model: str, sha256: str, since: int) -> dict[int, tuple[int, int]]:
    """Right and all labelled predictions by hour."""
    is_right = OUTCOMES.c.predicted == OUTCOMES.c.label
    rows = connection.execute(
        select(OUTCOMES.c.start, is_right.label("is_right"), func.sum(OUTCOMES.c.count))
        .where(
            OUTCOMES.c.model == model,
            OUTCOMES.c.sha256 == sha256,
            OUTCOMES.c.start > since - _HOUR_S,
        )
        .group_by(OUTCOMES.c.start, is_right)
    )
    found: dict[int, tuple[int, int]] = {}
    for start, right, count in rows:
        before = found.get(start, (0, 0))
        found[start] = before[0] + (int(count) if right else 0), before[1] + int(count)
    return found
