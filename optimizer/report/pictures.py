"""The picture of a profile's candidates: what each costs in accuracy against how long it takes, drawn as SVG by matplotlib."""

from __future__ import annotations

from typing import Any

from .canvas import (
    COLOURS,
    INK,
    OTHER,
    QUIET,
    Point,
    draw_key,
    draw_margin,
    drawn,
    inside,
    limits_of,
    points_of,
    resolution,
    signed,
    svg_of,
    title_of,
)
from .parts import Judgement
from .types import TargetReport
from .words import NONE, Unit, number, runtime_title, unit_of

_SHAPES = {"float32": "o", "float16": "s", "int8": "^"}


def scatter(target: TargetReport, width: int, height: int) -> str:
    """SVG of `width` by `height` pixels, or "" where no candidate has a value to show.

    Latency runs to the right in milliseconds; candidates without one stand apart. Where none has one the file's size takes
    its place. Horizontal bars reach from the median to p90, upright ones over the gate's interval.
    """
    points = points_of(target)
    if not points:
        return ""
    name = f"{target.profile}-{width}"
    return svg_of(lambda figure: _draw(figure, points, width, height), name, width, height, _description(target, points))


def _draw(figure: Any, points: list[Point], width: int, height: int) -> None:
    timed = [point for point in points if point.p50 is not None]
    apart = [point for point in points if point.p50 is None]
    unit = unit_of(points[0].judgement)
    left, right, top, bottom = 62 / width, 1 - 10 / width, 1 - 30 / height, 92 / height
    strip = 0.0 if not (timed and apart) else min(0.4, max(90, 24 * len(apart)) / width)
    main = figure.add_axes((left, bottom, right - left - (strip + 0.02 if strip else 0), top - bottom))
    limits, clipped = limits_of(points, unit)
    sides = [(main, timed or apart, _latency if timed else _size)]
    if strip:
        beside = figure.add_axes((right - strip, bottom, strip, top - bottom))
        beside.spines["left"].set_visible(False)
        beside.tick_params(left=False, labelleft=False)
        sides.append((beside, apart, _slot(apart)))
    for axes, shown, place in sides:
        axes.set_ylim(*limits)
        axes.grid(axis="y", color="#e4e7ea", linewidth=0.8, zorder=0)
        axes.set_axisbelow(True)
        draw_margin(axes, points, unit, limits)
        for point in shown:
            _mark(axes, point, place(point), unit, limits, clipped)
        _number_points(axes, shown, place, unit, limits)
    _dress(main, timed, unit)
    main.text(0, 1, title_of(points[0].judgement, unit), transform=main.transAxes, va="bottom", ha="left", fontsize=11)
    if strip:
        beside.set_xlim(-0.7, len(apart) - 0.3)
        beside.set_xticks([])
        beside.set_xlabel("not timed", labelpad=18)
    _key(figure, points, width, height)


def _latency(point: Point) -> float:
    return drawn(point.p50)


def _size(point: Point) -> float:
    return drawn(float(min(point.candidate.size_bytes or 0, 10**30)), 1e-6)


def _slot(apart: list[Point]) -> Any:
    rows = [point.row for point in apart]
    return lambda point: float(rows.index(point.row))


def _mark(axes: Any, point: Point, x: float, unit: Unit, limits: tuple[float, float], clipped: bool) -> None:
    judgement, latency = point.judgement, point.candidate.latency_ms
    colour = COLOURS.get(point.candidate.runtime, OTHER)
    measured = drawn(judgement.measured, unit.factor)
    y = inside(measured, limits) if clipped else measured
    if judgement.low is not None and judgement.high is not None:
        ends = [min(max(drawn(value, unit.factor), limits[0]), limits[1]) for value in (judgement.low, judgement.high)]
        axes.plot([x, x], ends, color=colour, linewidth=1.3, zorder=2, solid_capstyle="butt")
    if latency is not None and latency.p50 is not None and latency.p90 is not None:
        axes.plot([x, drawn(latency.p90)], [y, y], color=colour, linewidth=1.3, zorder=2, solid_capstyle="butt")
    shape = _SHAPES.get(point.candidate.precision, "D")
    axes.plot([x], [y], shape, color=colour, markersize=8, markeredgecolor="white", markeredgewidth=0.8, zorder=4)
    if point.is_released:
        axes.plot([x], [y], "o", markersize=18, markerfacecolor="none", markeredgecolor=INK, markeredgewidth=1.6, zorder=3)


