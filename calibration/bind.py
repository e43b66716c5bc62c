"""Fitting a data set to a model: arrays to inputs by name, safe casts, shapes; anything else is refused in one sentence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..core.canonical import digest_json
from ..core.errors import DataError, EdgewrightError
from ..core.executor import TensorSpec
from .content import sample_hashes, sample_records
from .dataset import Batch, Dataset, PartialDataset, is_partial, read_column, read_labels
from .labels import LabelReport, check_labels
from .preprocess import Preprocessing

__all__ = ["BoundDataset", "LabelReport", "bind", "check_labels"]

_TEXT = ("str", "string", "object")
_SOLE_ARRAY = "x"
# Whole numbers up to here are exact in each float type.
_EXACT_IN = {"float16": 1 << 11, "float32": 1 << 24, "float64": 1 << 53, "bfloat16": 1 << 8}


@dataclass(frozen=True)
class _Fit:
    """How one array becomes one input: `insert` or `remove` is the axis of one, in the model's or the data's shape."""

    array: str
    spec: TensorSpec
    insert: int | None = None
    remove: int | None = None


class BoundDataset:
    """Samples as the model's inputs want them; a `PartialDataset`. Every value that is read is checked to be finite."""

    def __init__(self, data: Dataset, fits: Sequence[_Fit]) -> None:
        self._data = data
        self._fits = tuple(fits)

    @cached_property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """The model's inputs, free axes filled with the data's sizes where known, batch axis None."""
        known = {spec.name: spec for spec in self._data.inputs}
        return tuple(
            TensorSpec(fit.spec.name, fit.spec.dtype, (None, *_reshaped(known[fit.array].shape[1:], fit))) for fit in self._fits
        )

    @property
    def data(self) -> Dataset:
        """The data set underneath."""
        return self._data

    @property
    def preprocessing(self) -> Preprocessing | None:
        """What was declared for the data underneath."""
        found = getattr(self._data, "preprocessing", None)
        return found if isinstance(found, Preprocessing) else None

    @property
    def arrays(self) -> tuple[str, ...]:
        """Names of the arrays that can be an input."""
        return self._data.arrays if is_partial(self._data) else tuple(s.name for s in self._data.inputs)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns."""
        return self._data.columns

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes by label, where labels were names."""
        return self._data.classes if is_partial(self._data) else ()

    @property
    def has_labels(self) -> bool:
        """Whether there are labels."""
        return self._data.has_labels

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the data's digest and of the fit."""
        fits = [[fit.array, fit.spec.name, fit.spec.dtype, fit.insert, fit.remove] for fit in self._fits]
        return digest_json({"data": self._data.digest, "fits": fits})

    def __len__(self) -> int:
        """Number of samples."""
        return len(self._data)

    def read(self, indices: Sequence[int]) -> Batch:
        """The samples at `indices`; raises DataError on NaN, infinity and values that a cast would change."""
        batch = self._data.read(indices)
        inputs = {fit.spec.name: _convert(batch.inputs[fit.array], fit, indices) for fit in self._fits}
        return Batch(inputs, batch.labels, batch.columns, batch.indices)

    def labels_at(self, indices: Sequence[int]) -> NDArray[Any]:
        """Labels [k, ...] alone."""
        return read_labels(self._data, indices)

    def column_at(self, name: str, indices: Sequence[int]) -> NDArray[Any]:
        """Column `name` [k] alone."""
        return read_column(self._data, name, indices)

    def hashes(self) -> tuple[bytes, ...]:
        """SHA-256 of each sample's inputs as they are stored."""
        return sample_hashes(self._data)

    def records(self) -> tuple[bytes, ...]:
        """SHA-256 of each sample's inputs, label and columns together."""
        return sample_records(self._data)

    def with_inputs(self, inputs: Mapping[str, str]) -> PartialDataset:
        """The data underneath with these inputs, not bound."""
        if not is_partial(self._data):
            raise DataError("this data set cannot change its inputs; give it as arrays by name.")
        return self._data.with_inputs(inputs)


