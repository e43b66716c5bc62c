"""The sequential tests of one artifact: where they stand, for the fleet and for each device, and how they go on.

Measures of the bins, and latency with errors, are tested apart: the latter have no reference before the first day is over, and
another distance is allowed. How alpha is split does not change when they come: they are counted from the start.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import DataError
from ...stats.distances import ks, largest_change
from ...stats.drift_sequential import FEW_SETS, FEW_STRENGTHS, DriftState, DriftTest, drift_test, level, padded
from .counts import Counts, Layout
from .settings import Settings
from .watched import Watched

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

NOMINAL = "prediction"  # kind of measures whose bins are classes
_OF_SERVICE = 2  # latency and errors


@dataclass(frozen=True)
class Group:
    """Measures that are tested together, for the fleet and for devices; `reference` is padded, int64 [measures, bins]."""

    watched: tuple[Watched, ...]
    reference: Counts
    fleet: DriftTest
    devices: DriftTest

    def counts(self, rows: Counts, layout: Layout) -> Counts:
        """The measures' counts, padded, int64 [..., measures, bins], in rows [..., columns] of a layout."""
        found = np.zeros((*rows.shape[:-1], *self.reference.shape), np.int64)
        for place, item in enumerate(self.watched):
            found[..., place, : len(item.reference)] = item.of_rows(rows, layout)
        return found

    def distances(self, counts: Counts) -> Floats:
        """Distance [..., measures] of padded counts to the references; 0 where nothing was counted."""
        found = np.zeros(counts.shape[:-1])
        for distance, is_nominal in ((ks, False), (largest_change, True)):
            at = [place for place, item in enumerate(self.watched) if (item.kind == NOMINAL) == is_nominal]
            if at:
                some = slice(None) if len(at) == len(self.watched) else at
                found[..., some] = distance(counts[..., some, :], self.reference[some])
        return np.nan_to_num(found, copy=False)


@dataclass(frozen=True)
class Standing:
    """Where tests stand: one state a group, and how often each measure's test was started anew, by name."""

    states: tuple[DriftState, ...]
    restarts: Mapping[str, int]


@dataclass(frozen=True)
class Tests:
    """All tests of an artifact; made by `make_tests`."""

    groups: tuple[Group, ...]
    alpha: float
    count: int

    @property
    def watched(self) -> tuple[Watched, ...]:
        """All measures, in the order of every array below."""
        return tuple(item for group in self.groups for item in group.watched)

    def start(self, devices: int | None = None) -> Standing:
        """Before the first window, of the fleet or of so many devices."""
        shape = () if devices is None else (devices,)
        return Standing(tuple(self._test(group, devices is not None).start(shape) for group in self.groups), {})

    def update(self, standing: Standing, rows: Counts, layout: Layout, deff: Floats) -> Standing:
        """The fleet's tests after a window whose merged counts are the row [columns]; `deff` is [measures]."""
        states, at = [], 0
        for group, state in zip(self.groups, standing.states, strict=True):
            size = len(group.watched)
            states.append(group.fleet.update(state, group.counts(rows, layout), deff[at : at + size]))
            at += size
        return Standing(tuple(states), standing.restarts)

    def log_e(self, standing: Standing) -> Floats:
        """Logarithm of each measure's wealth of the fleet, [measures]."""
        found = [group.fleet.log_e(state) for group, state in zip(self.groups, standing.states, strict=True)]
        return np.concatenate(found)

    def bounds(self, standing: Standing, devices: int | None = None) -> Floats:
        """What the logarithm of each measure's wealth must reach for an alarm [measures], of the fleet or of each of `devices`.

        `devices` are all that were ever heard.
        """
        scopes = 1 if devices is None else _scopes(devices)
        return np.array(
            [
                level(self.alpha, self.count, scopes=scopes, restarts=standing.restarts.get(item.name, 0)).bound
                for item in self.watched
            ]
        )

    def anew(self, standing: Standing, measure: str, which: Bools | None = None) -> Standing:
        """With a measure's test started anew, of the fleet or the devices `which` [devices], with what is left of alpha."""
        states = []
        for group, state in zip(self.groups, standing.states, strict=True):
            names = [item.name for item in group.watched]
            if measure in names:
                at = names.index(measure)
                money, time = state.money.copy(), state.time.copy()
                rows = slice(None) if which is None else which
                if time.ndim == 1:
                    money[at], time[at] = 0.0, 0.0
                else:
                    money[rows, at], time[rows, at] = 0.0, 0.0
                states.append(DriftState(money, time))
            else:
                states.append(state)
        return Standing(tuple(states), {**standing.restarts, measure: standing.restarts.get(measure, 0) + 1})

    def to_json(self, standing: Standing) -> dict[str, Any]:
        """JSON object; `from_json` is its inverse."""
        states = [
            self._test(group, state.time.ndim == 2).to_json(state)
            for group, state in zip(self.groups, standing.states, strict=True)
        ]
        return {"groups": states, "restarts": dict(standing.restarts)}

    def from_json(self, value: Mapping[str, Any] | None, devices: int | None = None) -> Standing:
        """Where the tests stood; groups that are new, or of another reference or other rules, start anew."""
        fresh = self.start(devices)
        if value is None:
            return fresh
        told, states = value["groups"], []
        for at, (group, state) in enumerate(zip(self.groups, fresh.states, strict=True)):
            try:
                found = self._test(group, devices is not None).from_json(told[at]) if at < len(told) else state
            except DataError:
                found = state
            states.append(found if found.time.shape == state.time.shape else state)
        return Standing(tuple(states), {str(name): int(count) for name, count in value["restarts"].items()})

    def joined(self, parts: Sequence[Standing], restarts: Mapping[str, int]) -> Standing:
        """Standing of devices out of that of some each, in their order."""
        states = [
            DriftState(np.concatenate([state.money for state in of]), np.concatenate([state.time for state in of]))
            for of in zip(*(part.states for part in (*parts, self.start(0))), strict=True)
        ]
        return Standing(tuple(states), dict(restarts))

    def with_devices(self, standing: Standing, count: int) -> Standing:
        """Standing of devices, with new ones behind those that there are: `count` in all."""
        more = self.start(count - len(standing.states[0].time))
        states = [
            DriftState(np.concatenate([old.money, new.money]), np.concatenate([old.time, new.time]))
            for old, new in zip(standing.states, more.states, strict=True)
        ]
        return Standing(tuple(states), standing.restarts)

    @staticmethod
    def _test(group: Group, is_of_devices: bool) -> DriftTest:
        return group.devices if is_of_devices else group.fleet


