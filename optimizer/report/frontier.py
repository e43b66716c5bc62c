"""The frontier: what each candidate costs in accuracy against how small its file is, drawn as SVG by matplotlib."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .canvas import INK, QUIET, Point, draw_key, draw_margin, drawn, inside, limits_of, points_of, signed, svg_of, title_of
from .types import TargetReport
from .words import Unit, is_lower_better, percent, printable, runtime_title, unit_of, variant_title

_COLOURS = ("#0a5f9e", "#c2570c", "#00805f", "#6b4c9a", "#a3261b", "#8a6d00", "#2f7f8f", "#b0437f")
_SHAPES = {"onnxruntime": "o", "openvino": "s", "litert": "^"}
_SHARES = (2.0, 1.5, 1.0, 0.7, 0.5, 0.3, 0.2, 0.15, 0.1, 0.07, 0.05, 0.03, 0.02, 0.01, 0.005, 0.002, 0.001)
_ROW = 20
_TICK_ROOM = 40.0


def frontier(target: TargetReport, width: int, height: int) -> str:
    """SVG of `width` by `height` pixels, or "" where there is nothing to set sizes against.

    Sizes run to the right as shares of the float32 file, on a logarithmic scale, the smallest last. Upright bars are the gate's
    95 % limits; the line joins what nothing smaller is as accurate as; a number is a row of the table.
    """
    whole = _whole(target)
    points = [point for point in points_of(target) if point.candidate.size_bytes]
    if not points or not whole:
        return ""
    name = f"frontier-{target.profile}-{width}"
    picture = _Picture(points, whole, width, height)
    return svg_of(picture.draw, name, width, height, _description(target, picture))


def _whole(target: TargetReport) -> int:
    """Bytes of the plain model's float32 file: the best float, else the largest."""
    best = target.reference
    sizes = [c.size_bytes or 0 for c in target.candidates if c.precision == "float32" and not c.variant]
    return (best.size_bytes if best is not None else None) or max(sizes, default=0)


def best_of(points: Sequence[tuple[float, float]]) -> list[int]:
    """Places of the points (size, loss) that no other is both at most as large and at most as bad as, the largest first."""
    kept: list[int] = []
    least = float("inf")
    for place in sorted(range(len(points)), key=lambda place: points[place]):
        if points[place][1] < least:
            least = points[place][1]
            kept.append(place)
    return kept[::-1]