def bind(data: Dataset, specs: tuple[TensorSpec, ...]) -> Dataset:
    """`data` as the inputs `specs` of a model want it: by name, or its sole array (or `x`) to the sole input.

    Casts that keep every value are made (checked when read). Free axes match any size; one axis of 1 for channels is
    inserted or removed where only one place fits. Raises DataError, naming both sides.
    """
    if isinstance(data, BoundDataset):
        data = data.data
    if not specs:
        raise DataError("the model has no inputs, so no data can be bound to it; check the model.")
    data, names = _matched(data, specs)
    known = {spec.name: spec for spec in data.inputs}
    return BoundDataset(data, [_fit(known[name], spec) for name, spec in zip(names, specs, strict=True)])


def _matched(data: Dataset, specs: tuple[TensorSpec, ...]) -> tuple[Dataset, list[str]]:
    """The data set, its inputs changed where the model asks for other arrays, and the input for each specification."""
    have = [spec.name for spec in data.inputs]
    wanted = [spec.name for spec in specs]
    if set(wanted) == set(have):
        return data, wanted
    arrays = data.arrays if is_partial(data) else tuple(have)
    if is_partial(data) and all(name in arrays for name in wanted):
        return data.with_inputs({name: name for name in wanted}), wanted
    if all(name in have for name in wanted):
        return data, wanted
    if len(specs) == 1:
        sole = _SOLE_ARRAY if _SOLE_ARRAY in have else (have[0] if len(have) == 1 else None)
        if sole is not None:
            return data, [sole]
    missing = [name for name in wanted if name not in have and name not in arrays]
    raise DataError(
        f"the model wants the input(s) {', '.join(map(repr, missing or wanted))} and the data have the array(s) "
        f"{', '.join(map(repr, arrays or have))}; name the arrays alike, or map them with inputs INPUT=ARRAY."
    )


def _fit(have: TensorSpec, want: TensorSpec) -> _Fit:
    _check_type(have, want)
    found = _Fit(have.name, want) if not want.shape else _placed(have, want)
    if found is None:
        raise DataError(
            f"the model's input {want.name!r} is {want.dtype} {_show(want.shape)} and the data's {have.name!r} is {have.dtype} "
            f"{_show(have.shape)}; {_advice(have, want)}."
        )
    return found


def _placed(have: TensorSpec, want: TensorSpec) -> _Fit | None:
    """The fit of shapes that match as they are, or by an axis of one that only one place is for."""
    data, model = have.shape[1:], want.shape[1:]
    if _matches(data, model):
        return _Fit(have.name, want)
    # The batch axis is the first; a channel axis is the last, or the first after the batch.
    inserts = {
        p for p in {0, len(model) - 1} if len(model) == len(data) + 1 and model[p] == 1 and _matches(data, _without(model, p))
    }
    if len(inserts) == 1:
        return _Fit(have.name, want, insert=1 + inserts.pop())
    removes = {
        p for p in {0, len(data) - 1} if len(data) == len(model) + 1 and data[p] == 1 and _matches(_without(data, p), model)
    }
    if len(removes) == 1:
        return _Fit(have.name, want, remove=1 + removes.pop())
    return None


def _advice(have: TensorSpec, want: TensorSpec) -> str:
    """What to do: the shortest preprocessing under which the shapes match, where there is one."""
    data, model = have.shape[1:], want.shape[1:]
    if len(data) in (2, 3) and None not in data and have.dtype not in _TEXT:
        for text in _tries(model):
            if _would_fit(have, want, text):
                return f"add the preprocessing {text}"
    if len(data) == 3 and len(model) == 3 and 3 in (model[0], model[2]) and 1 in (data[0], data[2]):
        return "the model wants three channels and the data have one, so give images in colour"
    if len(model) == 1 and len(data) == 1 and model[0] is not None:
        return f"give {model[0]} values a sample"
    return "give data of the model's shape"


def _tries(model: tuple[int | None, ...]) -> list[str]:
    """Preprocessings that change a shape, the fewest steps first."""
    sizes = [""]
    if len(model) in (2, 3):
        sides = {model[-2:], model[:2]} if len(model) == 3 else {model}
        sizes += [f"resize={h if h == w else f'{h}x{w}'}" for h, w in sorted(s for s in sides if None not in s)]
    colors, layouts = ("", "color=gray"), ("", "layout=nchw", "layout=nhwc")
    tries = [[step for step in (color, size, layout) if step] for size in sizes for color in colors for layout in layouts]
    return [",".join(steps) for steps in sorted(tries, key=len) if steps]


