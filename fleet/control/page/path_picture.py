"""The picture of a sequential test: how the evidence moved with each device that answered, between the bounds that decide.

Evidence is an e-value, the stake of a bet against "this version is no worse than allowed" or "it is as bad as may not be".
It starts at 1; by Ville's inequality it reaches 1/alpha with a probability of at most alpha if the claim is true, however often
one looks. The path of a test to stop is drawn above and climbs to the upper bound; that of a test to go on is drawn below and
falls to the lower bound: so what speaks against the version moves both up, and what speaks for it moves both down.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from .svg import cross, element, line, picture, text, whole_ticks
from .words import count, number

Side = Literal["stop", "go"]
Mark = Literal["good", "bad", "silent", "pending"]

_BAND = 20.0  # pixels of the band beyond a bound
_BEYOND = 0.5  # of the bound: how far beyond it the band goes
_LEAST = -math.log(10)  # evidence: what lies below is drawn there
_GAP = 10.0  # pixels between the room of the test to stop and that of the test to go on
_RUG = 26.0  # pixels for the row of answers
_MOST_TICKS = 240  # good answers that are drawn one by one
_GOALS = {"stop": "stop", "go": "go on"}


@dataclass(frozen=True)
class Path:
    """The evidence of one test: natural logarithms of its e-value after each answer, the first after the first.

    `side` tells what it may lead to, `bound` is the logarithm that decides.
    """

    side: Side
    values: Sequence[float]
    bound: float

    @property
    def decided(self) -> int | None:
        """After how many answers the bound was first reached, or None."""
        return next((place for place, value in enumerate(self.values, 1) if value >= self.bound), None)


@dataclass(frozen=True)
class Captions:
    """Words of the picture: what reaching the upper and the lower bound says, and what is counted along the bottom."""

    stop: str
    go: str
    along: str


def path_picture(
    paths: Sequence[Path],
    marks: Sequence[Mark],
    expected: int,
    captions: Captions,
    width: float,
    height: float,
    label: str = "",
) -> Markup:
    """SVG of `width` by `height` pixels of the path of one test, or of one of each side.

    `marks` are the answers in their order, one beside each value, drawn as a row under the paths; `expected` answers can come
    in all, so that one sees how much is still to come. Values of any size, infinite ones too, stay inside the picture.
    """
    frame = _Frame(paths, marks, expected, width, height)
    body = frame.ground(captions) + "".join(frame.path(item) for item in paths) + frame.rug()
    return picture(body, width, height, label or describe(paths, len(marks), captions))


def describe(paths: Sequence[Path], answers: int, captions: Captions) -> str:
    """What the picture shows, in words."""
    told = [f"After {count(answers)} {captions.along}"]
    for item in paths:
        what = captions.stop if item.side == "stop" else captions.go
        where = f"reached after {count(item.decided)}" if item.decided else f"{evidence_text(item)} of {times(item.bound)}"
        told.append(f"{what}: {where}")
    return "; ".join(told) + "."


def evidence_text(path: Path) -> str:
    """The evidence now, or where the bound was reached, as a factor: "4.2×"."""
    return times(path.values[(path.decided or len(path.values)) - 1] if path.values else 0.0)


class _Frame:
    """Where answers and evidence lie: above the test to stop, below the one to go on; one alone has all the room."""

    def __init__(self, paths: Sequence[Path], marks: Sequence[Mark], expected: int, width: float, height: float) -> None:
        self.paths, self.marks = {item.side: item for item in paths}, marks
        self.is_narrow = width < 500
        self.left, self.right = 44.0, width - 16.0
        self.floor = height - 40.0
        self.rug_at = self.floor - _RUG / 2
        self.most = max(expected, len(marks), *(len(item.values) for item in paths), 1)
        top, bottom = 8.0, self.floor - (_RUG if marks else 0.0)
        middle = (top + bottom) / 2
        self.rooms = dict.fromkeys(self.paths, (top, bottom))
        if len(self.paths) == 2:
            self.rooms = {"stop": (top, middle - _GAP / 2), "go": (middle + _GAP / 2, bottom)}

    def x(self, answers: float) -> float:
        return self.left + (self.right - self.left) * answers / self.most

    def y(self, side: Side, evidence: float) -> float:
        """Upwards to stop, downwards to go on."""
        (top, bottom), bound = self.rooms[side], self.paths[side].bound
        share = (min(max(evidence, _LEAST), bound) - _LEAST) / (bound - _LEAST)
        rise = share * (bottom - top - _BAND) + _BAND * min(max(evidence / bound - 1, 0.0), _BEYOND) / _BEYOND
        return bottom - rise if side == "stop" else top + rise

    def ground(self, captions: Captions) -> str:
        """Bands beyond the bounds, their words, the grid and both axes."""
        parts = [self._room(side, captions.stop if side == "stop" else captions.go) for side in self.paths]
        for tick in whole_ticks(self.most, 4 if self.is_narrow else 8):
            parts.append(line("stub", [(self.x(tick), self.floor), (self.x(tick), self.floor + 4)]))
            parts.append(text("tick", count(tick), x=self.x(tick), y=self.floor + 17, text_anchor="middle"))
        parts.append(line("floor", [(self.left, self.floor), (self.right, self.floor)]))
        parts.append(text("axis", captions.along, x=self.right, y=self.floor + 33, text_anchor="end"))
        return "".join(parts)

    def _room(self, side: Side, told: str) -> str:
        item = self.paths[side]
        edge, outer = self.y(side, item.bound), self.y(side, 2 * item.bound)
        parts = [
            element(
                "rect",
                f"band {side}",
                x=self.left,
                y=min(edge, outer),
                width=self.right - self.left,
                height=abs(outer - edge),
            )
        ]
        steps = [step for step in (-math.log(5), 0.0, math.log(5)) if step < 0.75 * item.bound]
        for step in steps:
            y = self.y(side, step)
            parts.append(line("grid" if step else "zero", [(self.left, y), (self.right, y)]))
        parts.append(line(f"bound {side}", [(self.left, edge), (self.right, edge)]))
        for step in [*steps, item.bound]:
            parts.append(text("tick", times(step), x=self.left - 6, y=self.y(side, step) + 4, text_anchor="end"))
        # The words stand where the path does not end.
        is_early = self._end(item) < 0.5 * self.most
        x, anchor = (self.right - 8, "end") if is_early else (self.left + 8, "start")
        sign = {"stop": "✕", "go": "✓"}[side]
        parts.append(text(f"verdict {side}", f"{sign} {told}", x=x, y=(edge + outer) / 2 + 4, text_anchor=anchor))
        return "".join(parts)

    def _end(self, item: Path) -> int:
        """After how many answers the path decided, or how many there are."""
        return item.decided or len(item.values)

    def path(self, item: Path) -> str:
        """The line of one test, thinned to what its pixels can show, and a dot at its end with the evidence in figures."""
        end = self._end(item)
        shown = _thinned(item.values[:end], int(self.right - self.left))
        drawn = [(self.x(0), self.y(item.side, 0.0)), *((self.x(n), self.y(item.side, value)) for n, value in shown)]
        (x, y), (top, bottom) = drawn[-1], self.rooms[item.side]
        has_room = x + 95 < self.right
        # Beside the dot, or where the line came from there above or below it; never among the words of the band.
        level = y + (4.0 if has_room else -9.0 if item.side == "stop" else 17.0)
        low, high = (top + _BAND + 14.0, bottom) if item.side == "stop" else (top + 10.0, bottom - _BAND - 5.0)
        level = min(max(level, low), high)
        aside, anchor = (9, "start") if has_room else (-6, "end")
        told = f"{_GOALS[item.side]} {evidence_text(item)}"
        return (
            line(f"path {item.side}", drawn)
            + element("circle", f"now {item.side}", cx=x, cy=y, r=4.5)
            + text(f"value {item.side}", told, x=x + aside, y=level, text_anchor=anchor)
        )

    def rug(self) -> str:
        """The answers one by one: a stroke for a good one, a cross for a bad one, a ring for silence, a dot for none yet."""
        middle = self.rug_at
        parts = []
        for place, mark in enumerate(self.marks, 1):
            x = self.x(place)
            if mark == "bad":
                parts.append(cross("answer bad", x, middle, 4.0))
            elif mark == "silent":
                parts.append(element("circle", "answer silent", cx=x, cy=middle, r=3.5))
            elif mark == "pending":
                parts.append(element("circle", "answer pending", cx=x, cy=middle, r=1.2))
            elif len(self.marks) <= _MOST_TICKS:
                parts.append(line("answer good", [(x, middle - 4), (x, middle + 4)]))
        if len(self.marks) > _MOST_TICKS:
            parts.insert(0, line("answer good", [(self.x(1), middle), (self.x(len(self.marks)), middle)]))
        return "".join(parts)


def _thinned(values: Sequence[float], most: int) -> list[tuple[int, float]]:
    """(answers, evidence) of the least and the greatest value of each of `most` groups, in order; and of the last."""
    if len(values) <= 2 * most:
        return list(enumerate(values, 1))
    found: set[int] = {len(values) - 1}
    step = len(values) / most
    for group in range(most):
        places = range(int(group * step), int((group + 1) * step))
        found |= {min(places, key=values.__getitem__), max(places, key=values.__getitem__)}
    return [(place + 1, values[place]) for place in sorted(found)]


def times(evidence: float) -> str:
    """A logarithm as a factor."""
    if evidence > math.log(1000):
        return "> 1,000×"
    if evidence < math.log(0.01):
        return "< 0.01×"
    return f"{number(math.exp(evidence), 2)}×"
