"""Which devices drift in a window, measure by measure, and which of them the sequential tests have convicted.

Devices come by the ten thousand, so they are looked at some at a time: what is computed of these stays near the processor.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...stats.drift_sequential import DriftState
from .counts import Counts, Layout
from .sequence import Bools, Floats, Standing, Tests, design_effects, radius
from .settings import Settings
from .watched import ERRORS, LATENCY

# Level of one device's look at one measure, which describes and opens no alert.
_ALPHA = 0.001
_FEWEST = 8  # devices that say what is usual
_FAR = 6.0  # spreads above the median: what is usual ends there
_MANY = 0.25  # share of devices past their bound from which on what is usual is said by the others alone
_AT_ONCE = 1 << 17  # counts that are looked at together


@dataclass(frozen=True)
class Look:
    """Of the devices of a window and each measure, [devices, measures]: what was counted, and what their tests say after it.

    `total` values were counted, of which `deff` stand for an independent one; `distance` is to the reference, `log_e` the
    logarithm of the wealth.
    """

    total: Counts
    deff: Floats
    distance: Floats
    log_e: Floats


@dataclass(frozen=True)
class Drifting:
    """Of one measure, over the devices of a window: who drifts now, who sent enough to tell, and who is convicted of it.

    A device drifts now where its distance to the reference exceeds what devices are allowed, and what is usual among them, by
    more than chance, in this window (then it is clear) or in all so far. It tells where a drift as large as that of those that
    drift would have been seen. Convicted are those that drift now and whose sequential test has reached its bound.
    """

    drifting: Bools
    clear: Bools
    telling: Bools
    convicted: Bools
    distance: Floats

    @property
    def reach(self) -> float:
        """Share of the devices that drift, of those that can tell; 1 where none can, since nobody says otherwise."""
        telling = int(self.telling.sum())
        return float(self.drifting.sum()) / telling if telling else 1.0


def look(
    tests: Tests, standing: Standing, places: NDArray[np.intp], rows: Counts, layout: Layout, settings: Settings
) -> tuple[Standing, Look]:
    """Standing of all devices after a window, and what is seen of those in it.

    The window's devices have the `places` [devices] in the standing and the `rows` [devices, columns].
    """
    shape = len(rows), len(tests.watched)
    seen = Look(np.zeros(shape, np.int64), np.ones(shape), np.zeros(shape), np.zeros(shape))
    states = [DriftState(state.money.copy(), state.time.copy()) for state in standing.states]
    widest = max(group.reference.size for group in tests.groups)
    step = max(1, _AT_ONCE // widest)
    for begin in range(0, len(rows), step):
        part, at = slice(begin, begin + step), places[begin : begin + step]
        first = 0
        for group, state in zip(tests.groups, states, strict=True):
            columns = slice(first, first + len(group.watched))
            first = columns.stop
            counts = group.counts(rows[part], layout)
            seen.total[part, columns] = counts.sum(axis=-1)
            deff = design_effects(seen.total[part, columns], rows[part, layout.samples], settings.deff)
            after = group.devices.update(DriftState(state.money[at], state.time[at]), counts, deff)
            state.money[at], state.time[at] = after.money, after.time
            seen.deff[part, columns] = deff
            seen.distance[part, columns] = group.distances(counts)
            seen.log_e[part, columns] = group.devices.log_e(after)
    return Standing(tuple(states), standing.restarts), seen


def drifting_devices(tests: Tests, seen: Look, bounds: Floats, settings: Settings) -> list[Drifting]:
    """Of each measure who drifts; `bounds` [measures] are those of the devices' tests."""
    found = []
    for place, item in enumerate(tests.watched):
        delta = 2 * settings.service_delta if item.kind in (LATENCY, ERRORS) else settings.device_delta
        distance, total, log_e = seen.distance[:, place], seen.total[:, place], seen.log_e[:, place]
        is_past = log_e >= bounds[place]
        error = radius(total / seen.deff[:, place], _ALPHA) + radius(np.array(float(sum(item.reference))), _ALPHA)
        is_like = total > 0
        if is_past.any():  # those that send too little beside these lie far by chance alone, and say nothing of what is usual
            is_like &= error <= 2 * np.median(error[is_past])
        if is_past.sum() > _MANY * is_like.sum():
            is_like &= ~is_past
        allowed = max(delta, _usual(distance[is_like]))
        is_likely = (log_e >= -np.log(_ALPHA)) & (distance > allowed)
        clear = (total > 0) & (distance - error > allowed)
        drifting = clear | ((total > 0) & is_likely)
        convicted = drifting & is_past
        size = float(np.median(distance[drifting])) if drifting.any() else 0.0
        telling = drifting | ((total > 0) & (error < size - allowed))
        found.append(Drifting(drifting, clear, telling, convicted, distance))
    return found


def _usual(distance: Floats) -> float:
    """Up to which distance devices lie from the reference by being each in its own place; 0 where too few say so.

    Six standard deviations above the median, these estimated from the median and the lower quartile, so that devices that
    drift have little part in it while they are fewer than the others.
    """
    if len(distance) < _FEWEST:
        return 0.0
    quarter, half = np.quantile(distance, [0.25, 0.5])
    return float(half + _FAR * (half - quarter) / 0.6745)
