"""What the report's pictures share: style, points and their vertical axis, and the way from a figure to inline SVG.

The same figure gives the same bytes: ids are salted with the picture's name and no date is written. Text stays text.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

from .parts import Judgement
from .types import Candidate, TargetReport
from .words import Unit, is_lower_better, kind_of, metric_title

COLOURS = {"onnxruntime": "#0a5f9e", "openvino": "#c2570c", "litert": "#00805f"}
OTHER = "#6b4c9a"
_LARGEST = 1e30
INK = "#1c1f23"
QUIET = "#5b6269"
_STYLE = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.family": "DejaVu Sans",
    "font.size": 11,
    "axes.edgecolor": "#9aa1a8",
    "axes.labelcolor": QUIET,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "text.color": INK,
    "axes.linewidth": 0.8,
    "axes.unicode_minus": True,
}


@dataclass(frozen=True)
class Point:
    """A candidate on the picture: `row` is its number in the table, `judgement` what it costs."""

    row: int
    candidate: Candidate
    judgement: Judgement
    is_released: bool

    @property
    def p50(self) -> float | None:
        """Median latency in milliseconds, or None."""
        return self.candidate.latency_ms.p50 if self.candidate.latency_ms else None


def drawn(value: float | None, factor: float = 1.0) -> float:
    """A value on its axis, held within what can be drawn at all."""
    return min(max((value or 0.0) * factor, -_LARGEST), _LARGEST)


def resolution(*values: float) -> float:
    """The least room beside values of this size that an axis can still resolve."""
    return max(1e-9, *(1e-6 * abs(value) for value in values))


def points_of(target: TargetReport) -> list[Point]:
    """The candidates that have a value of the target's first gate."""
    metric = next((item.metric for candidate in target.candidates for item in candidate.verdicts if item.slice is None), None)
    found = []
    for row, candidate in enumerate(target.candidates, 1):
        judgement = next((item for item in candidate.verdicts if item.metric == metric and item.slice is None), None)
        if judgement is not None and judgement.measured is not None:
            found.append(Point(row, candidate, judgement, candidate.key == target.chosen))
    return found


def svg_of(draw: Callable[[Any], None], name: str, width: int, height: int, description: str) -> str:
    """Inline SVG of `width` by `height` pixels of what `draw` puts on a matplotlib figure."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    salt = re.sub(r"[^a-z0-9]+", "-", name.lower())
    with mpl.rc_context({**_STYLE, "svg.hashsalt": salt}), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        figure = Figure(figsize=(width / 72, height / 72), dpi=72)
        FigureCanvasSVG(figure)
        draw(figure)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    return _inline(stream.getvalue(), salt, description)


def signed(text: str) -> str:
    """With true minus signs; no identifier comes here."""
    return text.replace("-", "−")


def title_of(judgement: Judgement, unit: Unit) -> str:
    """What the vertical axis shows: "top-1 against the reference, points"."""
    what = {"difference": " against the reference", "ratio": " over the reference's", "value": ""}[kind_of(judgement)]
    return f"{metric_title(judgement.metric)}{what}" + (f", {unit.suffix}" if unit.suffix else "")


def limits_of(points: list[Point], unit: Unit) -> tuple[tuple[float, float], bool]:
    """Vertical limits around margin and estimates; a far outlier is cut rather than squeezing all the others flat."""
    judgements = [point.judgement for point in points]
    estimates = [drawn(item.measured, unit.factor) for item in judgements if item.measured is not None]
    margins = [drawn(item.threshold, unit.factor) for item in judgements if item.threshold is not None]
    ends = [drawn(value, unit.factor) for item in judgements for value in (item.low, item.high) if value is not None]
    anchors = margins + ([0.0] if kind_of(judgements[0]) == "difference" else [max(estimates)])
    reach = max(max(anchors) - min(anchors), 1e-9 if unit.suffix == "" else 0.05)
    low = max(min([*ends, *estimates, *anchors]), min(anchors) - reach)
    high = min(max([*ends, *estimates, *anchors]), max(anchors) + reach)
    pad = max(0.1 * (high - low), resolution(low, high))
    limits = (low - pad, high + pad)
    return limits, any(not limits[0] <= value <= limits[1] for value in estimates)


def inside(value: float, limits: tuple[float, float]) -> float:
    """The value, or where a mark for it stands at the nearer edge."""
    edge = 0.04 * (limits[1] - limits[0])
    return min(max(value, limits[0] + edge), limits[1] - edge)


def draw_margin(axes: Any, points: list[Point], unit: Unit, limits: tuple[float, float]) -> None:
    """The gate's limit as a dashed line, what lies outside it shaded."""
    judgement = points[0].judgement
    if judgement.threshold is None:
        return
    margin = drawn(judgement.threshold, unit.factor)
    is_upper = is_lower_better(judgement)
    limit = "margin" if kind_of(judgement) == "difference" else "gate"
    axes.axhspan(*((margin, limits[1]) if is_upper else (limits[0], margin)), color="#f4efe9", zorder=0, linewidth=0)
    axes.axhline(margin, color=INK, linewidth=1.1, linestyle=(0, (5, 3)), zorder=1)
    if axes.get_ylabel() == "" and axes.spines["left"].get_visible():
        axes.annotate(
            signed(f"{limit} {unit.text(judgement.threshold)}"),
            (0, margin),
            (4, 3 if is_upper else -3),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va="bottom" if is_upper else "top",
            fontsize=10,
            color=INK,
            bbox={"facecolor": "#f4efe9", "edgecolor": "none", "pad": 1.0},
            zorder=5,
        )


def _inline(svg: str, name: str, description: str) -> str:
    """The `<svg>` element alone, with ids of its own, a description, and no outside reference."""
    body = svg[svg.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    body = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', body)
    body = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{name}-", body)
    head = f'<svg class="picture" role="img" aria-label="{escape(description)}"'
    body = re.sub(r'^<svg\b([^>]*?) width="[^"]*"', r"<svg\1", re.sub(r'^(<svg\b[^>]*?) height="[^"]*"', r"\1", body))
    return body.replace("<svg", head, 1).strip()


def draw_key(figure: Any, handles: list[Any], width: float, height: float, bottom: float) -> None:
    """One row of a key, `bottom` above the lower edge of a figure of `width` times `height`, all in points."""
    figure.add_artist(
        figure.legend(
            handles=handles,
            loc="lower left",
            bbox_to_anchor=(56 / width, bottom / height),
            ncols=len(handles),
            frameon=False,
            fontsize=10,
            handletextpad=0.1,
            columnspacing=0.9,
            borderaxespad=0,
            borderpad=0.1,
        )
    )
