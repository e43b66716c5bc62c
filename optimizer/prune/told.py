"""What the pass `prune` tells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...ir.model import Model
from ...ir.statistics import statistics
from .costs import Widths
from .latency_model import LatencyModel
from .places import Group

_NAMED, _REASONS = 5, 3


def removal_notes(before: Model, after: Model, changed: Mapping[str, tuple[int, int]]) -> list[str]:
    """Figures before and after, and the groups that lost the largest share of their units (`changed`: units, units left)."""
    old, new = statistics(before), statistics(after)
    told = [f"parameters {_change(old.parameters, new.parameters)}"]
    if old.macs and new.macs:
        told.insert(0, f"multiply-accumulates {_change(old.macs, new.macs)}")
    most = sorted(changed.items(), key=lambda item: item[1][1] / item[1][0])[:_NAMED]
    if most:
        told.append("pruned most: " + ", ".join(f"{name} {units} to {left}" for name, (units, left) in most))
    return told


def latency_note(model: LatencyModel, widths: Widths) -> str:
    """The layers' time by runtime, as their tables have it."""
    times = [f"{runtime} {_change(us, model.time_us(runtime, widths), ' us')}" for runtime, us in model.full_us.items()]
    return f"time of the layers, each timed alone: {'; '.join(times)}"


def skipped_notes(skipped: Mapping[str, str], every: Sequence[Group], chosen: Sequence[Group]) -> list[str]:
    """Why layers were not pruned, by reason."""
    by_reason: dict[str, list[str]] = {}
    for layer, reason in skipped.items():
        by_reason.setdefault(reason, []).append(layer)
    names = {group.name for group in chosen}
    left = [group.name for group in every if group.name not in names]
    if left:
        by_reason["left out by kind or keep"] = left
    longest = sorted(by_reason.items(), key=lambda item: -len(item[1]))[:_REASONS]
    return [f"not pruned: {_few(layers)} ({reason.rstrip('.')})" for reason, layers in longest]


def _change(before: float, after: float, unit: str = "") -> str:
    return f"{before:,.0f} to {after:,.0f}{unit} ({after / before - 1:+.1%})" if before else "0"


def _few(names: Sequence[str]) -> str:
    rest = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {rest} more" if rest > 0 else "")
