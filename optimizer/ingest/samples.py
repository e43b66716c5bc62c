"""Inputs for the parity check: the user's, or seeded random ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...calibration.bind import bind
from ...calibration.opening import open_dataset
from ...core.errors import DataError, ModelError, unknown
from ...core.executor import TensorSpec

RANDOM_SAMPLES = 4
MAX_SAMPLES = 32
_SEED = 20260101
# Integers are most often indices into something: few values are in range everywhere.
_INDEX_LIMIT = 10

Samples = Mapping[str, NDArray[Any]]


def random_samples(specs: Sequence[TensorSpec], count: int = RANDOM_SAMPLES) -> dict[str, NDArray[Any]]:
    """Seeded inputs [count, ...] (or the fixed batch); raises ModelError when an axis other than the first is free."""
    generator = np.random.default_rng(_SEED)
    made: dict[str, NDArray[Any]] = {}
    for spec in specs:
        for axis, size in enumerate(spec.shape):
            if size is None and axis > 0:
                example = "x".join("N" if known is None else str(known) for known in (1, *spec.shape[1:]))
                raise ModelError(
                    f"axis {axis} of the input {spec.name!r} has no fixed size; give one with --shape {spec.name}={example} "
                    "(a number for each N)."
                )
        shape = [count if size is None else size for size in spec.shape]
        made[spec.name] = _random(generator, np.dtype(spec.dtype), shape, spec.name)
    return made


def _random(generator: np.random.Generator, dtype: np.dtype[Any], shape: Sequence[int], name: str) -> NDArray[Any]:
    if dtype.kind == "f":
        return generator.standard_normal(shape).astype(dtype)
    if dtype == np.bool_:
        return generator.integers(0, 2, shape).astype(dtype)
    if dtype.kind in "iu" and dtype.itemsize == 1:
        limits = np.iinfo(dtype)
        return generator.integers(limits.min, limits.max, shape, endpoint=True).astype(dtype)
    if dtype.kind in "iu":
        return generator.integers(0, _INDEX_LIMIT, shape).astype(dtype)
    raise ModelError(f"the input {name!r} has the type {dtype.name}, which no runtime here takes; export it with numbers.")


def match_samples(samples: Samples, specs: Sequence[TensorSpec]) -> dict[str, NDArray[Any]]:
    """The first samples as the model's inputs, in its order and types; a single array fits a single input under any name.

    At most `MAX_SAMPLES` are taken, and whole batches where the batch is fixed. Raises DataError naming the input when one is
    missing, has another shape, or holds too few samples.
    """
    if not specs:
        raise ModelError("the model has no inputs, so there is nothing to feed samples to; export it with its inputs.")
    if len(specs) == 1 and len(samples) == 1:
        samples = {specs[0].name: next(iter(samples.values()))}
    for name in samples:
        if name not in {spec.name for spec in specs}:
            raise DataError(f"the samples: {unknown('input', name, [spec.name for spec in specs])}")
    chosen: dict[str, NDArray[Any]] = {}
    for spec in specs:
        if spec.name not in samples:
            raise DataError(
                f"the samples have no array for the input {spec.name!r}; add one of that name, or name another with --input "
                f"{spec.name}=ARRAY."
            )
        array = np.asarray(samples[spec.name])[:MAX_SAMPLES]
        # The same rules as for all the data later: an axis of one may be missing, types are cast where that is safe.
        bound = bind(open_dataset({spec.name: array}), (spec,))
        chosen[spec.name] = bound.read(range(len(bound))).inputs[spec.name]
    return _whole_batches(chosen, specs)


def _whole_batches(chosen: Mapping[str, NDArray[Any]], specs: Sequence[TensorSpec]) -> dict[str, NDArray[Any]]:
    batch = fixed_batch(specs)
    count = min((len(array) for array in chosen.values() if array.ndim), default=1)
    count -= count % (batch or 1)
    if count == 0:
        raise DataError(f"the samples are too few: the model takes batches of {batch or 1}; give at least so many.")
    return {name: array[:count] if array.ndim else array for name, array in chosen.items()}


def fixed_batch(specs: Sequence[TensorSpec]) -> int | None:
    """The batch size that the inputs are fixed to, or None when the first axis is free."""
    sizes = {spec.shape[0] for spec in specs if spec.shape}
    return next((size for size in sizes if size is not None), None)
