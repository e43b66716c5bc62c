"""The picture of a sequential test: how the evidence moved with each device that answered, between the bounds that decide.

Evidence is an e-value, the stake of a bet against "this version is no worse than allowed" or "it is as bad as may not be".
It starts at 1; by Ville's inequality it reaches 1/alpha with a probability of at most alpha if the claim is true, however often
one looks. A path to stop climbs to the upper bound; a path to go on is drawn downwards, to the lower bound: so what speaks
against the version moves everything up, and what speaks for it moves everything down.
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
Mark = Literal["good", "bad", "silent"]

_BEYOND = 1.3  # of the bound: how far the picture goes
_SHORT = 0.92  # of the other test's bound: how far a path goes that speaks for the opposite, so that it seems to reach nothing
_RUG = 26.0  # pixels for the row of answers
_MOST_TICKS = 240  # good answers that are drawn one by one


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
    """SVG of `width` by `height` pixels of the paths of one test or of two opposite ones.

    `marks` are the answers in their order, one beside each value, drawn as a row under the paths; `expected` answers can come
    in all, so that one sees how much is still to come. Values of any size, infinite ones too, stay inside the picture.
    """
    frame = _Frame(paths, marks, expected, width, height, has_rug=bool(marks))
    body = frame.ground(captions) + "".join(frame.path(item) for item in paths) + frame.rug()
    return picture(body + frame.ends(), width, height, label or describe(paths, len(marks), captions))


def describe(paths: Sequence[Path], answers: int, captions: Captions) -> str:
    """What the picture shows, in words."""
    told = [f"After {count(answers)} {captions.along}"]
    for item in paths:
        what = captions.stop if item.side == "stop" else captions.go
        where = f"reached after {count(item.decided)}" if item.decided else f"{evidence_text(item)} of {_times(item.bound)}"
        told.append(f"{what}: {where}")
    return "; ".join(told) + "."


def evidence_text(path: Path) -> str:
    """The evidence now, as a factor: "4.2×"."""
    return _times(path.values[-1] if path.values else 0.0)


class _Frame:
    """Where answers and evidence lie on the picture."""

    def __init__(
        self, paths: Sequence[Path], marks: Sequence[Mark], expected: int, width: float, height: float, has_rug: bool
    ) -> None:
        self.paths, self.marks = paths, marks
        self.is_narrow = width < 500
        self.sides = {item.side for item in paths}
        self.left, self.right = 44.0, width - 16.0
        self.top, self.bottom = 8.0, height - 40.0 - (_RUG if has_rug else 0.0)
        self.most = max(expected, len(marks), *(len(item.values) for item in paths), 1)
        bound = max((item.bound for item in paths), default=1.0)
        # A test to one side only needs little room on the other.
        self.high = _BEYOND * bound if "stop" in self.sides else 0.45 * bound
        self.low = -_BEYOND * bound if "go" in self.sides else -0.45 * bound
        self.bound = bound
        # The bands' words stand where no path ends.
        self.is_early = max((item.decided or len(item.values) for item in paths), default=0) < 0.55 * self.most

    def x(self, answers: float) -> float:
        return self.left + (self.right - self.left) * answers / self.most

    def y(self, evidence: float) -> float:
        held = min(max(evidence, self.low), self.high)
        return self.top + (self.bottom - self.top) * (self.high - held) / (self.high - self.low)

    def ground(self, captions: Captions) -> str:
        """Bands beyond the bounds, their words, the grid and both axes."""
        parts = []
        for side, sign, told in (("stop", 1.0, captions.stop), ("go", -1.0, captions.go)):
            if side not in self.sides:
                continue
            edge, outer = self.y(sign * self.bound), self.y(sign * _BEYOND * self.bound)
            size = {"x": self.left, "y": min(edge, outer), "width": self.right - self.left, "height": abs(outer - edge)}
            parts.append(element("rect", f"band {side}", **size))
            parts.append(line(f"bound {side}", [(self.left, edge), (self.right, edge)]))
            sign_text = {"stop": "✕", "go": "✓"}[side]
            x, anchor = (self.right - 8, "end") if self.is_early else (self.left + 8, "start")
            parts.append(text(f"verdict {side}", f"{sign_text} {told}", x=x, y=(edge + outer) / 2 + 4, text_anchor=anchor))
        steps = [0.0, *(sign * math.log(5) for sign in self._signs() if self.bound > 1.3 * math.log(5))]
        for step in steps:
            parts.append(line("grid" if step else "zero", [(self.left, self.y(step)), (self.right, self.y(step))]))
        for step in [*steps, *(sign * self.bound for sign in self._signs())]:
            parts.append(text("tick", _times(abs(step)), x=self.left - 6, y=self.y(step) + 4, text_anchor="end"))
        floor = self.bottom + (_RUG if self.marks else 0.0)
        for tick in whole_ticks(self.most, 4 if self.is_narrow else 8):
            parts.append(line("stub", [(self.x(tick), floor), (self.x(tick), floor + 4)]))
            parts.append(text("tick", count(tick), x=self.x(tick), y=floor + 17, text_anchor="middle"))
        parts.append(line("floor", [(self.left, floor), (self.right, floor)]))
        parts.append(text("axis", captions.along, x=self.right, y=floor + 33, text_anchor="end"))
        return "".join(parts)

    def _signs(self) -> list[float]:
        return [sign for side, sign in (("stop", 1.0), ("go", -1.0)) if side in self.sides]

    def path(self, item: Path) -> str:
        """The line of one test, thinned to what its pixels can show."""
        shown = _thinned(item.values[: item.decided], int(self.right - self.left))
        return line(f"path {item.side}", [(self.x(0), self.y(0)), *((self.x(n), self._height(item, v)) for n, v in shown)])

    def _height(self, item: Path, evidence: float) -> float:
        """Upwards to stop, downwards to go on."""
        held = max(evidence, -_SHORT * item.bound)
        return self.y(held if item.side == "stop" else -held)

    def ends(self) -> str:
        """A dot where each path is now, or where it decided, with the evidence in figures."""
        parts: list[str] = []
        taken: list[float] = []
        found = []
        for item in self.paths:
            at = item.decided or len(item.values)
            value = item.values[at - 1] if at else 0.0
            found.append((self._height(item, value), self.x(at), item, value))
        lowest = max((y for y, *_ in found), default=0.0)
        for y, x, item, value in found:
            is_upper = y < lowest or len(found) == 1
            parts.append(element("circle", f"now {item.side}", cx=x, cy=y, r=4.5))
            told = f"{'stop' if item.side == 'stop' else 'go on'} {_times(value)}"
            has_room = x + 95 < self.right
            # Beside its own line a text stands above the upper and below the lower one.
            level = y + (4.0 if has_room else -10.0 if is_upper else 18.0)
            level = min(max(level, self.top + 12.0), self.bottom - 4.0)
            if any(abs(level - other) < 14 for other in taken):
                level = taken[-1] + (-15.0 if is_upper else 15.0)
            taken.append(level)
            aside, anchor = (9, "start") if has_room else (-9, "end")
            parts.append(text(f"value {item.side}", told, x=x + aside, y=level, text_anchor=anchor))
        return "".join(parts)

    def rug(self) -> str:
        """The answers one by one: a stroke for a good one, a cross for a bad one, a ring for a silent one."""
        middle = self.bottom + _RUG / 2 + 2
        parts = []
        for place, mark in enumerate(self.marks, 1):
            x = self.x(place)
            if mark == "bad":
                parts.append(cross("answer bad", x, middle, 4.0))
            elif mark == "silent":
                parts.append(element("circle", "answer silent", cx=x, cy=middle, r=3.5))
            elif len(self.marks) <= _MOST_TICKS:
                parts.append(line("answer good", [(x, middle - 4), (x, middle + 4)]))
        if len(self.marks) > _MOST_TICKS:
            ends = [(self.x(1), middle), (self.x(len(self.marks)), middle)]
            parts.insert(0, line("answer good", ends))
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


def _times(evidence: float) -> str:
    """A logarithm as a factor."""
    if evidence > math.log(1000):
        return "> 1,000×"
    if evidence < math.log(0.01):
        return "< 0.01×"
    return f"{number(math.exp(evidence), 2)}×"
