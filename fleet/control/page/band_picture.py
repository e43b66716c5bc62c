"""A quantity over time with its interval: how far a distribution has moved, or how accurate a model is taken to be.

A line through the estimates, a band from lower to upper bound; squares with whiskers are what was measured apart from them,
hatched ground is where they are not to be believed, horizontal lines are bounds that mean something.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from .series_picture import Axis
from .svg import element, line, picture, text, ticks
from .words import shorten

_KEY = 20.0
_CHARACTER = 6.6  # pixels
_LABEL_ROOM = 12.0  # pixels between two labels of bounds


@dataclass(frozen=True)
class Estimate:
    """A value at `x` and the interval that it is believed to lie in, low <= value <= high."""

    x: float
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Bound:
    """A level that means something, and what."""

    level: float
    words: str


@dataclass(frozen=True)
class Stretch:
    """A time from `low` to `high` that is marked."""

    low: float
    high: float


@dataclass(frozen=True)
class Band:
    """What there is to draw, and what its parts are called; a line is broken where two estimates lie more than `gap` apart."""

    estimates: Sequence[Estimate]
    name: str
    gap: float
    bounds: Sequence[Bound] = ()
    measured: Sequence[Estimate] = ()
    measured_name: str = ""
    withdrawn: Sequence[Stretch] = ()
    withdrawn_name: str = ""
    alarm: float | None = None
    alarm_name: str = ""


def band_picture(
    band: Band, axis: Axis, levels: tuple[float, float], told: Callable[[float], str], width: float, height: float, label: str
) -> Markup:
    """SVG of `width` by `height` pixels over `axis`; the upright axis goes between the two `levels`, labelled by `told`."""
    keys = _keys(band, width)
    room = 24.0 if not band.bounds else 12.0 + _CHARACTER * max(len(item.words) for item in band.bounds)
    frame = _Frame(axis, levels, width - room, height, 10.0 + _KEY * (1 + max((row for row, *_ in keys), default=0)))
    parts = [frame.stretch(item) for item in band.withdrawn] + [frame.ground(told)]
    parts += frame.bounds(band.bounds)
    for group in _unbroken(band.estimates, band.gap):
        parts.append(frame.band(group, "off " if band.withdrawn else ""))
    if band.alarm is not None:
        x = frame.x(band.alarm)
        parts.append(line("alarm", [(x, frame.top - 4), (x, frame.bottom)]))
        parts.append(element("path", "alarm flag", d=f"M{x:.1f} {frame.top - 4:.1f}l9 4l-9 4z"))
    parts += [frame.whisker(item) for item in band.measured]
    parts += [_key(kind, frame.left + at, 10.0 + _KEY * row, name) for row, at, kind, name in keys]
    return picture("".join(parts), width, height, label)


def levels_from(values: Sequence[float], floor: float, least: float) -> tuple[float, float]:
    """The upright axis from `floor` to a round number above all values, and at least to `least`."""
    highest = max([least, *values])
    step = ticks(highest - floor, 4)[1:2] or [highest - floor]
    return floor, floor + step[0] * max(math.ceil((highest - floor) / step[0] - 1e-9), 1)


class _Frame:
    """Where times and levels lie."""

    def __init__(self, axis: Axis, levels: tuple[float, float], right: float, height: float, top: float) -> None:
        self.axis, self.levels, self.height = axis, levels, height
        self.left, self.right, self.top, self.bottom = 58.0, right, top, height - 40.0

    def x(self, value: float) -> float:
        held = min(max(value, self.axis.low), self.axis.high)
        return self.left + (self.right - self.left) * (held - self.axis.low) / ((self.axis.high - self.axis.low) or 1.0)

    def y(self, value: float) -> float:
        low, high = self.levels
        return self.bottom - (self.bottom - self.top) * (min(max(value, low), high) - low) / ((high - low) or 1.0)

    def ground(self, told: Callable[[float], str]) -> str:
        low, high = self.levels
        parts = []
        for tick in ticks(high - low, 5):
            y = self.y(low + tick)
            parts.append(line("grid" if tick else "floor", [(self.left, y), (self.right, y)]))
            parts.append(text("tick", told(low + tick), x=self.left - 7, y=y + 4, text_anchor="end"))
        for place, words in self.axis.labels:
            parts.append(line("stub", [(self.x(place), self.bottom), (self.x(place), self.bottom + 4)]))
            parts.append(text("tick", words, x=self.x(place), y=self.bottom + 17, text_anchor="middle"))
        parts.append(text("axis", self.axis.title, x=self.right, y=self.height - 6, text_anchor="end"))
        return "".join(parts)

    def bounds(self, bounds: Sequence[Bound]) -> list[str]:
        """Lines with their words to the right of them; words that would lie upon others are left out."""
        parts, taken = [], math.inf
        for item in sorted(bounds, key=lambda bound: bound.level):
            if not self.levels[0] < item.level < self.levels[1]:
                continue
            y = self.y(item.level)
            parts.append(line("bound level", [(self.left, y), (self.right, y)]))
            if taken - y >= _LABEL_ROOM:
                parts.append(text("tick", item.words, x=self.right + 6, y=y + 4))
                taken = y
        return parts

    def band(self, group: Sequence[Estimate], kind: str) -> str:
        """An unbroken line in its band; a single estimate is a dot with its whisker."""
        if len(group) == 1:
            (item,) = group
            x = self.x(item.x)
            dot = element("circle", f"{kind}dot s0", cx=x, cy=self.y(item.value), r=3)
            return line(f"{kind}series s0", [(x, self.y(item.low)), (x, self.y(item.high))]) + dot
        edge = [(self.x(item.x), self.y(item.high)) for item in group]
        edge += [(self.x(item.x), self.y(item.low)) for item in reversed(group)]
        points = " ".join(f"{x:.2f},{y:.2f}" for x, y in edge)
        middle = [(self.x(item.x), self.y(item.value)) for item in group]
        return element("polygon", f"{kind}interval s0", points=points) + line(f"{kind}series s0", middle)

    def whisker(self, item: Estimate) -> str:
        """What was measured: a square with its interval, so that it differs from the line in more than colour."""
        x, y = self.x(item.x), self.y(item.value)
        stem = line("series s1 plain", [(x, self.y(item.low)), (x, self.y(item.high))])
        return stem + element("rect", "dot s1", x=x - 3.5, y=y - 3.5, width=7, height=7)

    def stretch(self, item: Stretch) -> str:
        """Hatched ground."""
        low, high = self.x(item.low), max(self.x(item.high), self.x(item.low) + 2)
        return _hatched(low, high, self.top, self.bottom)


def _hatched(low: float, high: float, top: float, bottom: float) -> str:
    """A rectangle with strokes across, without a pattern by reference: those need an id that is unique on a page."""
    strokes, at = [], low - (bottom - top)
    while at < high:
        # From (at, bottom) upwards to the right, cut at the sides.
        begin, end = max(at, low), min(at + bottom - top, high)
        if begin < end:
            strokes.append(f"M{begin:.1f} {bottom - (begin - at):.1f}L{end:.1f} {bottom - (end - at):.1f}")
        at += 9.0
    box = element("rect", "withdrawn", x=low, y=top, width=high - low, height=bottom - top)
    return box + element("path", "hatch", d="".join(strokes))


def _unbroken(estimates: Sequence[Estimate], gap: float) -> list[list[Estimate]]:
    groups: list[list[Estimate]] = []
    for item in sorted(estimates, key=lambda one: one.x):
        if groups and item.x - groups[-1][-1].x <= gap:
            groups[-1].append(item)
        else:
            groups.append([item])
    return groups


def _keys(band: Band, width: float) -> list[tuple[int, float, str, str]]:
    """Row, place, kind and name of each entry of the key; what is not drawn has none."""
    wanted = [("estimate", band.name, bool(band.estimates)), ("measured", band.measured_name, bool(band.measured))]
    wanted += [("withdrawn", band.withdrawn_name, bool(band.withdrawn)), ("alarm", band.alarm_name, band.alarm is not None)]
    found = []
    row, at = 0, 0.0
    for kind, name, is_drawn in wanted:
        if not (is_drawn and name):
            continue
        shown = shorten(name, 46)
        length = 42.0 + _CHARACTER * len(shown)
        if at and at + length > width - 70:
            row, at = row + 1, 0.0
        found.append((row, at, kind, shown))
        at += length
    return found


def _key(kind: str, x: float, y: float, name: str) -> str:
    if kind == "estimate":
        sign = element("rect", "interval s0", x=x, y=y - 6, width=22, height=12) + line("series s0", [(x, y), (x + 22, y)])
    elif kind == "measured":
        stem = line("series s1 plain", [(x + 11, y - 7), (x + 11, y + 7)])
        sign = stem + element("rect", "dot s1", x=x + 7.5, y=y - 3.5, width=7, height=7)
    elif kind == "alarm":
        sign = line("alarm", [(x + 8, y - 7), (x + 8, y + 7)])
        sign += element("path", "alarm flag", d=f"M{x + 8:.1f} {y - 7:.1f}l9 4l-9 4z")
    else:
        sign = _hatched(x, x + 22, y - 6, y + 6)
    return sign + text("name", name, x=x + 27, y=y + 4)
