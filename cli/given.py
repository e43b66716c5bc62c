"""What the passes of `edgewright opt` are given: data, a target, statistics of the model as it is by then."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..core.errors import UsageError

if TYPE_CHECKING:
    from ..calibration.dataset import Split
    from ..core.progress import Progress
    from ..device_profiles.profile import DeviceProfile
    from ..ir.model import Model
    from ..ir.passes import Pass
    from ..ir.pipeline import Pipeline
    from ..optimizer.train.needs import TrainingNeeds


@dataclass(frozen=True)
class Source:
    """Where data and target come from: the options of the command."""

    data: str | None
    labels: str | None
    preprocess: str | None
    profile: str | None
    runtime: str
    calib_samples: int
    seed: int
    trust: bool


class Given:
    """Hands each stage of a pipeline what its passes need; data are opened when the first asks for them."""

    def __init__(self, source: Source, start: Model, progress: Progress) -> None:
        """For a pipeline that begins with `start`."""
        self._source, self._start, self._progress = source, start, progress

    def for_stage(self, stage: Pipeline, model: Model) -> dict[type[Any], Any]:
        """What the passes of `stage` need, which begins with `model`; raises UsageError for an option that is missing."""
        from ..optimizer.quantize.quantize import Quantize, QuantizeNeeds
        from ..optimizer.train.needs import TrainingNeeds

        given: dict[type[Any], Any] = {}
        if any(item.needs is TrainingNeeds for item in stage.passes):
            given[TrainingNeeds] = self.training
        quantize = [item for item in stage.passes if isinstance(item, Quantize)]
        if quantize:
            given[QuantizeNeeds] = self._quantize(quantize, model)
        return given

    @cached_property
    def training(self) -> TrainingNeeds:
        """What passes that train are given; without --data a split without samples."""
        from ..calibration.dataset import no_samples
        from ..optimizer.train.form import training_form
        from ..optimizer.train.needs import TrainingNeeds

        train = no_samples("data") if self._source.data is None else self._split(self._start, None)
        return TrainingNeeds(
            train=train,
            search=None,
            reference=training_form(self._start),
            seed=self._source.seed,
            progress=self._progress,
            profile=self._profile,
        )

    def _quantize(self, passes: Sequence[Any], model: Model) -> Any:
        from ..calibration.collect import collect
        from ..calibration.dataset import Split
        from ..calibration.moments import MOMENT_SAMPLES, collect_moments
        from ..optimizer.quantize.quantize import QuantizeNeeds
        from ..optimizer.quantize.rounding import Rounder
        from ..runtimes import registry

        if self._profile is None:
            raise UsageError("quantize needs a target: add --profile NAME (and --runtime NAME).")
        scheme = registry.get(self._source.runtime).scheme(self._profile)
        if self._source.data is None:
            if any(item.mode != "weight-only" for item in passes):
                raise UsageError(
                    "quantize needs samples to calibrate with: add --data FILE, or use quantize{mode=weight-only}."
                )
            return QuantizeNeeds(scheme, None)
        split = self._split(model, self._source.calib_samples)
        statistics = collect(model, split, progress=self._progress)
        first = Split(split.name, split.data, split.indices[:MOMENT_SAMPLES])
        rounder = Rounder(collect_moments(model, first, progress=self._progress))
        is_trained = any(item.mode == "qat" for item in passes)
        return QuantizeNeeds(scheme, statistics, rounder, self.training if is_trained else None)

    @cached_property
    def _profile(self) -> DeviceProfile | None:
        from ..device_profiles.loader import load

        return None if self._source.profile is None else load(self._source.profile)

    def _split(self, model: Model, limit: int | None) -> Split:
        """The first `limit` samples, or all, as `model` takes them."""
        from ..calibration.bind import bind
        from ..calibration.dataset import Split
        from ..calibration.opening import open_dataset
        from ..calibration.preprocess import Preprocessing

        source = self._source
        declared = Preprocessing.parse(source.preprocess) if source.preprocess else None
        opened = open_dataset(str(source.data), labels=source.labels, preprocessing=declared, trust=source.trust)
        bound = bind(opened, model.inputs)
        return Split("data", bound, tuple(range(len(bound) if limit is None else min(limit, len(bound)))))


def stages(pipeline: Pipeline) -> list[Pipeline]:
    """The pipeline cut before each pass that is given statistics of the very model that it begins with."""
    from ..ir.pipeline import Pipeline
    from ..optimizer.quantize.quantize import Quantize

    parts: list[list[Pass]] = [[]]
    for item in pipeline.passes:
        if isinstance(item, Quantize) and parts[-1]:
            parts.append([])
        parts[-1].append(item)
    return [Pipeline(part) for part in parts]
