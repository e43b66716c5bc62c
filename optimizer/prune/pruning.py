"""Pruning a model step by step: importance, widths, removal, repair."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from ...core.errors import PassError, unknown
from ...ir.model import Model
from ...ir.passes import PassResult, stamp
from ..train.needs import TrainingNeeds
from .align import alignment, widths_of
from .allocate import Choices, family_of, given_widths, kept_units, reach
from .costs import CostModel, Widths, counted_macs
from .follow import follow
from .groups import find_groups
from .importance import scores
from .latency_model import LatencyModel, measured_latency, timed_runtimes
from .places import Group
from .remove import remove
from .repair import between, repaired
from .schedule import shares
from .target import NAMES, counted
from .told import latency_note, removal_notes, skipped_notes

if TYPE_CHECKING:
    from .prune import Prune

# How far from the target a removal may end, as a share of the whole, before the notes say so.
TOLERANCE = 0.02


class Pruning:
    """One run of the pass `prune`; groups go by the names that they have in the model as it came."""

    def __init__(self, options: Prune, model: Model, needs: TrainingNeeds) -> None:
        """Find what can be pruned; raises PassError where there is nothing, or an option fits neither model nor data."""
        self._options, self._start, self._needs = options, model, needs
        self._has_data = len(needs.train) > 0
        self._align = alignment(options.align, needs.profile)
        if options.reconstruct and not self._has_data:
            raise PassError("prune: reconstruct=true needs data to fit layers to; give them with --data, or leave it out.")
        self._notes: list[str] = []
        found = find_groups(model)
        self._every, self._skipped = found.groups, found.skipped
        self._layers = _layers(model, self._every)
        self._groups = self._chosen()
        self._full = {group.name: group.units for group in self._groups}

    def run(self) -> PassResult:
        """Prune; see `Prune.run`."""
        options, model = self._options, self._start
        done = shares(self._schedule(), options.steps)
        if self._needs.budget is not None and len(done) > 1:
            self._needs.budget.plan([1.0] * (len(done) - 1))
        groups: Sequence[Group] = self._groups
        actual = {group.name: group.name for group in groups}
        for step, share in enumerate(done):
            is_last = step == len(done) - 1
            widths, keep = self._allocated(model, groups, actual, share, is_last=is_last)
            after = remove(model, {actual[name]: units for name, units in keep.items()})
            model = repaired(after, model, groups, keep, options.reconstruct, self._needs) if self._has_data else after
            if not is_last:
                model, told = between(model, options.epochs, options.batch, options.lr, self._needs)
                self._notes.append(f"between removals {step + 1} and {step + 2}: {', '.join(told)}")
                groups, actual = _followed(groups, keep, model)
        changed = {name: (self._full[name], width) for name, width in widths.items() if width < self._full[name]}
        _stamp_changed(model, self._start, options.name)
        notes = (
            *removal_notes(self._start, model, changed),
            *self._reached(model, widths),
            *self._notes,
            *skipped_notes(self._skipped, self._every, self._groups),
        )
        return PassResult(model, bool(changed), notes)

    def times(self) -> LatencyModel | None:
        """The layers' times that the widths will hang on; None where they hang on none."""
        options = self._options
        is_timed = not options.ratios and "latency" in (options.of, options.allocation)
        return self._latency if is_timed and timed_runtimes(self._needs.profile) else None

    def _schedule(self) -> Literal["one-shot", "iterative"]:
        if self._options.schedule == "iterative" and not self._has_data:
            self._notes.append("one-shot, since there are no data to train with between steps")
            return "one-shot"
        return self._options.schedule

    def _chosen(self) -> tuple[Group, ...]:
        """Groups of the wanted kinds without those to keep."""
        for layer in self._options.keep:
            if layer not in self._layers:
                raise PassError(f"prune: keep: {unknown('layer', layer, self._layers)}")
        kept = {self._layers[layer] for layer in self._options.keep}
        found = tuple(group for group in self._every if group.kind in self._options.kind and group.name not in kept)
        if not found:
            why = next(iter(self._skipped.values()), "no layer makes units that can be removed")
            raise PassError(f"prune: nothing of this model can be pruned ({why}); leave this pass out, or widen kind and keep.")
        return found

    def _allocated(
        self, model: Model, groups: Sequence[Group], actual: Mapping[str, str], share: float, *, is_last: bool
    ) -> tuple[Mapping[str, int], dict[str, tuple[int, ...]]]:
        """Widths by group, and the units that stay."""
        options = self._options
        importance = options.importance
        if importance == "taylor" and not self._has_data:
            importance = "l2"
            self._notes.append("importance by l2, since taylor needs data")
        saliency = None
        if importance == "taylor":
            from .taylor import saliency as measure

            saliency = measure(model, self._needs)
        scored = scores(model, groups, importance, saliency)
        allowed = {group.name: widths_of(group, self._align, self._full[group.name], is_last=is_last) for group in groups}
        choices = Choices(groups, allowed, scored, is_comparable=importance == "taylor")

        def keep(widths: Widths) -> dict[str, tuple[int, ...]]:
            return {group.name: kept_units(group, scored[group.name], widths[group.name]) for group in groups}

        if options.ratios:
            widths: Mapping[str, int] = given_widths(options.ratios, choices, self._layers, self._full, share)
        else:
            widths = self._reaching(choices, self._counter(model, keep, actual), share)
        return widths, keep(widths)

    def _reaching(self, choices: Choices, count: Callable[[Widths], float], share: float) -> Mapping[str, int]:
        """The widths at which `share` of the amount is gone, or what comes closest before the last removal; raises PassError
        where the whole amount cannot go."""
        options, whole = self._options, self._whole
        if whole <= 0:
            raise PassError(f"prune: this model has no {NAMES[options.of]} to remove; use another of.")
        least = {group.name: widths_of(group, self._align, self._full[group.name]).least for group in choices.groups}
        most = 1 - count(least) / whole
        if most < options.amount:
            raise PassError(
                f"prune: {options.amount:.0%} of the {NAMES[options.of]} cannot be removed: with channels in multiples of "
                f"{self._align} and a tenth of each group kept, {most:.1%} is the most; lower amount, or give a smaller align."
            )
        family = family_of(options.allocation, choices, self._cost)
        return reach(family, count, whole * (1 - options.amount * share)) or choices.least

    def _counter(
        self, model: Model, keep: Callable[[Widths], dict[str, tuple[int, ...]]], actual: Mapping[str, str]
    ) -> Callable[[Widths], float]:
        """What the model costs at given widths, counted after a real removal (time: as the latency model has it)."""
        of, known = self._options.of, dict[tuple[int, ...], float]()

        def count(widths: Widths) -> float:
            key = tuple(widths[name] for name in actual)
            if key not in known:
                if of == "latency":
                    known[key] = self._latency.total(widths)
                else:
                    made = remove(model, {actual[name]: units for name, units in keep(widths).items()})
                    known[key] = counted(made, of)
            return known[key]

        return count

    @cached_property
    def _whole(self) -> float:
        """What the model as it came costs."""
        return self._latency.total(self._full) if self._options.of == "latency" else counted(self._start, self._options.of)

    def _cost(self) -> CostModel:
        """What the allocations "latency" and "macs" weigh importance against."""
        if self._options.allocation == "macs":
            return counted_macs(self._start, self._groups)
        if timed_runtimes(self._needs.profile):
            return self._latency
        told = f"{self._untimed()}: importance is weighed against multiply-accumulates instead of time"
        if told not in self._notes:
            self._notes.append(told)
        return counted_macs(self._start, self._groups)

    @cached_property
    def _latency(self) -> LatencyModel:
        profile, runtimes = self._needs.profile, timed_runtimes(self._needs.profile)
        if profile is None or not runtimes:
            raise PassError(f"prune: of=latency cannot be measured, since {self._untimed()}; use of=macs.")
        needs = self._needs
        return measured_latency(self._start, self._groups, profile, runtimes, self._align, needs.measurements, needs.progress)

    def _untimed(self) -> str:
        profile = self._needs.profile
        return "no profile is given" if profile is None else f"this machine is no {profile.name}"

    def _reached(self, model: Model, widths: Widths) -> list[str]:
        """What there is to tell of the target and of the time."""
        options, told = self._options, []
        if "_latency" in self.__dict__:
            told.append(latency_note(self._latency, widths))
        if options.ratios or options.of == "latency":
            return told
        removed = 1 - counted(model, options.of) / self._whole
        if removed > options.amount + TOLERANCE:
            told.append(f"{removed:.1%} of the {NAMES[options.of]} went, since channels go by multiples of {self._align}")
        return told


