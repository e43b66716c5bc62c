"""What a Keras step becomes: the model that TFMOT made, ingested and prepared like any other."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..calibration.dataset import Split
from ..core.progress import Progress
from ..core.store import StepStore
from ..ir.model import Model
from .distill.students import in_place_of
from .ingest.ingest import ingest
from .ingest.keras_step import TfmotStep, run_keras_step
from .prepare import prepare_model
from .recipe import Recipe
from .training import Step


def keras_start(
    step: TfmotStep,
    recipe: Recipe,
    base: Model,
    train: Split,
    samples: Mapping[str, Any],
    store: StepStore,
    progress: Progress,
) -> tuple[Model, str, Step]:
    """The prepared model with the inputs and outputs of `base`, its pipeline's text, and what was done.

    `train` is what the step learns from, `samples` (arrays by input of `base`) are what its result is held against its file on.
    Raises what the step and `ingest` raise, and PassError where the step changed what the model takes or answers.
    """
    made = run_keras_step(step, Path(recipe.model), train, trust=recipe.trust, seed=recipe.seed, store=store, progress=progress)
    arrays = list(samples.values())
    # One array fits whatever the step named the input; with several, names tell them apart.
    ingested = ingest(made.path, samples={"x": arrays[0]} if len(arrays) == 1 else dict(samples), progress=progress)
    prepared, pipeline = prepare_model(ingested)
    by = ", ".join(f"{name} {version}" for name, version in made.versions.items())
    return in_place_of(base, prepared), f"{step},{pipeline}", Step(str(step), made.seconds, (*made.notes, by))
