"""Judge one window of one artifact: what drifts, by how much, and where.

The fleet's counts together and each device's alone go through sequential tests against the reference; only these convict. Where
one does, the devices that drift now are described in the fewest words (describe.py), and the scope that comes of it is judged
like the fleet: by its devices' counts merged.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ...stats.distances import ks
from .accuracy import estimated
from .compare import Others, compare
from .counts import Counts, Layout
from .describe import Values, describe, holds
from .devices import drifting_devices, look
from .scope import FLEET, Scope
from .sequence import Bools, Floats, Standing, Tests, design_effects
from .settings import Settings
from .verdict import Compared, Judged, Severity

Attributes = Mapping[str, Mapping[str, Values]]


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
    layout = seen.layout
    whole = layout.merge_all(seen.rows)
    whole_deff = _deff(tests, whole, layout, settings)
    fleet = tests.update(stand.fleet, whole, layout, whole_deff)
    log_e, bounds = tests.log_e(fleet), tests.bounds(fleet)
    known_before = set(stand.names)
    names = (*stand.names, *(name for name in seen.devices if name not in known_before))
    standing = tests.with_devices(stand.devices, len(names))
    devices, looked = look(tests, standing, _places(names, seen.devices), seen.rows, layout, settings)
    device_bounds = tests.bounds(devices, len(names))
    drifting = drifting_devices(tests, looked, device_bounds, settings)
    reach = {item.name: who.reach for item, who in zip(tests.watched, drifting, strict=True)}
    everybody = np.ones(len(seen.devices), bool)

    def judged(scope: Scope, which: Bools) -> tuple[Counts, Judged]:
        row = whole if which.all() else layout.merge_all(seen.rows[which])
        counts = [item.of_rows(row, layout) for item in tests.watched]
        deff = _deff(tests, row, layout, settings)
        is_fleet = scope == FLEET
        share = float(which.sum()) / len(which)
        found = compare(
            tests.watched, counts, deff,
            log_e if is_fleet else looked.log_e[which].max(axis=0),
            bounds if is_fleet else device_bounds,
            reach if is_fleet else {item.name: share for item in tests.watched},
            others(scope), settings, seed,
        )  # fmt: skip
        return row, Judged(int(which.sum()), found, estimated(tests.watched, counts, deff))

    windows = {FLEET: judged(FLEET, everybody)}
    known: list[Attributes] = []

    def told() -> Attributes:
        if not known:
            known.append(attributes())
        return known[0]

    @cache
    def members(scope: Scope) -> Bools:
        if scope == FLEET:
            return everybody
        about = told() if scope.kind == "attribute" else {}
        return np.array([holds(scope, name, about.get(name, {})) for name in seen.devices], bool)

    def window_of(scope: Scope) -> tuple[Counts, Judged] | None:
        if scope not in windows and (which := members(scope)).any():
            windows[scope] = judged(scope, which)
        return windows.get(scope)

    for scope in scopes:
        window_of(scope)
    findings: list[Finding] = []
    for place, who in enumerate(drifting):
        of_fleet = windows[FLEET][1].measures[place]
        is_world = of_fleet.is_alarm and of_fleet.severity is not None
        if not is_world and not who.convicted.any():
            continue
        order = np.argsort(-who.distance, kind="stable")
        drift = [int(at) for at in order if who.drifting[at]]
        telling = [name for name, tells in zip(seen.devices, who.telling, strict=True) if tells]
        about = told() if 1 < len(drift) <= len(telling) / 2 else {}
        found = describe([seen.devices[at] for at in drift], telling, about, is_world=is_world)
        for scope in () if found is None else found.scopes:
            which = members(scope)
            within = tuple(seen.devices[at] for at in drift if which[at])
            convicted = who.convicted & which
            window = window_of(scope)
            if window is None or not (is_world or convicted.any()):
                continue
            compared, to_others = (
                window[1].measures[place],
                _to_others(tests.watched[place].of_rows(seen.rows, layout), which, scope),
            )
            if compared.severity is None or (to_others is not None and to_others < settings.minor):
                continue
            wealth = looked.log_e[convicted, place].max() if convicted.any() and scope != FLEET else log_e[place]
            findings.append(
                Finding(
                    compared.measure, scope, compared.severity, compared, float(wealth), within,
                    who.reach if scope == FLEET else len(within) / max(1, len(telling)),
                    found.precision if found else 1.0, found.recall if found else 1.0, to_others,
                )
            )  # fmt: skip
    return Judgement(Stand(fleet, devices, names), windows, tuple(findings))


def _deff(tests: Tests, row: Counts, layout: Layout, settings: Settings) -> Floats:
    totals = np.array([item.of_rows(row, layout).sum() for item in tests.watched])
    return design_effects(totals, row[layout.samples], settings.deff)


def _places(names: Sequence[str], wanted: Sequence[str]) -> NDArray[np.intp]:
    at = {name: place for place, name in enumerate(names)}
    return np.array([at[name] for name in wanted], np.intp)


def _to_others(counts: Counts, which: Bools, scope: Scope) -> float | None:
    """Distance of a device to the rest; None for other scopes, and where there is no rest."""
    if scope.kind != "device" or which.all():
        return None
    rest = counts[~which].sum(axis=0)
    return float(ks(counts[which].sum(axis=0), rest)) if rest.any() else None