def _followed(
    groups: Sequence[Group], keep: Mapping[str, Sequence[int]], model: Model
) -> tuple[Sequence[Group], dict[str, str]]:
    """The groups as they are in `model`, in which `keep` is left of them, under their first names, and their names there."""
    found, now = [], {}
    for name, group in follow(groups, keep, find_groups(model).groups).items():
        if group is None:
            raise PassError(
                f"prune: after a removal {name!r} can no longer be pruned alone; use schedule=one-shot, or keep it."
            )
        found.append(replace(group, name=name))
        now[name] = group.name
    return found, now


def _layers(model: Model, groups: Sequence[Group]) -> dict[str, str]:
    """Name of the group that each layer makes, by the name of the layer's output."""
    makers = {place.tensor: group.name for group in reversed(groups) for place in group.weights if place.role == "makes"}
    found = {}
    for node in model.graph:
        names = [makers[str(value.name)] for value in node.inputs if value is not None and str(value.name) in makers]
        if names and node.outputs[0].name:
            found[str(node.outputs[0].name)] = names[0]
    return {**found, **{group.name: group.name for group in groups}}


def _stamp_changed(model: Model, start: Model, name: str) -> None:
    """Mark the layers whose weights have another shape than before."""
    before = {key: value.shape for key, value in start.graph.initializers.items()}
    for node in model.graph:
        held = [value for value in node.inputs if value is not None and value.is_initializer()]
        if any(str(value.name) in before and value.shape != before[str(value.name)] for value in held):
            stamp([node], name)