def _number_points(axes: Any, shown: list[Point], place: Any, unit: Unit, limits: tuple[float, float]) -> None:
    """Write each point's table row beside it, where it covers no other point or label."""
    figure = axes.figure
    if axes.spines["left"].get_visible():
        _room(axes, [place(point) for point in shown])
    box = axes.get_position()
    wide, tall = figure.get_size_inches() * 72
    span = axes.get_xlim()

    def pixels(point: Point) -> tuple[float, float]:
        measured = inside(drawn(point.judgement.measured, unit.factor), limits)
        across = (place(point) - span[0]) / ((span[1] - span[0]) or 1.0)
        up = (measured - limits[0]) / (limits[1] - limits[0])
        return (box.x0 + across * box.width) * wide, (box.y0 + up * box.height) * tall

    taken = [area for point in shown for area in _areas(point, pixels(point), box.width * wide / ((span[1] - span[0]) or 1.0))]
    per_unit = box.height * tall / (limits[1] - limits[0])
    taken += [(pixels(point)[0], *_upright(point.judgement, unit, limits, box.y0 * tall, per_unit)) for point in shown]
    for point in shown:
        x, y = pixels(point)
        measured = drawn(point.judgement.measured, unit.factor)
        is_cut = not limits[0] <= measured <= limits[1]
        arrow = "↓" if measured < limits[0] else "↑"
        text = f"{point.row}" + (" released" if point.is_released else "")
        text += signed(f"  {arrow} {unit.text(point.judgement.measured)}") if is_cut else ""
        length = 6.6 * len(text)
        reach = 15.0 if point.is_released else 11.0
        spots = [(sign * (reach + length / 2), rise) for rise in (0.0, 12.0, -12.0, 20.0, -20.0) for sign in (1, -1)] + [
            (0.0, 17.0),
            (0.0, -17.0),
            (0.0, 30.0),
            (0.0, -30.0),
        ]

        def crowding(spot: tuple[float, float], x: float = x, y: float = y, length: float = length) -> float:
            cx, cy = x + spot[0], y + spot[1]
            crowd = sum(
                max(0.0, (length + w) / 2 + 2 - abs(cx - px)) * max(0.0, (11 + h) / 2 + 1 - abs(cy - py))
                for px, py, w, h in taken
            )
            out = cx - length / 2 < box.x0 * wide + 2 or cx + length / 2 > box.x1 * wide + 8
            out = out or cy - 6 < box.y0 * tall or cy + 6 > box.y1 * tall
            return crowd + (1e4 if out else 0.0) + 0.02 * (abs(spot[0]) + abs(spot[1]))

        best = min(spots, key=crowding)
        taken.append((x + best[0], y + best[1], length, 11.0))
        axes.text(
            (x + best[0]) / wide,
            (y + best[1]) / tall,
            text,
            transform=figure.transFigure,
            ha="center",
            va="center_baseline",
            fontsize=10,
            fontweight="bold" if point.is_released else "normal",
            zorder=6,
        )


def _areas(point: Point, at: tuple[float, float], per_unit: float) -> list[tuple[float, float, float, float]]:
    """What a point covers, in pixels (middle, width, height): its mark and its bar to p90."""
    x, y = at
    side = 20.0 if point.is_released else 11.0
    areas = [(x, y, side, side)]
    latency = point.candidate.latency_ms
    if latency is not None and latency.p50 is not None and latency.p90 is not None:
        length = (drawn(latency.p90) - drawn(latency.p50)) * per_unit
        areas.append((x + length / 2, y, length, 3.0))
    return areas


def _upright(
    judgement: Judgement, unit: Unit, limits: tuple[float, float], floor: float, per_unit: float
) -> tuple[float, float, float]:
    """What the bar of a gate's interval covers: its middle's height, its width and its length in pixels."""
    values = [judgement.measured or 0.0 if value is None else value for value in (judgement.low, judgement.high)]
    low, high = (min(max(drawn(value, unit.factor), limits[0]), limits[1]) for value in values)
    return floor + ((low + high) / 2 - limits[0]) * per_unit, 3.0, (high - low) * per_unit


def _room(axes: Any, places: list[float]) -> None:
    low, high = min(places), max(places)
    pad = max(0.12 * (high - low), resolution(low, high)) if high > low else 0.2 * abs(high) or 1.0
    axes.set_xlim(max(low - pad, 0.0) if low > 0 else low - pad, high + 1.5 * pad)


def _dress(axes: Any, timed: list[Point], unit: Unit) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    axes.set_xlabel("median latency, ms (bar to p90)" if timed else "file size, MB (latency was not measured)")
    axes.xaxis.set_major_locator(MaxNLocator(6))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: signed(f"{value:.6g}")))
    low, high = axes.get_ylim()
    digits = 1 if unit.suffix and high - low > 0.8 else 2 if unit.suffix else 3
    plain = Unit(1.0, digits, unit.is_signed, "")
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: signed(plain.text(value))))


def _key(figure: Any, points: list[Point], width: int, height: int) -> None:
    """Shapes for precisions and colours for runtimes, in words beneath the axes."""
    from matplotlib.lines import Line2D

    def handle(shape: str, colour: str, label: str) -> Any:
        return Line2D([], [], linestyle="none", marker=shape, color=colour, markersize=7, markeredgecolor="white", label=label)

    precisions = list(dict.fromkeys(point.candidate.precision for point in points))
    runtimes = list(dict.fromkeys(point.candidate.runtime for point in points))
    rows = [
        [handle(_SHAPES.get(name, "D"), QUIET, name) for name in precisions],
        [handle("o", COLOURS.get(name, OTHER), runtime_title(name)) for name in runtimes],
    ]
    for line, handles in enumerate(rows):
        draw_key(figure, handles, width, height, 22 - 20 * line)


def _description(target: TargetReport, points: list[Point]) -> str:
    parts = []
    for point in points:
        unit = unit_of(point.judgement)
        time = f"{number(point.p50)} ms" if point.p50 is not None else "not timed"
        cost = unit.full(point.judgement.measured) if point.judgement.measured is not None else NONE
        released = ", released" if point.is_released else ""
        runtime = runtime_title(point.candidate.runtime)
        parts.append(f"{point.row}: {runtime} {point.candidate.precision}, {time}, {cost}{released}")
    return f"Candidates for {target.title or target.profile}. " + "; ".join(parts)
