"""How the values of one measure lay when the model was compiled, and how they lie now: shares by bin.

The bins were made at compile time so that about as many values lie in each. Where their widths differ as those of a bell do,
values are drawn where they lie, the height a share per width; else (few distinct values, long tails, classes) a column is a bin
and its height a share.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from ..drift_report.sentences import shares
from .svg import element, line, picture, text, ticks
from .words import number

_MOST_COLUMNS = 24
_WIDEST = 60.0  # times the narrowest bin: beyond it, values are not drawn where they lie
_TALLEST = 4.0  # times the tallest of the reference: what is taller is cut, with a sign
_KEY = 24.0
_CHARACTER = 7.2  # pixels


@dataclass(frozen=True)
class Spread:
    """Counts of one measure by bin: below the first edge, between edges, above the last; so one more than edges.

    Of classes are `edges` 0, 1, ..., n, and bin k + 1 is class k. `cut` is the value that parts the two most (where the shares
    below it differ most), or None.
    """

    edges: Sequence[float]
    reference: Sequence[int]
    now: Sequence[int]
    is_classes: bool = False
    cut: float | None = None


@dataclass(frozen=True)
class _Column:
    """Where a column stands (0 to 1), its two heights, and the label beneath its left side or its middle."""

    low: float
    high: float
    reference: float
    now: float


def spread_picture(spread: Spread, width: float, height: float, label: str) -> Markup:
    """SVG of `width` by `height` pixels: a filled shape for now, a dashed outline for the reference."""
    columns, marks, is_density = _laid_out(spread)
    left, right, top, bottom = 48.0 if not is_density else 16.0, width - 16.0, 12.0 + _KEY, height - 36.0
    limit = _TALLEST * max((item.reference for item in columns), default=0.0)
    tallest = max((max(item.reference, item.now) for item in columns), default=0.0) or 1.0
    high = min(tallest, limit) if limit else tallest

    def x(place: float) -> float:
        return left + (right - left) * place

    def y(value: float) -> float:
        return bottom - (bottom - top) * min(value, high) / high

    parts = []
    if not is_density:
        for tick in ticks(high, 3):
            parts.append(line("grid", [(left, y(tick)), (right, y(tick))]))
            parts.append(text("tick", f"{number(100 * tick)} %", x=left - 6, y=y(tick) + 4, text_anchor="end"))
    gap = 0.12 if spread.is_classes else 0.0
    for item in columns:
        inset = gap * (item.high - item.low)
        begin, end = x(item.low + inset), x(item.high - inset)
        if item.now > 0:
            parts.append(element("rect", "now s0", x=begin, y=y(item.now), width=end - begin, height=bottom - y(item.now)))
        if item.now > high * 1.001:
            parts.append(element("path", "cut-off", d=f"M{(begin + end) / 2 - 5:.1f} {top - 2:.1f}l5 -7l5 7z"))
    parts += _outline(columns, x, y, bottom, gap)
    if (cut := _place(spread, columns, is_density)) is not None:
        parts.append(line("cut", [(x(cut), top), (x(cut), bottom)]))
    parts.append(line("floor", [(left, bottom), (right, bottom)]))
    for place, words in _fitting(marks, right - left):
        parts.append(line("stub", [(x(place), bottom), (x(place), bottom + 4)]))
        anchor = "start" if place < 0.02 else "end" if place > 0.98 else "middle"
        parts.append(text("tick", words, x=x(place), y=bottom + 17, text_anchor=anchor))
    parts += _key(left, 10.0, cut is not None, tallest > high * 1.001, width)
    return picture("".join(parts), width, height, label)


def _laid_out(spread: Spread) -> tuple[list[_Column], list[tuple[float, str]], bool]:
    """Columns, labels with their places, and whether the height is a share per width."""
    before, now, edges = shares(spread.reference), shares(spread.now), spread.edges
    if spread.is_classes:
        return _classes(before, now)
    widths = [high - low for low, high in itertools.pairwise(edges)]
    if len(widths) < 4 or max(widths) > _WIDEST * min(widths):
        return (*_by_bin(spread, before, now), False)
    # A tail has no width of its own: it is drawn as wide as a twelfth of the picture.
    span = edges[-1] - edges[0]
    tail = span / 10
    low, whole = edges[0] - tail, span + 2 * tail
    places = [low, *edges, edges[-1] + tail]
    columns = []
    for at, (one, two) in enumerate(itertools.pairwise(places)):
        per = (two - one) / whole
        columns.append(_Column((one - low) / whole, (two - low) / whole, before[at] / per, now[at] / per))
    marks = [((value - low) / whole, number(value)) for value in _round_values(edges[0], edges[-1])]
    return columns, marks, True


def _by_bin(spread: Spread, before: list[float], now: list[float]) -> tuple[list[_Column], list[tuple[float, str]]]:
    """A column a bin, of equal widths, the edges written beneath."""
    size = 1 / len(before)
    columns = [_Column(at * size, (at + 1) * size, one, two) for at, (one, two) in enumerate(zip(before, now, strict=True))]
    return columns, [((at + 1) * size, number(edge)) for at, edge in enumerate(spread.edges)]


def _classes(before: list[float], now: list[float]) -> tuple[list[_Column], list[tuple[float, str]], bool]:
    """A column a class; of many classes those that changed most, in their order, and their names by how much they changed."""
    ranked = sorted(range(1, len(before) - 1), key=lambda at: -abs(now[at] - before[at]))[:_MOST_COLUMNS]
    chosen = sorted(ranked)
    size = 1 / max(len(chosen), 1)
    columns = [_Column(place * size, (place + 1) * size, before[at], now[at]) for place, at in enumerate(chosen)]
    return columns, [((chosen.index(at) + 0.5) * size, str(at - 1)) for at in ranked], False


def _outline(
    columns: Sequence[_Column], x: Callable[[float], float], y: Callable[[float], float], bottom: float, gap: float
) -> list[str]:
    """The reference: one stepped line, or where columns stand apart a frame for each."""
    if gap:
        return [
            element(
                "rect",
                "before",
                x=x(item.low + gap * (item.high - item.low)),
                y=y(item.reference),
                width=x(item.high) - x(item.low) - 2 * gap * (x(item.high) - x(item.low)),
                height=bottom - y(item.reference),
            )
            for item in columns
        ]
    points = [(x(columns[0].low), bottom)] if columns else []
    for item in columns:
        points += [(x(item.low), y(item.reference)), (x(item.high), y(item.reference))]
    points += [(x(columns[-1].high), bottom)] if columns else []
    return [line("before", points)]


def _place(spread: Spread, columns: Sequence[_Column], is_density: bool) -> float | None:
    """Where the value that parts the two most stands."""
    if spread.cut is None or spread.is_classes or spread.cut not in spread.edges:
        return None
    return columns[list(spread.edges).index(spread.cut)].high


def _round_values(low: float, high: float) -> list[float]:
    """Round numbers between two values."""
    step = ticks(high - low, 6)[1]
    first = -(-low // step)
    return [step * (first + at) for at in range(9) if step * (first + at) <= high]


def _fitting(marks: Sequence[tuple[float, str]], room: float) -> list[tuple[float, str]]:
    """Labels that do not lie upon one that comes before them in `marks`."""
    found: list[tuple[float, str]] = []
    for place, words in marks:
        if all(abs(place - other) * room >= _CHARACTER * (len(words) + len(taken)) / 2 + 10 for other, taken in found):
            found.append((place, words))
    return found


def _key(x: float, y: float, has_cut: bool, is_cut_off: bool, width: float) -> list[str]:
    is_narrow = width < 500
    parts = [element("rect", "now s0", x=x, y=y - 6, width=22, height=12), text("name", "now", x=x + 27, y=y + 4)]
    parts += [line("before", [(x + 62, y), (x + 84, y)]), text("name", "at compile time", x=x + 89, y=y + 4)]
    if has_cut:
        parts.append(line("cut", [(x + 194, y - 7), (x + 194, y + 7)]))
        parts.append(text("name", "largest gap" if is_narrow else "where shares differ most", x=x + 200, y=y + 4))
    if is_cut_off:
        at = x + (275 if is_narrow else 360)
        parts.append(element("path", "cut-off", d=f"M{at:.1f} {y + 4:.1f}l5 -8l5 8z"))
        parts.append(text("name", "taller", x=at + 14, y=y + 4))
    return parts