class _Picture:
    """The points with their places on the axes."""

    def __init__(self, points: list[Point], whole: int, width: int, height: int) -> None:
        self.points, self.width, self.height = points, width, height
        self.unit: Unit = unit_of(points[0].judgement)
        self.shares = [drawn(float(min(point.candidate.size_bytes or 0, 10**30)), 1 / whole) for point in points]
        self.limits, _ = limits_of(points, self.unit)
        sign = 1.0 if is_lower_better(points[0].judgement) else -1.0
        self.best = best_of(
            [(share, sign * (p.judgement.measured or 0.0)) for share, p in zip(self.shares, points, strict=True)]
        )
        names = list(dict.fromkeys(point.candidate.variant for point in points))
        others = [name for name in names if name]
        self.colours = {name: _COLOURS[place % len(_COLOURS)] for place, name in enumerate(others)} | {"": QUIET}
        self.variants = names

    def draw(self, figure: Any) -> None:
        """Everything, on an empty figure."""
        keys = self._keys()
        bottom = (46 + _ROW * len(keys)) / self.height
        axes = figure.add_axes((62 / self.width, bottom, 1 - 78 / self.width, 1 - 30 / self.height - bottom))
        axes.set_ylim(*self.limits)
        self._scale(axes)
        axes.grid(axis="both", color="#e4e7ea", linewidth=0.8, zorder=0)
        axes.set_axisbelow(True)
        draw_margin(axes, self.points, self.unit, self.limits)
        line = [(self.shares[place], self._y(self.points[place])) for place in self.best]
        axes.plot(*zip(*line, strict=True), color=INK, linewidth=0.9, alpha=0.55, zorder=1.5)
        for place in range(len(self.points)):
            self._mark(axes, place)
        self._number(axes)
        title = title_of(self.points[0].judgement, self.unit)
        axes.text(0, 1.01, title, transform=axes.transAxes, va="bottom", ha="left", fontsize=11)
        for row, handles in enumerate(keys):
            draw_key(figure, handles, self.width, self.height, 2 + _ROW * (len(keys) - 1 - row))

    def _y(self, point: Point) -> float:
        return inside(drawn(point.judgement.measured, self.unit.factor), self.limits)

    def _scale(self, axes: Any) -> None:
        from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

        large, small = _ends(self.shares)
        axes.set_xscale("log")
        axes.set_xlim(large, small)
        ticks: list[float] = []
        for share in _SHARES:
            if small <= share <= large and (not ticks or self._across(share) - self._across(ticks[-1]) > _TICK_ROOM):
                ticks.append(share)
        axes.xaxis.set_major_locator(FixedLocator(ticks))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g} %"))
        axes.set_xlabel("size, of the float32 file (smaller to the right)")
        low, high = self.limits
        digits = 1 if self.unit.suffix and high - low > 0.8 else 2 if self.unit.suffix else 3
        plain = Unit(1.0, digits, self.unit.is_signed, "")
        axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: signed(plain.text(value))))

    def _across(self, share: float) -> float:
        """Pixels from the left end of the axis."""
        large, small = _ends(self.shares)
        return math.log(large / share) / math.log(large / small) * (self.width - 78)

    def _mark(self, axes: Any, place: int) -> None:
        point, x = self.points[place], self.shares[place]
        colour, y = self.colours[point.candidate.variant], self._y(point)
        judgement = point.judgement
        if judgement.low is not None and judgement.high is not None:
            low, high = self.limits
            ends = [min(max(drawn(value, self.unit.factor), low), high) for value in (judgement.low, judgement.high)]
            axes.plot([x, x], ends, color=colour, linewidth=1.1, alpha=0.55, zorder=2, solid_capstyle="butt")
        axes.plot([x], [y], _SHAPES.get(point.candidate.runtime, "D"), **_fill(point.candidate.precision, colour), zorder=4)
        if y != drawn(judgement.measured, self.unit.factor):
            way = "↓" if y > drawn(judgement.measured, self.unit.factor) else "↑"
            axes.annotate(way, (x, y), (7, 0), textcoords="offset points", ha="center", va="center", color=colour, fontsize=10)
        if point.is_released:
            axes.plot([x], [y], "o", markersize=18, markerfacecolor="none", markeredgecolor=INK, markeredgewidth=1.6, zorder=3)

    def _number(self, axes: Any) -> None:
        """The table's rows at the points of the frontier and at the released one, where there is room, above or beneath."""
        named = {*self.best, *(place for place, point in enumerate(self.points) if point.is_released)}
        free = {1: 0.0, -1: 0.0}
        for place in sorted(named, key=lambda place: -self.shares[place]):
            point = self.points[place]
            text = f"{point.row}" + (" released" if point.is_released else "")
            x, half = self._across(self.shares[place]), 4.0 * len(text)
            side = min(free, key=lambda side: (free[side] > x - half, side != (-1 if point.is_released else 1)))
            if free[side] > x - half and not point.is_released:
                continue
            free[side] = x + half
            axes.annotate(
                text,
                (self.shares[place], self._y(point)),
                (0, side * (13 if point.is_released else 8)),
                textcoords="offset points",
                ha="center",
                va="bottom" if side > 0 else "top",
                fontsize=10,
                fontweight="bold" if point.is_released else "normal",
                zorder=6,
            )

    def _keys(self) -> list[list[Any]]:
        """Rows of handles: variants by colour, runtimes by shape and precisions by filling."""
        from matplotlib.lines import Line2D

        def handle(shape: str, label: str, **style: Any) -> Any:
            return Line2D([], [], linestyle="none", marker=shape, label=label, **{**style, "markersize": 7})

        runtimes = dict.fromkeys(point.candidate.runtime for point in self.points)
        precisions = dict.fromkeys(point.candidate.precision for point in self.points)
        variants = [handle("o", variant_title(name), **_fill("int8", self.colours[name])) for name in self.variants]
        each = max(1, self.width // 125)
        return [
            *(variants[start : start + each] for start in range(0, len(variants), each)),
            [handle(_SHAPES.get(name, "D"), runtime_title(name), **_fill("int8", QUIET)) for name in runtimes],
            [handle("o", printable(name), **_fill(name, QUIET)) for name in precisions],
        ]


def _ends(shares: Sequence[float]) -> tuple[float, float]:
    """The axis from its left to its right end, the largest first."""
    return max(shares) * 1.18, max(min(shares), 1e-6) / 1.22


def _fill(precision: str, colour: str) -> dict[str, Any]:
    """int8 is full, float32 empty, what lies between half as dark."""
    face = {"int8": colour, "float32": "#ffffff"}.get(precision, "#c9ced3")
    return {"markersize": 7.5, "markerfacecolor": face, "markeredgecolor": colour, "markeredgewidth": 1.3}


def _description(target: TargetReport, picture: _Picture) -> str:
    parts = []
    for point, share in zip(picture.points, picture.shares, strict=True):
        made = variant_title(point.candidate.variant)
        name = f"{point.row}: {made}, {printable(point.candidate.precision)} in {runtime_title(point.candidate.runtime)}"
        released = ", released" if point.is_released else ""
        parts.append(f"{name}, {percent(share)} of the size, {picture.unit.full(point.judgement.measured)}{released}")
    return f"Size and accuracy of the candidates for {target.title or target.profile}. " + "; ".join(parts)
