"""Quantization-aware training: from the integers that calibration chose to better ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ....calibration.dataset import Split
from ....ir.model import Model
from ....ir.pipeline import pass_text
from ....runtimes.contract import Scheme
from ...distill.distill import Distill
from ...distill.lesson import Lesson
from ...train.loop import fit
from ...train.needs import TrainingNeeds
from ...train.objective import Objective
from ..plan import Plan
from .damping import Damped
from .simulation import Simulation, simulate
from .swings import threshold
from .write import written

if TYPE_CHECKING:
    from ..quantize import Quantize

_HELD_OUT = 10  # every tenth training sample judges where there is no search split


@dataclass(frozen=True, eq=False)
class Trained:
    """The model with the integers that did best, the simulation that computes with them, and what to tell."""

    model: Model
    simulation: Simulation
    notes: tuple[str, ...]


def train(base: Model, quantized: Model, plan: Plan, scheme: Scheme, options: Quantize, given: TrainingNeeds) -> Trained:
    """`quantized`, which `insert` made of `base` by `plan`, with the integers that do best on search.

    The teacher is the user's, else the reference. The state before the first step competes too: where no other does better,
    its integers stay. Raises what `fit` raises, and ModelError for a graph that cannot be trained.
    """
    given = _judged(replace(given, student=None))
    simulation = simulate(base, quantized, plan, scheme, remembers_swings=options.oscillation == "freeze")
    objective, callbacks = _objective(options, simulation, given)
    fitted = fit(
        simulation.module,
        objective,
        given,
        options,
        key=[pass_text(options), scheme.digest],
        parts=simulation.parts(),
        callbacks=[*callbacks, _freezes_scales(simulation, options.freeze_scales), _holds(simulation)],
    )
    result = written(quantized, simulation)
    notes = fitted.told(objective.metric)
    if result.to_bytes() == quantized.to_bytes():
        notes = (*notes, "training found no better integers, so those of calibration stay")
    return Trained(result, simulation, notes)


def _judged(given: TrainingNeeds) -> TrainingNeeds:
    """With a search split: of the training samples where there is none, so that the result is never worse for all we know."""
    if given.search is not None or len(given.train) < 2 * _HELD_OUT:
        return given
    places = given.train.indices
    train = tuple(place for index, place in enumerate(places) if index % _HELD_OUT)
    return replace(
        given,
        train=Split(given.train.name, given.train.data, train),
        search=Split("search", given.train.data, places[::_HELD_OUT]),
    )


def _objective(
    options: Quantize, simulation: Simulation, given: TrainingNeeds
) -> tuple[Objective, list[Callable[[int, int], None]]]:
    lesson = Lesson(
        Distill(temperature=options.temperature, teacher_weight=options.teacher_weight, mixed=options.mixed),
        simulation.model,
        given,
    )
    objective = lesson.objective()
    if not options.damping:
        return objective, []
    damped = Damped(objective, simulation, options.damping)
    return damped, [damped.grow]


def _freezes_scales(simulation: Simulation, after: float) -> Callable[[int, int], None]:
    """A callback: scales are learned up to the share `after` of the steps."""
    scales = [item.scale for item in simulation.activations.values()]
    scales += [item.scale for item in simulation.layers.values()]

    def freeze(step: int, steps: int) -> None:
        for scale in scales:
            scale.is_frozen = step >= after * steps

    return freeze


def _holds(simulation: Simulation) -> Callable[[int, int], None]:
    """A callback: weights that swing too often are held (nothing where no swings are remembered)."""

    def hold(step: int, steps: int) -> None:
        for name, swings in simulation.swings.items():
            swings.see(simulation.levels(name))
            simulation.layers[name].hold(*swings.restless(threshold(step, steps)))

    return hold
