"""Answers of a model file, of any runtime that is here, on all samples of a data set."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..calibration.bind import bind
from ..calibration.dataset import Dataset, Split
from ..core.progress import Progress
from ..runtimes.bench.batches import run_all
from ..runtimes.bench.opening import load_model, naming, open_model

Arrays = Mapping[str, NDArray[Any]]
_AT_ONCE = 64


def answers(path: Path, data: Dataset, threads: int | None, progress: Progress) -> Arrays:
    """Outputs [n, ...] of a model file on the samples of `data`; without `threads` its own.

    Raises RuntimeFailure when the file cannot be loaded or run, DataError when the data do not fit its inputs.
    """
    model = open_model(path)
    with naming(path):
        executor = load_model(model, threads)
    try:
        bound = bind(data, executor.inputs)
        split = Split("data", bound, tuple(range(len(bound))))
        parts = []
        with progress.task(f"running {path.name}", len(split)) as advance:
            for batch in split.batches(_AT_ONCE):
                parts.append(run_all(executor, dict(batch.inputs)))
                advance(len(batch.indices))
    finally:
        executor.close()
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def under_names_of(reference: Arrays, candidate: Arrays) -> Arrays:
    """The candidate's outputs under the reference's names: as they are where they share the first, else in order."""
    if next(iter(reference)) in candidate:
        return candidate
    return dict(zip(reference, candidate.values(), strict=False))
