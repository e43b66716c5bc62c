"""One run of the model over the samples feeds the observers of all tensors; memory by tensors times bins."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from ..core.errors import DataError, ModelError, UsageError, unknown
from ..core.freeing import give_back
from ..core.progress import Progress, Silent
from ..ir.model import Model
from .dataset import Split
from .observers import DEFAULT_BINS, TensorObserver
from .statistics import Statistics

# What one run may expose; the batch shrinks until it fits.
_EXPOSED_BYTES = 32 << 20
_MAX_BATCH = 32
_WARNINGS_OFF = 3


def float_tensors(model: Model) -> tuple[str, ...]:
    """Names of every float32 tensor that the samples decide: inputs, what nodes make of them, outputs; in graph order."""
    names = [str(value.name) for value in model.graph.inputs if _is_float(value) and value.name not in model.graph.initializers]
    depends = {value for value in model.graph.inputs if value.name not in model.graph.initializers}
    for node in model.graph:
        if any(value in depends for value in _read_by(node)):
            depends.update(node.outputs)
            names += [str(value.name) for value in node.outputs if value.name and _is_float(value)]
    return tuple(names)


def collect(
    model: Model,
    split: Split,
    tensors: Sequence[str] | None = None,
    *,
    bins: int = DEFAULT_BINS,
    threads: int = 2,
    channel_means: Collection[str] = (),
    progress: Progress | None = None,
) -> Statistics:
    """Statistics of `tensors` (None: every float tensor) of `model` over the samples of `split`, in ONNX Runtime.

    `channel_means` names the tensors whose means along axis 1 are wanted too. Values and their types must be known: infer the
    model's shapes first. Raises UsageError on an unknown tensor, DataError on an empty split, on samples that do not fit the
    model and on a NaN in any tensor, ModelError when ONNX Runtime cannot run the model.
    """
    known = float_tensors(model)
    wanted = tuple(dict.fromkeys(known if tensors is None else tensors))
    for name in (*wanted, *channel_means):
        if name not in known:
            raise UsageError(unknown("tensor to calibrate", name, known))
    if len(split) == 0:
        raise DataError(f"the split {split.name!r} has no samples to calibrate with; give more data.")
    means = frozenset(channel_means)
    observers = {name: TensorObserver(name, bins, name in means, threads) for name in wanted}
    runner = _Runner(model, wanted, threads)
    with (progress or Silent()).task("calibrate", len(split)) as advance:
        for fed, count in _batches(model, split, runner):
            for name, values in runner.run(fed, count):
                observers[name].observe(values)
            advance(count)
    return Statistics({name: observer.statistics() for name, observer in observers.items()})


def stream(model: Model, split: Split, tensors: Sequence[str], threads: int = 2) -> Iterator[tuple[str, NDArray[Any]]]:
    """Each of `tensors` [n, ...] by name, run after run over the samples of `split`; raises as `collect` does."""
    runner = _Runner(model, tuple(dict.fromkeys(tensors)), threads)
    for fed, count in _batches(model, split, runner):
        yield from runner.run(fed, count)


class _Runner:
    """The model with the wanted tensors as its outputs."""

    def __init__(self, model: Model, wanted: Sequence[str], threads: int) -> None:
        import onnxruntime

        inputs = {spec.name for spec in model.inputs}
        self._inputs = model.inputs
        self._from_inputs = [name for name in wanted if name in inputs]
        self._exposed = [name for name in wanted if name not in inputs]
        self.fixed_batch = next((spec.shape[0] for spec in model.inputs if spec.shape and spec.shape[0] is not None), None)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = _WARNINGS_OFF
        # Threads that spin between runs would take the observers' cores.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = None
        if self._exposed:
            with _exposing(model, self._exposed).on_disk() as file:
                try:
                    self._session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
                except Exception as error:
                    raise ModelError(f"ONNX Runtime cannot load the model to calibrate it: {_first_line(error)}") from error
            give_back()
        self._value = onnxruntime.OrtValue.ortvalue_from_numpy

    def run(self, fed: Mapping[str, NDArray[Any]], count: int) -> Iterator[tuple[str, NDArray[Any]]]:
        """Each wanted tensor of the first `count` samples; what was handed out is freed before the next one is."""
        for name in self._from_inputs:
            yield name, fed[name][:count]
        if self._session is None:
            return
        size = len(next(iter(fed.values())))
        try:
            values = self._session.run_with_ort_values(
                self._exposed, {name: self._value(np.ascontiguousarray(array)) for name, array in fed.items()}
            )
        except Exception as error:
            raise ModelError(f"ONNX Runtime cannot run the model to calibrate it: {_first_line(error)}") from error
        values.reverse()
        for name in self._exposed:
            array = np.from_dlpack(values.pop())
            yield name, array[:count] if count < size and array.shape[:1] == (size,) else array

    def fed(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """The model's inputs out of a batch; raises DataError when one is missing or of another type or rank."""
        found: dict[str, NDArray[Any]] = {}
        for spec in self._inputs:
            if spec.name not in inputs:
                there = ", ".join(sorted(inputs))
                raise DataError(f"the data have no array for the model input {spec.name!r}, only {there}; name one for it.")
            array = inputs[spec.name]
            sizes = zip(array.shape[1:], spec.shape[1:], strict=False)
            if array.ndim != len(spec.shape) or any(want is not None and have != want for have, want in sizes):
                raise DataError(
                    f"the data for the input {spec.name!r} have the shape {array.shape}, the model wants {spec.shape}."
                )
            if array.dtype.name != spec.dtype:
                raise DataError(f"the data for the input {spec.name!r} are {array.dtype}, the model wants {spec.dtype}.")
            found[spec.name] = array
        return found


