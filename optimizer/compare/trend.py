"""The history as a picture: a small plot a figure, HEAD over time with its intervals, regressions marked."""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

from ...core.errors import UsageError
from ..report.canvas import INK, QUIET
from ..report.words import printable, shorten
from .history import Moment

FORMATS = ("png", "svg")
_COLUMNS, _MOST_PLOTS, _MOST_MOMENTS, _MOST_LABELS = 2, 24, 500, 8
_WIDTH, _HEIGHT = 5.2, 2.4
_MARKERS = {"regression": ("X", "#a3261b", "regression"), "none": ("o", "#0b6b46", "no regression")}
_OPEN = ("D", "#8a5a00", "noise or undecided")
_SHOWN = ("o", QUIET, "not judged")


def trend(history: Mapping[tuple[str, str], Sequence[Moment]], kind: str) -> bytes:
    """The picture as `kind` ("png" or "svg"); raises UsageError for another kind and for a history without a value."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    if kind not in FORMATS:
        raise UsageError(f"a trend is drawn as {' or '.join(FORMATS)}, not as {kind!r}; end the file's name in .png or .svg.")
    known = {
        key: [moment for moment in moments if moment.head is not None][-_MOST_MOMENTS:] for key, moments in history.items()
    }
    drawn = [(key, moments) for key, moments in known.items() if moments]
    if not drawn:
        raise UsageError("the history holds no value, so there is no trend to draw; compare once with --history first.")
    left_out, drawn = len(drawn) - len(drawn[:_MOST_PLOTS]), drawn[:_MOST_PLOTS]
    rows = -(-len(drawn) // _COLUMNS)
    with mpl.rc_context({"svg.hashsalt": "trend", "text.parse_math": False, "font.size": 8}), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        figure = Figure(figsize=(_COLUMNS * _WIDTH, rows * _HEIGHT + 0.4), dpi=110, layout="constrained")
        axes = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
        several = len({key[0] for key, _ in drawn}) > 1
        for place, (key, moments) in zip(axes, drawn, strict=False):
            _plot(place, (f"{key[0]}: " if several else "") + key[1], moments)
        for place in axes[len(drawn) :]:
            place.set_axis_off()
        if left_out:
            figure.suptitle(f"{left_out} more figures are in the history.", color=QUIET, fontsize=8)
        stream = io.BytesIO()
        figure.savefig(stream, format=kind, metadata={"Date": None} if kind == "svg" else None)
    return stream.getvalue()


def _plot(axes: Any, title: str, moments: Sequence[Moment]) -> None:
    factor, unit = _unit(moments)
    places = range(len(moments))
    values = [factor * (moment.head or 0.0) for moment in moments]
    axes.set_title(shorten(printable(title), 60), loc="left", color=INK, fontsize=9)
    axes.plot(places, values, color="#9aa1a8", linewidth=0.9, zorder=1)
    for place, moment in zip(places, moments, strict=True):
        if moment.low is not None and moment.high is not None:
            axes.plot([place, place], [factor * moment.low, factor * moment.high], color="#9aa1a8", linewidth=1.6, zorder=1)
    for marker, colour, label in (*_MARKERS.values(), _OPEN, _SHOWN):
        chosen = [place for place, moment in zip(places, moments, strict=True) if _mark(moment) == (marker, colour, label)]
        if chosen:
            axes.scatter(chosen, [values[at] for at in chosen], marker=marker, color=colour, s=22, label=label, zorder=2)
    axes.legend(fontsize=7, frameon=False, loc="best")
    step = max(1, -(-len(moments) // _MOST_LABELS))
    shown = list(places)[::step]
    axes.set_xticks(shown, [shorten(printable(moments[at].label or moments[at].at[:10]), 10) for at in shown])
    axes.set_ylabel(unit, color=QUIET)
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(y=0.2)


def _mark(moment: Moment) -> tuple[str, str, str]:
    if moment.status in {"noise", "undecided"}:
        return _OPEN
    return _MARKERS.get(moment.status, _SHOWN)


def _unit(moments: Sequence[Moment]) -> tuple[float, str]:
    """Factor and name of the unit of an axis."""
    if moments[-1].is_share:
        return 100.0, "%"
    unit = moments[-1].unit
    if unit == "B":
        most = max(moment.head or 0.0 for moment in moments)
        return (1e-6, "MB") if most >= 1e6 else (1e-3, "kB")
    return 1.0, unit