def make_tests(bins: Sequence[Watched], service: Sequence[Watched], settings: Settings) -> Tests:
    """Tests of measures of the bins, and of latency and errors once they have a reference."""
    count, alpha = len(bins) + _OF_SERVICE, settings.alpha / 2  # half for the fleet, half for its devices
    band = level(alpha, count).band
    groups = []
    for watched, delta, device_delta in (
        (tuple(bins), settings.delta, settings.device_delta),
        (tuple(service), settings.service_delta, 2 * settings.service_delta),
    ):
        if not watched:
            continue
        reference = padded([np.asarray(item.reference, np.int64) for item in watched])
        nominal = [item.kind == NOMINAL for item in watched]
        fleet = drift_test(reference, band, delta=delta, nominal=nominal)
        devices = drift_test(reference, band, delta=device_delta, nominal=nominal, sets=FEW_SETS, strengths=FEW_STRENGTHS)
        groups.append(Group(watched, reference, fleet, devices))
    return Tests(tuple(groups), alpha, count)


def _scopes(devices: int) -> int:
    """Into how many parts alpha is split where there are so many devices, and more may join.

    The i-th is first tested when there are i of them or more, so that all false alarms together are as likely as the sum over i
    of 1 / (2 i (1 + ln i)^2), which is at most 1; split evenly among those that there are, the sum would grow without end.
    """
    return math.ceil(2 * max(1, devices) * (1 + math.log(max(1, devices))) ** 2)


def design_effects(totals: Counts, samples: Counts, least: float) -> Floats:
    """Values that stand for an independent one, [..., measures]: those of one sample are counted as one.

    `totals` [..., measures] values were counted of `samples` [...].
    """
    each = totals / np.maximum(samples, 1)[..., None]
    return np.asarray(np.maximum(each, 1.0) * least)


def radius(count: Floats, alpha: float) -> Floats:
    """Half the width of the Dvoretzky-Kiefer-Wolfowitz band of so many independent values; infinite for none.

    Source: Massart, Annals of Probability 18 (1990) 1269-1283.
    """
    with np.errstate(divide="ignore"):
        return np.asarray(np.sqrt(math.log(2 / alpha) / (2 * np.maximum(count, 0.0))))
