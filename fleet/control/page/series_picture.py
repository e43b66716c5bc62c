"""Pictures of telemetry: how latencies spread, and how a quantity went over time, a line a version.

Lines differ in colour and in how they are dashed, and each carries its name at its end or in the key above.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

from markupsafe import Markup

from .svg import element, line, picture, text, ticks
from .words import shorten

MOST = 4  # lines that can be told apart
_KEY = 20.0
_CHARACTER = 6.9  # pixels
_TIME_STEPS = (60, 300, 900, 1800, 3600, 3 * 3600, 6 * 3600, 12 * 3600, *(86400 * days for days in (1, 2, 7, 14, 30, 90)))
_MOST_LABELS = 5


@dataclass(frozen=True)
class Series:
    """A line: its name and its points (x, y), x rising."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Axis:
    """The horizontal axis: its ends, where a label stands, and what it counts."""

    low: float
    high: float
    labels: Sequence[tuple[float, str]]
    title: str


def series_picture(
    series: Sequence[Series], axis: Axis, told: Callable[[float], str], width: float, height: float, label: str
) -> Markup:
    """SVG of at most four lines over `axis`; the upright axis starts at nought and is labelled by `told`."""
    shown = series[:MOST]
    left, right, top, bottom = 58.0, width - 24.0, 12.0 + _KEY * _key_rows(shown, width), height - 40.0
    highest = max((y for item in shown for _, y in item.points), default=0.0)
    steps = ticks(highest if highest > 0 else 1.0, 4)
    step = steps[1] if len(steps) > 1 else 1.0
    high = max(math.ceil(highest / step - 1e-9) * step, step)

    def x(value: float) -> float:
        held = min(max(value, axis.low), axis.high)
        return left + (right - left) * (held - axis.low) / ((axis.high - axis.low) or 1.0)

    def y(value: float) -> float:
        return bottom - (bottom - top) * min(max(value, 0.0), high) / high

    parts = []
    for number in range(round(high / step) + 1):
        value = number * step
        parts.append(line("grid" if number else "floor", [(left, y(value)), (right, y(value))]))
        parts.append(text("tick", told(value), x=left - 7, y=y(value) + 4, text_anchor="end"))
    for place, words in axis.labels:
        parts.append(line("stub", [(x(place), bottom), (x(place), bottom + 4)]))
        parts.append(text("tick", words, x=x(place), y=bottom + 17, text_anchor="middle"))
    parts.append(text("axis", axis.title, x=right, y=height - 6, text_anchor="end"))
    for number, item in enumerate(shown):
        if len(item.points) == 1:
            parts.append(element("circle", f"dot s{number}", cx=x(item.points[0][0]), cy=y(item.points[0][1]), r=3.5))
        elif item.points:
            parts.append(line(f"series s{number}", [(x(a), y(b)) for a, b in item.points]))
    parts.append(_key(shown, left, width))
    return picture("".join(parts), width, height, label)


def _layout(shown: Sequence[Series], width: float) -> list[tuple[int, float, str]]:
    """Row, place and text of each entry of the key."""
    found = []
    row, at = 0, 0.0
    for item in shown:
        name = shorten(item.name, 28)
        length = 40.0 + _CHARACTER * len(name)
        if at and at + length > width - 70:
            row, at = row + 1, 0.0
        found.append((row, at, name))
        at += length
    return found


def _key_rows(shown: Sequence[Series], width: float) -> int:
    return 1 + max((row for row, _, _ in _layout(shown, width)), default=0)


def _key(shown: Sequence[Series], left: float, width: float) -> str:
    parts = []
    for number, (row, at, name) in enumerate(_layout(shown, width)):
        y = 10.0 + _KEY * row
        parts.append(line(f"series s{number}", [(left + at, y), (left + at + 22, y)]))
        parts.append(text("name", name, x=left + at + 27, y=y + 4))
    return "".join(parts)


def log_axis(low: float, high: float, title: str) -> Axis:
    """From `low` to `high`, both above nought, a label a decade, or of few decades three; places are decimal logarithms."""
    ends = math.log10(low), math.log10(max(high, low * 2))
    steps = (1.0,) if ends[1] - ends[0] > 2.5 else (1.0, 2.0, 5.0)
    decades = range(math.floor(ends[0]), math.floor(ends[1]) + 1)
    marks = [step * 10.0**power for power in decades for step in steps]
    labels = [(math.log10(mark), f"{mark:,g}") for mark in marks if low <= mark * (1 + 1e-9) and mark <= high * (1 + 1e-9)]
    return Axis(*ends, labels, title)


def time_axis(first: int, last: int) -> Axis:
    """Round times between two, seconds since 1970, labelled by clock, or by day where there are several."""
    span, by_day = max(last - first, 1), last - first > 36 * 3600
    steps = [step for step in _TIME_STEPS if step >= 86400 or not by_day]
    step = next((step for step in steps if span / step <= _MOST_LABELS), span / _MOST_LABELS)
    places = [step * place for place in range(math.ceil(first / step), math.floor(last / step) + 1)]
    labels = [(float(at), datetime.fromtimestamp(at, timezone.utc).strftime("%d %b" if by_day else "%H:%M")) for at in places]
    return Axis(float(first), float(max(last, first + 1)), labels, "day, UTC" if by_day else "time, UTC")
