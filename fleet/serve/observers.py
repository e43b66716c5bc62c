"""Who is told of a worker's requests: the counter of its telemetry, and the sampler of hard examples where somebody agreed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ..telemetry.counting import Counter
from ..telemetry.samples import FOLDER as SAMPLES
from ..telemetry.samples import Sampler, Sampling
from .model import LoadedModel, samples_of
from .observer import Observer

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Closable(Observer, Protocol):
    """An observer that has something to finish."""

    def close(self) -> None:
        """Finish, in a few seconds at most."""


def telemetry_of(model: LoadedModel, live: Path, sampling: Mapping[str, Any] | None) -> list[Closable]:
    """Observers that leave windows of counts in `live`, and samples in the folder beside it.

    `sampling` are the fields of a `Sampling`, None where nobody agreed to it. Raises UsageError for such that cannot be meant,
    and what `LoadedModel` raises for the shadow artifact.
    """
    outputs = model.vectors.outputs
    found: list[Closable] = [Counter(live, model.manifest, model.sha256, model.name, outputs)]
    if sampling is not None:
        rules = Sampling(**sampling)
        tensor = next((item.tensor for item in model.manifest.histograms if item.kind == "confidence"), None)
        shadow = None if rules.shadow is None else _Shadow(LoadedModel(Path(rules.shadow)))
        folder = live.parent / Path(SAMPLES).name
        found.append(Sampler(folder, rules, model.name, model.sha256, tensor, outputs, shadow))
    return found


class _Shadow:
    """A second model that answers the same requests, for nobody but the sampler."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model

    def __call__(self, inputs: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        return self._model.run(inputs, samples_of(inputs)).outputs