def _batches(model: Model, split: Split, runner: _Runner) -> Iterator[tuple[dict[str, NDArray[Any]], int]]:
    """Inputs and how many of their samples count: a fixed batch is filled up with copies of its last sample."""
    if runner.fixed_batch is None:
        size = _batch_size(model, runner.fed(split.data.read(split.indices[:1]).inputs))
    else:
        size = runner.fixed_batch
    for batch in split.batches(size):
        fed = runner.fed(batch.inputs)
        count = len(batch.indices)
        if runner.fixed_batch is not None and count < size:
            fed = {name: np.concatenate([array, *itertools.repeat(array[-1:], size - count)]) for name, array in fed.items()}
        yield fed, count


def _batch_size(model: Model, sample: Mapping[str, NDArray[Any]]) -> int:
    """Samples a run by what one of them makes of the graph, where the sizes are known."""
    values = [value for node in model.graph for value in node.outputs]
    sizes = [
        int(np.prod([size for size in value.shape[1:] if isinstance(size, int)], dtype=np.int64))
        for value in values
        if value.shape is not None
    ]
    exposed = 4 * (sum(sizes) + sum(array.size for array in sample.values()))
    return max(1, min(_MAX_BATCH, _EXPOSED_BYTES // max(exposed, 1)))


def _exposing(model: Model, names: Sequence[str]) -> Model:
    exposed = model.clone()
    made = {str(value.name): value for node in exposed.graph for value in node.outputs}
    exposed.graph.outputs[:] = [made[name] for name in names]
    return exposed


def _is_float(value: onnx_ir.Value) -> bool:
    return value.dtype == onnx_ir.DataType.FLOAT


def _read_by(node: onnx_ir.Node) -> Iterator[onnx_ir.Value | None]:
    """What a node reads, also inside its bodies."""
    yield from node.inputs
    for attribute in node.attributes.values():
        if attribute.type == onnx_ir.AttributeType.GRAPH:
            for inner in attribute.as_graph():
                yield from _read_by(inner)


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0].rstrip(".") + "."
