"""Small drawings for table cells, as inline SVG: a bar of a share, an interval beside its margin, and the scale above it.

They are drawn here and not by matplotlib so that each stands in its table row, beside its text and figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .parts import Judgement
from .words import Unit, kind_of

WIDTH = 220.0
HEIGHT = 22.0
_EDGE = 8.0
_LARGEST = 1e100


def _svg(body: str, label: str, width: float = WIDTH, height: float = HEIGHT, kind: str = "mark") -> str:
    size = f'width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}"'
    return f'<svg class="{kind}" role="img" aria-label="{label}" {size}>{body}</svg>'


def bar(share: float | None, width: float = 96.0) -> str:
    """A bar as long as `share` (clipped to [0, 1]) of `width` pixels; nothing for None."""
    if share is None:
        return ""
    length = max(1.0, min(max(share, 0.0), 1.0) * width)
    rail = f'<rect class="rail" x="0" y="4" width="{width:g}" height="8"/>'
    body = f'{rail}<rect class="fill" x="0" y="4" width="{length:.1f}" height="8"/>'
    return _svg(body, f"{min(max(share, 0.0), 1.0):.0%}", width, 16.0, "mark bar")


@dataclass(frozen=True)
class Axis:
    """A linear scale from `low` to `high` (the gate's own unit) onto the cell's width."""

    low: float
    high: float

    def at(self, value: float) -> float:
        """Horizontal position in pixels, clipped to the cell."""
        share = (value - self.low) / (self.high - self.low)
        return _EDGE + min(max(share, 0.0), 1.0) * (WIDTH - 2 * _EDGE)

    def holds(self, value: float) -> bool:
        """Whether the value lies within the scale."""
        return self.low <= value <= self.high


def axis(judgements: Sequence[Judgement]) -> Axis:
    """Scale that shows every threshold, estimate and zero difference; far ends of intervals may be cut."""
    values = _held([value for item in judgements for value in (item.threshold, item.measured)])
    if any(kind_of(item) == "difference" for item in judgements):
        values.append(0.0)
    values = values or [0.0]
    span = max(values) - min(values) or max(abs(values[0]), 1.0)
    ends = _held([value for item in judgements for value in (item.low, item.high)])
    low = max(min([*ends, *values]), min(values) - 4 * span)
    high = min(max([*ends, *values]), max(values) + 4 * span)
    pad = max(0.06 * (high - low), 1e-9, 1e-6 * max(abs(low), abs(high)))
    return Axis(low - pad, high + pad)


def _held(values: Sequence[float | None]) -> list[float]:
    return [min(max(value, -_LARGEST), _LARGEST) for value in values if value is not None]


def scale(shown: Axis, unit: Unit, threshold: float | None) -> str:
    """The scale's head: its ends, and the margin where all rows share one."""
    low, high = unit.text(shown.low), unit.text(shown.high)
    body = f'<text x="0" y="15">{low}</text><text x="{WIDTH:g}" y="15" text-anchor="end">{high}</text>'
    if threshold is not None and 0.24 * WIDTH < shown.at(threshold) < 0.76 * WIDTH:
        body += f'<text class="strong" x="{shown.at(threshold):.1f}" y="15" text-anchor="middle">margin</text>'
    return _svg(body, f"scale from {low} to {high}")


def interval(item: Judgement, shown: Axis, is_lower_better: bool) -> str:
    """One row of a forest plot: the interval, the estimate, the margin as an upright line, what lies outside it shaded."""
    middle = HEIGHT / 2
    parts: list[str] = []
    if item.threshold is not None:
        at = shown.at(item.threshold)
        start, end = (at, WIDTH) if is_lower_better else (0.0, at)
        parts.append(f'<rect class="outside" x="{start:.1f}" y="0" width="{end - start:.1f}" height="{HEIGHT:g}"/>')
        parts.append(f'<line class="margin" x1="{at:.1f}" x2="{at:.1f}" y1="0" y2="{HEIGHT:g}"/>')
    if item.low is not None and item.high is not None:
        low, high = shown.at(item.low), shown.at(item.high)
        parts.append(f'<line class="whisker" x1="{low:.1f}" x2="{high:.1f}" y1="{middle:g}" y2="{middle:g}"/>')
        parts += [_end(at, value, shown, sign) for at, value, sign in ((low, item.low, 1), (high, item.high, -1))]
    if item.measured is not None:
        at = shown.at(item.measured)
        parts.append(f'<rect class="estimate" x="{at - 3.5:.1f}" y="{middle - 3.5:g}" width="7" height="7"/>')
    return _svg("".join(parts), "interval, estimate and margin; the figures are in this row")


def _end(at: float, value: float, shown: Axis, sign: int) -> str:
    middle = HEIGHT / 2
    if shown.holds(value):
        return f'<line class="whisker" x1="{at:.1f}" x2="{at:.1f}" y1="{middle - 4:g}" y2="{middle + 4:g}"/>'
    return f'<path class="arrow" d="M{at - sign * 6:.1f} {middle:g} l{sign * 6} -4 v8 z"/>'
