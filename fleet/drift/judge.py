"""Judge one window of one artifact: what drifts, by how much, and where.

The fleet's counts together and each device's alone go through sequential tests against the reference; only these convict. Where
one does, the devices that drift now are described in the fewest words (describe.py), and the scope that comes of it is judged
like the fleet: by its devices' counts merged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ...stats.distances import ks
from ...stats.drift_power import design_effect
from .accuracy import estimated
from .compare import Others, compare
from .counts import Counts, Layout
from .describe import WORLD_SHARE, Values, describe, holds
from .devices import Drifting, Look, drifting_devices, look
from .scope import FLEET, Scope
from .sequence import Bools, Floats, Standing, Tests, design_effects
from .settings import Settings
from .verdict import Compared, Judged, Severity

Attributes = Mapping[str, Mapping[str, Values]]
_CLUSTERS = 1000  # devices that say how alike the requests of one device are


@dataclass(frozen=True)
class Seen:
    """What the devices of an artifact sent in a window: their names and counts, int64 [devices, columns]; one or more."""

    layout: Layout
    devices: tuple[str, ...]
    rows: Counts


@dataclass(frozen=True)
class Stand:
    """Where the tests of an artifact stand: the fleet's, and those of each device that was ever heard."""

    fleet: Standing
    devices: Standing
    names: tuple[str, ...]


@dataclass(frozen=True)
class Finding:
    """What drifts in a scope, convicted by the fleet's or by its devices' tests.

    `log_e` is the wealth that convicts. `devices` of the scope drift, the farthest first; `reach` is their share of those that
    can tell. `precision` and `recall` say how well the scope describes who drifts. `to_others` is the distance of a device to
    the other devices together, None for other scopes.
    """

    measure: str
    scope: Scope
    severity: Severity
    compared: Compared
    log_e: float
    devices: tuple[str, ...]
    reach: float
    precision: float
    recall: float
    to_others: float | None = None


@dataclass(frozen=True)
class Judgement:
    """Where tests stand after the window, its merged counts and comparisons by scope, and what was found."""

    stand: Stand
    windows: Mapping[Scope, tuple[Counts, Judged]]
    findings: tuple[Finding, ...] = field(default=())


def judge(
    tests: Tests,
    seen: Seen,
    stand: Stand,
    others: Callable[[Scope], Others],
    attributes: Callable[[], Attributes],
    scopes: Sequence[Scope],
    settings: Settings,
    seed: int,
) -> Judgement:
    """Judge a window.

    `others` gives other windows of a scope to compare with, `attributes` those of all devices, both asked only where needed;
    `scopes` are judged in any case, because alerts of them are open. `seed` draws what is drawn.
    """
    known = set(stand.names)
    names = (*stand.names, *(name for name in seen.devices if name not in known))
    standing = tests.with_devices(stand.devices, len(names))
    devices, looked = look(tests, standing, _places(names, seen.devices), seen.rows, seen.layout, settings)
    bounds = tests.bounds(devices, len(names))
    drifting = drifting_devices(tests, looked, bounds, settings)
    window = _Window(tests, seen, looked, bounds, drifting, others, attributes, settings, seed)
    fleet = window.judge_fleet(stand.fleet)
    for scope in scopes:
        window.judge(scope)
    findings = [item for place in range(len(tests.watched)) for item in window.findings(place)]
    return Judgement(Stand(fleet, devices, names), window.judged, tuple(findings))