def _would_fit(have: TensorSpec, want: TensorSpec, text: str) -> bool:
    try:
        return _placed(Preprocessing.parse(text).output(have), want) is not None
    except EdgewrightError:  # a step that these data cannot take
        return False


def _check_type(have: TensorSpec, want: TensorSpec) -> None:
    if have.dtype in _TEXT or want.dtype in _TEXT:
        is_safe = have.dtype in _TEXT and want.dtype in _TEXT
    elif want.dtype in _EXACT_IN:
        is_safe = _kind(have.dtype) in "biuf"
    else:
        is_safe = _kind(have.dtype) in "biu" if want.dtype != "bool" else have.dtype == "bool"
    if not is_safe:
        raise DataError(
            f"the model's input {want.name!r} is {want.dtype} and the data's {have.name!r} is {have.dtype}, which loses "
            f"by a cast; convert it, or add the preprocessing dtype={want.dtype}."
        )


def _convert(array: NDArray[Any], fit: _Fit, indices: Sequence[int]) -> NDArray[Any]:
    want = fit.spec.dtype
    if want in _TEXT:
        return array
    if array.dtype.kind == "f":
        _refuse(~np.isfinite(array), fit, indices, "is not a finite number; repair or remove that sample")
    dtype = np.dtype(want)
    if dtype != array.dtype:
        array = _cast(array, dtype, fit, indices)
    if fit.insert is not None:
        array = np.expand_dims(array, fit.insert)
    if fit.remove is not None:
        array = np.squeeze(array, fit.remove)
    if not _matches(array.shape[1:], fit.spec.shape[1:]) and fit.spec.shape:
        raise DataError(
            f"samples of {fit.array!r} from {indices[0]} on have shape {_show((None, *array.shape[1:]))} and the model's input "
            f"{fit.spec.name!r} is {_show(fit.spec.shape)}; give all samples one shape."
        )
    return array


def _cast(array: NDArray[Any], dtype: np.dtype[Any], fit: _Fit, indices: Sequence[int]) -> NDArray[Any]:
    if array.dtype.kind == "f":
        with np.errstate(over="ignore"):
            made = array.astype(dtype)
        _refuse(~np.isfinite(made), fit, indices, f"is too large for {dtype}; scale the data")
        return made
    if array.dtype.kind in "iu" and dtype.kind in "iu" and not np.can_cast(array.dtype, dtype):
        limits = np.iinfo(dtype)
        low, high = max(limits.min, np.iinfo(array.dtype).min), min(limits.max, np.iinfo(array.dtype).max)
        _refuse((array < low) | (array > high), fit, indices, f"does not fit into {dtype}; use smaller numbers")
    elif array.dtype.kind in "iu" and dtype.kind == "f" and not np.can_cast(array.dtype, dtype):
        exact = min(_EXACT_IN[dtype.name], np.iinfo(array.dtype).max)
        bad = array > exact if array.dtype.kind == "u" else (array > exact) | (array < -exact)
        _refuse(bad, fit, indices, f"is not exact in {dtype}; scale the data")
    return array.astype(dtype)


def _refuse(bad: NDArray[np.bool_], fit: _Fit, indices: Sequence[int], why: str) -> None:
    if bad.any():
        sample = indices[int(np.argmax(bad.reshape(len(bad), -1).any(axis=1)))]
        raise DataError(f"sample {sample} of {fit.array!r} has a value that {why}.")


def _reshaped(shape: tuple[int | None, ...], fit: _Fit) -> tuple[int | None, ...]:
    if fit.insert is not None:
        return (*shape[: fit.insert - 1], 1, *shape[fit.insert - 1 :])
    return _without(shape, fit.remove - 1) if fit.remove is not None else shape


def _matches(data: tuple[int | None, ...], model: tuple[int | None, ...]) -> bool:
    return len(data) == len(model) and all(a is None or b is None or a == b for a, b in zip(data, model, strict=True))


def _without(shape: tuple[int | None, ...], place: int) -> tuple[int | None, ...]:
    return (*shape[:place], *shape[place + 1 :])


def _kind(dtype: str) -> str:
    try:
        return np.dtype(dtype).kind
    except TypeError as error:
        raise DataError(f"type {dtype!r} cannot be fed from data; convert the model's input.") from error


def _show(shape: tuple[int | None, ...]) -> str:
    return "[" + ", ".join("?" if size is None else str(size) for size in shape) + "]"
