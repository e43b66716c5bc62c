"""Feeding any number of samples to an executor whose batch is fixed, and inputs to measure with where there is no data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import RuntimeFailure
from ...core.executor import Executor, TensorSpec
from ...core.progress import Progress, Silent


def batch_size(specs: Sequence[TensorSpec], free: int = 1) -> int:
    """The batch that the inputs fix, or `free` where they leave it open; raises RuntimeFailure when they disagree."""
    sizes = {spec.shape[0] for spec in specs if spec.shape and spec.shape[0] is not None}
    if len(sizes) > 1:
        raise RuntimeFailure(f"the model's inputs have the batch sizes {sorted(sizes)}; export it with one batch size.")
    return int(sizes.pop()) if sizes else free


def run_all(
    executor: Executor, arrays: Mapping[str, NDArray[Any]], progress: Progress | None = None, name: str = "evaluate"
) -> dict[str, NDArray[Any]]:
    """Outputs [n, ...] of inputs [n, ...]; the last batch is filled with its own last sample where it falls short.

    A free batch axis gets one sample at a time, as on the device. Raises RuntimeFailure when inputs differ in length, there
    are none, or an output has no batch axis.
    """
    total = _length(arrays)
    parts: dict[str, list[NDArray[Any]]] = {spec.name: [] for spec in executor.outputs}
    with (progress or Silent()).task(name, total) as advance:
        for batch, count in _batches(arrays, total, batch_size(executor.inputs)):
            for output, value in executor.run(batch).items():
                parts[output].append(_samples(value, count, len(next(iter(batch.values()))), output))
            advance(count)
    return {output: np.concatenate(values) for output, values in parts.items()}


def example_inputs(executor: Executor, seed: int = 0, batch: int = 1) -> dict[str, NDArray[Any]]:
    """One batch of random inputs: normal floats, integers 0 or 1 (valid as indices, masks and tokens).

    A free first axis gets `batch`, other free sizes 1.
    """
    generator = np.random.default_rng(seed)
    made: dict[str, NDArray[Any]] = {}
    for spec in executor.inputs:
        shape = tuple((1 if axis else batch) if size is None else size for axis, size in enumerate(spec.shape))
        if np.dtype(spec.dtype).kind == "f":
            made[spec.name] = generator.standard_normal(shape).astype(spec.dtype)
        else:
            made[spec.name] = generator.integers(0, 2, shape).astype(spec.dtype)
    return made


def _length(arrays: Mapping[str, NDArray[Any]]) -> int:
    lengths = {len(array) for array in arrays.values() if np.ndim(array)}
    if len(lengths) != 1 or any(np.ndim(array) == 0 for array in arrays.values()):
        raise RuntimeFailure(f"the inputs hold {sorted(lengths)} samples; give every input the same number.")
    total = lengths.pop()
    if total == 0:
        raise RuntimeFailure("there are no samples to run; give at least one.")
    return total


def _batches(arrays: Mapping[str, NDArray[Any]], total: int, size: int) -> Iterator[tuple[dict[str, NDArray[Any]], int]]:
    for start in range(0, total, size):
        count = min(size, total - start)
        batch = {name: array[start : start + count] for name, array in arrays.items()}
        if count < size:
            batch = {name: np.concatenate([part, np.repeat(part[-1:], size - count, axis=0)]) for name, part in batch.items()}
        yield batch, count


def _samples(value: NDArray[Any], count: int, size: int, name: str) -> NDArray[Any]:
    if np.ndim(value) == 0 or len(value) != size:
        if size == 1:
            return np.asarray(value)[np.newaxis]
        raise RuntimeFailure(
            f"the output {name!r} has shape {list(np.shape(value))}, without a batch axis; lower with batch 1."
        )
    return np.asarray(value)[:count]