@dataclass
class _Window:
    """A window whose devices were looked at; `judged` are its scopes so far."""

    tests: Tests
    seen: Seen
    looked: Look
    bounds: Floats
    drifting: Sequence[Drifting]
    others: Callable[[Scope], Others]
    ask_attributes: Callable[[], Attributes]
    settings: Settings
    seed: int
    judged: dict[Scope, tuple[Counts, Judged]] = field(default_factory=dict)
    members: dict[Scope, Bools] = field(default_factory=dict)

    @cached_property
    def attributes(self) -> Attributes:
        """Those of all devices, asked once."""
        return self.ask_attributes()

    def judge_fleet(self, standing: Standing) -> Standing:
        """Judge the fleet; where its tests stand after that."""
        self.members[FLEET] = np.ones(len(self.seen.devices), bool)
        row = self.seen.layout.merge_all(self.seen.rows)
        deff = self._deff(row, self.seen.rows)
        after = self.tests.update(standing, row, self.seen.layout, deff)
        reach = {item.name: who.reach for item, who in zip(self.tests.watched, self.drifting, strict=True)}
        self._judge(FLEET, row, deff, self.tests.log_e(after), self.tests.bounds(after), reach)
        return after

    def judge(self, scope: Scope) -> Judged | None:
        """Judge an attribute's devices or one device; None where none of them was heard."""
        if scope not in self.judged:
            which = self.of(scope)
            if not which.any():
                return None
            rows = self.seen.rows[which]
            row = self.seen.layout.merge_all(rows)
            share = float(which.sum()) / len(which)
            reach = {item.name: share for item in self.tests.watched}
            self._judge(scope, row, self._deff(row, rows), self.looked.log_e[which].max(axis=0), self.bounds, reach)
        return self.judged[scope][1]

    def of(self, scope: Scope) -> Bools:
        """Which of the window's devices are in a scope [devices]."""
        if scope not in self.members:
            about = self.attributes if scope.kind == "attribute" else {}
            found = [holds(scope, name, about.get(name, {})) for name in self.seen.devices]
            self.members[scope] = np.array(found, bool)
        return self.members[scope]

    def findings(self, place: int) -> list[Finding]:
        """Where the measure at this place drifts, if a test says so."""
        who, of_fleet = self.drifting[place], self.judged[FLEET][1].measures[place]
        is_world = of_fleet.is_alarm and of_fleet.severity is not None
        if not is_world and not who.convicted.any():
            return []
        order = [int(at) for at in np.argsort(-who.distance, kind="stable") if who.drifting[at]]
        telling = [name for name, tells in zip(self.seen.devices, who.telling, strict=True) if tells]
        are_most = len(order) > WORLD_SHARE * len(telling)
        if are_most and not is_world:  # hardly anybody else sends enough to say that this is not usual, so it has to be clear
            order = [at for at in order if who.clear[at]]
        about = {} if len(order) < 2 or (are_most and is_world) else self.attributes
        found = describe([self.seen.devices[at] for at in order], telling, about, is_world=is_world)
        if found is None:
            return []
        made = [
            self._finding(place, scope, order, len(telling), (found.precision, found.recall), is_world=is_world)
            for scope in found.scopes
        ]
        return [item for item in made if item is not None]

    def _finding(
        self, place: int, scope: Scope, order: Sequence[int], telling: int, fit: tuple[float, float], *, is_world: bool
    ) -> Finding | None:
        which, who, judged = self.of(scope), self.drifting[place], self.judge(scope)
        convicted = who.convicted & which
        if judged is None or not (is_world or convicted.any()):
            return None
        compared, to_others = judged.measures[place], self._to_others(place, scope)
        if compared.severity is None or (to_others is not None and to_others < self.settings.minor):
            return None
        within = tuple(self.seen.devices[at] for at in order if which[at])
        is_of_devices = scope != FLEET and bool(convicted.any())
        log_e = float(self.looked.log_e[convicted, place].max()) if is_of_devices else self._fleet_log_e(place)
        reach = who.reach if scope == FLEET else len(within) / max(1, telling)
        return Finding(compared.measure, scope, compared.severity, compared, log_e, within, reach, *fit, to_others)

    def _fleet_log_e(self, place: int) -> float:
        return self.judged[FLEET][1].measures[place].log_e

    def _judge(
        self, scope: Scope, row: Counts, deff: Floats, log_e: Floats, bounds: Floats, reach: Mapping[str, float]
    ) -> None:
        watched, layout = self.tests.watched, self.seen.layout
        counts = [item.of_rows(row, layout) for item in watched]
        found = compare(watched, counts, deff, log_e, bounds, reach, self.others(scope), self.settings, self.seed)
        judged = Judged(int(self.of(scope).sum()), found, estimated(watched, counts, deff))
        self.judged[scope] = row, judged

    def _deff(self, row: Counts, rows: Counts) -> Floats:
        """Values that stand for an independent one: those of a sample are alike, and so may be those of a device."""
        layout = self.seen.layout
        some = rows[:: max(1, -(-len(rows) // _CLUSTERS))]
        totals = np.array([item.of_rows(row, layout).sum() for item in self.tests.watched])
        by_sample = design_effects(totals, row[layout.samples], self.settings.deff)
        by_device = [design_effect(item.of_rows(some, layout)) for item in self.tests.watched]
        return np.maximum(by_sample, by_device)

    def _to_others(self, place: int, scope: Scope) -> float | None:
        """Distance of a device to the rest; None for other scopes, and where there is no rest."""
        which = self.of(scope)
        if scope.kind != "device" or which.all():
            return None
        counts = self.tests.watched[place].of_rows(self.seen.rows, self.seen.layout)
        rest = counts[~which].sum(axis=0)
        return float(ks(counts[which].sum(axis=0), rest)) if rest.any() else None


def _places(names: Sequence[str], wanted: Sequence[str]) -> NDArray[np.intp]:
    at = {name: place for place, name in enumerate(names)}
    return np.array([at[name] for name in wanted], np.intp)
