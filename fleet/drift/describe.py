"""Which devices drift, in the fewest words: one device, the devices of one attribute, or the fleet.

The drifting devices are known one by one. An attribute describes them where it holds for most of them and for few others:
precision and recall over the devices that sent enough to tell. One that describes them equally well and is held by fewer
devices is the simpler word.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from .scope import FLEET, Scope

Values = str | tuple[str, ...]

WORLD_SHARE = 0.5  # of the devices: what drifts in more of them is a drift of the world
LEAST_FIT = 0.8  # of both precision and recall of an attribute that describes
MOST_DEVICES = 5  # that are named one by one where no attribute describes them
# Attributes that say nothing of a device, or are its name in other words.
SAYS_NOTHING = ("device", "enrolled", "seen_s", "revoked", "host")
_MODEL_PREFIX = "model."
_NONE: Mapping[str, Values] = {}


@dataclass(frozen=True)
class Described:
    """Scopes that together say where something drifts, and how well the first fits: precision and recall in [0, 1]."""

    scopes: tuple[Scope, ...]
    precision: float
    recall: float


def describe(
    drifting: Collection[str], telling: Collection[str], attributes: Mapping[str, Mapping[str, Values]], *, is_world: bool
) -> Described | None:
    """Where something drifts; None where there is nothing to say.

    `drifting` devices are among the `telling`, those that sent enough to tell. `is_world` says that the fleet's counts together
    drift: then it is the fleet unless one device or attribute of at most half of the devices explains it. Without it
    devices that differ and have nothing in common are no drift of the world, however many they are; the first `MOST_DEVICES` of
    them, as they are given, are named.
    """
    of_world = Described((FLEET,), 1.0, 1.0) if is_world else None
    if not drifting:
        return of_world
    share = len(drifting) / len(telling)
    if is_world and share > WORLD_SHARE:
        return of_world
    if len(drifting) == 1:
        return Described((Scope("device", next(iter(drifting))),), 1.0, 1.0)
    # Where hardly any other device can tell, an attribute has to fit among all that hold it.
    found = _best(drifting, telling if share <= WORLD_SHARE else attributes, attributes)
    if found is not None:
        return found
    if is_world:
        return of_world
    named = tuple(Scope("device", name) for name in list(drifting)[:MOST_DEVICES])
    return Described(named, 1.0, len(named) / len(drifting))


def holds(scope: Scope, device: str, attributes: Mapping[str, Values]) -> bool:
    """Whether a device with these attributes is in the scope."""
    if scope.kind == "fleet":
        return True
    if scope.kind == "device":
        return scope.name == device
    return scope.value in _values(attributes.get(scope.name, ()))


def _best(
    drifting: Collection[str], among: Collection[str], attributes: Mapping[str, Mapping[str, Values]]
) -> Described | None:
    hits = Counter(
        (name, value)
        for device in drifting
        for name, values in attributes.get(device, {}).items()
        if name not in SAYS_NOTHING and not name.startswith(_MODEL_PREFIX)
        for value in _values(values)
    )
    fits = []
    for (name, value), hit in hits.items():
        recall = hit / len(drifting)
        if recall < LEAST_FIT:
            continue
        holders = sum(value in _values(attributes.get(device, _NONE).get(name, ())) for device in among)
        precision = hit / holders
        if precision >= LEAST_FIT:
            fits.append((-2 * precision * recall / (precision + recall), holders, name, value, precision, recall))
    if not fits:
        return None
    _, _, name, value, precision, recall = min(fits)
    return Described((Scope("attribute", name, value),), precision, recall)


def _values(values: Values) -> tuple[str, ...]:
    return (values,) if isinstance(values, str) else values
