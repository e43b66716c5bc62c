"""Who is told of a worker's requests: the counter of its telemetry, and the sampler of hard examples where somebody agreed."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from ...core.errors import EdgewrightError
from ..telemetry.counting import Counter
from ..telemetry.samples import Sampler
from ..telemetry.sampling import FOLDER as SAMPLES
from ..telemetry.sampling import Sampling
from .model import LoadedModel, samples_of
from .observer import Observer

if TYPE_CHECKING:
    from numpy.typing import NDArray

log = logging.getLogger("edgewright.telemetry")


class Closable(Observer, Protocol):
    """An observer that has something to finish."""

    def close(self) -> None:
        """Finish, in a few seconds at most."""


def telemetry_of(model: LoadedModel, live: Path, window_s: float, sampling: Mapping[str, Any] | None) -> list[Closable]:
    """Observers that leave windows of counts, of `window_s` seconds each, in `live`, and samples in the folder beside it.

    `sampling` are the fields of a `Sampling`, None where nobody agreed to it. A hook or a shadow artifact that cannot be loaded
    costs the samples, never the serving.
    """
    outputs = model.vectors.outputs
    found: list[Closable] = [Counter(live, model.manifest, model.sha256, model.name, outputs, window_s)]
    if sampling is not None:
        try:
            found.append(_sampler(model, live.parent / Path(SAMPLES).name, Sampling(**sampling)))
        except EdgewrightError as error:
            log.error("no samples of %s are kept: %s", model.name, error)
    return found


def _sampler(model: LoadedModel, folder: Path, rules: Sampling) -> Sampler:
    tensor = next((item.tensor for item in model.manifest.histograms if item.kind == "confidence"), None)
    shadow = None if rules.shadow is None else _Shadow(LoadedModel(Path(rules.shadow)))
    return Sampler(folder, rules, model.name, model.sha256, tensor, model.vectors.outputs, shadow)


class _Shadow:
    """A second model that answers the same requests, for nobody but the sampler."""

    def __init__(self, model: LoadedModel) -> None:
        self._model = model

    def __call__(self, inputs: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        return self._model.run(inputs, samples_of(inputs)).outputs
