"""A row's interval beside its threshold, as inline SVG."""

from __future__ import annotations

from .finding import Finding

WIDTH, HEIGHT = 220.0, 24.0
_EDGE = 6.0
# How far from the middle of things an end of an interval may lie before it is cut, in spans of the threshold and the estimate.
_REACH = 6.0


def interval_picture(item: Finding) -> str:
    """No change as a dotted line, the threshold as an upright one with the worse side shaded, the interval and the estimate.

    "" where nothing was measured.
    """
    if item.measured is None:
        return ""
    marks = [item.measured, *([] if item.threshold is None else [item.threshold]), *([] if item.scale == "level" else [0.0])]
    span = max(marks) - min(marks) or max(abs(marks[0]), 1e-9)
    low, high = (item.measured if end is None else end for end in (item.low, item.high))
    left = max(min(low, *marks), min(marks) - _REACH * span) - 0.15 * span
    right = min(max(high, *marks), max(marks) + _REACH * span) + 0.15 * span

    def at(value: float) -> float:
        share = (min(max(value, left), right) - left) / (right - left)
        return _EDGE + share * (WIDTH - 2 * _EDGE)

    middle = HEIGHT / 2
    parts = []
    if item.threshold is not None:
        edge = at(item.threshold)
        start, width = (0.0, edge) if item.is_higher_better else (edge, WIDTH - edge)
        parts.append(f'<rect class="worse" x="{start:.1f}" y="0" width="{width:.1f}" height="{HEIGHT:g}"/>')
        parts.append(f'<line class="limit" x1="{edge:.1f}" x2="{edge:.1f}" y1="0" y2="{HEIGHT:g}"/>')
    if item.scale != "level":
        parts.append(f'<line class="zero" x1="{at(0.0):.1f}" x2="{at(0.0):.1f}" y1="0" y2="{HEIGHT:g}"/>')
    parts.append(f'<line class="range" x1="{at(low):.1f}" x2="{at(high):.1f}" y1="{middle:g}" y2="{middle:g}"/>')
    parts.append(f'<circle class="point" cx="{at(item.measured):.1f}" cy="{middle:g}" r="3.5"/>')
    size = f'width="{WIDTH:g}" height="{HEIGHT:g}" viewBox="0 0 {WIDTH:g} {HEIGHT:g}"'
    return f'<svg class="{item.status}" role="img" aria-hidden="true" {size}>{"".join(parts)}</svg>'
