"""How int8 is made for one runtime: the ranges that keep the answers closest, the layers that must stay in float."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from ..calibration.dataset import Split
from ..core.errors import RuntimeFailure
from ..device_profiles.profile import DeviceProfile
from ..runtimes import registry
from ..runtimes.location import Location
from .evaluate import Outputs
from .exam import is_inside
from .kit import Kit
from .quantize.plan import is_lookup, make_plan, weight_of
from .quantize.quantize import Quantize

Ranges = Literal["min-max", "percentile", "mse", "entropy"]
RANGES: tuple[Ranges, ...] = ("mse", "percentile", "min-max")
_PROBE_SAMPLES, _LAYER_SAMPLES = 64, 16
_NAMED = 3


def choose_quantization(
    kit: Kit, profile: DeviceProfile, runtime: str, location: Location, asked: Quantize
) -> tuple[Quantize, tuple[str, ...]]:
    """Options of `quantize` for this runtime, and what there is to tell.

    Files are run at `location`. What differs from its default in `asked` stays as it is, and where int8 is trained or only
    stored nothing is chosen at all. Ranges are compared by the relative squared error of the runtime's own answers. Where
    `search` does not like the best of them, layers go back to float, the most harmful first (each measured alone in int8),
    until it does; if no half of them helps, the whole int8 model is what is judged.
    """
    if asked.mode != "static":
        return asked, ()
    tried = RANGES if asked.ranges == Quantize.ranges else (asked.ranges,)
    errors = {
        ranges: _error(kit, profile, runtime, location, replace(asked, ranges=ranges), _PROBE_SAMPLES) for ranges in tried
    }
    best = replace(asked, ranges=min(tried, key=lambda ranges: errors[ranges]))
    notes = tuple(f"ranges by {ranges}: relative error {error:.3g}" for ranges, error in errors.items())
    if asked.keep_float or _is_liked(kit, profile, runtime, location, best):
        return best, notes
    harm = _harm(kit, profile, runtime, location, best)
    notes = (*notes, *_worst(harm))
    mixed = _mix(kit, profile, runtime, location, best, list(harm))
    if mixed is None:
        return best, (*notes, "no mix of int8 and float layers passed on the search split")
    return mixed, (*notes, f"{len(mixed.keep_float)} layers went back to float for accuracy")


def _error(kit: Kit, profile: DeviceProfile, runtime: str, location: Location, options: Quantize, samples: int) -> float:
    """Relative squared error of the answers on the first samples of `search`; infinite where it cannot run."""
    split = kit.search.split
    probe = Split(split.name, split.data, split.indices[:samples])
    built = kit.builder.build(runtime, profile, "int8", options)
    try:
        outputs: Outputs = kit.evaluator.outputs(built, probe, location)
    except RuntimeFailure:
        return float("inf")
    reference = kit.search.reference[: len(probe)].astype(np.float64)
    difference = outputs[kit.search.output].astype(np.float64) - reference
    scale = float((reference**2).sum())
    error = float((difference**2).sum()) / (scale if scale > 0 else 1.0)
    return error if np.isfinite(error) else float("inf")


def _is_liked(kit: Kit, profile: DeviceProfile, runtime: str, location: Location, options: Quantize) -> bool:
    built = kit.builder.build(runtime, profile, "int8", options)
    try:
        outputs = kit.evaluator.outputs(built, kit.search.split, location)
    except RuntimeFailure:
        return False
    return is_inside(kit.judge(outputs))


def _harm(kit: Kit, profile: DeviceProfile, runtime: str, location: Location, best: Quantize) -> dict[str, float]:
    """Relative squared error of the answers with each layer alone in int8, the most harmful first."""
    layers = _weighted_layers(kit, runtime, profile)
    harm: dict[str, float] = {}
    with kit.progress.task(f"sensitivity of {len(layers)} layers in {runtime}", len(layers)) as advance:
        for layer in layers:
            alone = replace(best, keep_float=tuple(other for other in layers if other != layer))
            harm[layer] = _error(kit, profile, runtime, location, alone, _LAYER_SAMPLES)
            advance(1)
    return dict(sorted(harm.items(), key=lambda item: -item[1]))


def _worst(harm: Mapping[str, float]) -> tuple[str, ...]:
    """The sentence that names the layers which int8 harms most, where there are any."""
    named = [f"{layer} ({error:.2g})" for layer, error in list(harm.items())[:_NAMED] if error > 0]
    return (f"int8 harms most, each layer alone (relative error): {', '.join(named)}",) if named else ()


def _mix(
    kit: Kit, profile: DeviceProfile, runtime: str, location: Location, best: Quantize, ranked: Sequence[str]
) -> Quantize | None:
    """`best` with the fewest layers in float (1, 2, 4, ... of the most harmful, `ranked`) that `search` likes."""
    count = 1
    while count <= max(1, len(ranked) // 2):
        options = replace(best, keep_float=tuple(ranked[:count]))
        if _is_liked(kit, profile, runtime, location, options):
            return options
        count *= 2
    return None


def _weighted_layers(kit: Kit, runtime: str, profile: DeviceProfile) -> Sequence[str]:
    scheme = registry.get(runtime).scheme(profile)
    nodes = {str(node.outputs[0].name): node for node in kit.builder.base.graph}
    plan = make_plan(kit.builder.base, scheme)
    return [
        name
        for name in plan.nodes
        if weight_of(nodes[name], scheme.operators[nodes[name].op_type]) is not None or is_lookup(nodes[name])
    ]
