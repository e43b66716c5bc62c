"""Which measures moved, and since when: a row a measure, a column a time, a square as large as the effect is.

Size says what colour says: nothing, a dot, a small, a middle and a full square.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from .series_picture import Axis
from .svg import element, line, picture, text
from .words import shorten

SIGNS = ("none", "minor", "moderate", "severe")
_SIDES = (0.0, 0.38, 0.66, 1.0)  # of the cell
_ROW = 22.0
_CHARACTER = 6.4


@dataclass(frozen=True)
class Row:
    """A measure: for the middle of each time, 0 (no drift) to 3 (severe); `times` that are missing were not judged."""

    name: str
    levels: Mapping[float, int]


def matrix_picture(rows: Sequence[Row], axis: Axis, period: float, width: float, label: str) -> Markup:
    """SVG `width` pixels wide, a row as high as a line of text; a column stands for `period` on `axis`."""
    most = 12 if width < 500 else 30
    left = min(12.0 + _CHARACTER * max((min(len(row.name), most) for row in rows), default=0), width / 2)
    right, top = width - 12.0, 30.0
    bottom = top + _ROW * len(rows)

    def x(at: float) -> float:
        return left + (right - left) * (at - axis.low) / ((axis.high - axis.low) or 1.0)

    cell = max((right - left) * period / ((axis.high - axis.low) or 1.0), 1.0)
    parts = []
    for place, row in enumerate(rows):
        middle = top + _ROW * (place + 0.5)
        parts.append(text("name", shorten(row.name, most), x=left - 8, y=middle + 4, text_anchor="end"))
        parts.append(line("grid", [(left, top + _ROW * (place + 1)), (right, top + _ROW * (place + 1))]))
        for at, level in sorted(row.levels.items()):
            parts.append(_square(x(at), middle, cell, level))
    for at, words in axis.labels:
        parts.append(line("stub", [(x(at), bottom), (x(at), bottom + 4)]))
        parts.append(text("tick", words, x=x(at), y=bottom + 17, text_anchor="middle"))
    parts.append(text("axis", axis.title, x=right, y=bottom + 34, text_anchor="end"))
    at = 12.0 if width < 500 else left
    for level, sign in enumerate(SIGNS):
        parts.append(_square(at + 7, 12.0, 14.0, level))
        parts.append(text("name", sign, x=at + 18, y=16))
        at += 30.0 + 6.8 * len(sign)
    return picture("".join(parts), width, bottom + 42, label)


def _square(x: float, y: float, cell: float, level: int) -> str:
    """A square about (x, y), as wide as its cell allows; a dot where there is no drift."""
    if level == 0:
        return element("circle", "level none", cx=x, cy=y, r=min(1.2, cell / 3))
    side = _SIDES[level] * (_ROW - 6)
    wide = max(min(side, cell * 0.92), 0.8)
    return element("rect", f"level {SIGNS[level]}", x=x - wide / 2, y=y - side / 2, width=wide, height=side)
