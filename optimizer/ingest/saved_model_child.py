"""The part of ingest that reads TensorFlow's SavedModels; it runs in the child process of `tensorflow_job`.

What is read is the function that serving calls, `serving_default`. To load a SavedModel is to run it: it comes here only where
its maker is trusted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import ModelError, UsageError, unknown
from ...ir.model import Model
from ...runtimes.inputs import first_line
from .convert import TF2ONNX_OPSET, Converted
from .lean import lean
from .names import settle_names
from .quiet import quiet
from .samples import Samples, fixed_batch, match_samples, random_samples

_SERVED, _TAG = "serving_default", "serve"
_NUMBERS = "fiub"  # kinds of NumPy's types that runtimes take and give
_INPUT = "edgewright_input_{}"  # while it is converted: an input may bear any name, an output's too


def saved_model(path: Path, samples: Samples | None, shapes: Mapping[str, Sequence[int | None]]) -> Converted:
    """The graph of `serving_default` in the folder `path`, the samples, TensorFlow's answers by output, notes and versions.

    `shapes` gives free axes of inputs their sizes; that of the batch stays free. Raises ModelError where it cannot be loaded,
    converted or run, UsageError where `shapes` does not fit.
    """
    with quiet(), lean():
        import tensorflow
        import tf2onnx

    loaded = _load(path)  # its variables live as long as this does
    signature = _signature(loaded.signatures, path)
    specs = _specs(signature.structured_input_signature[1], shapes, path)
    given = [tensorflow.TensorSpec(shape, dtype, _INPUT.format(place)) for place, (shape, dtype) in enumerate(specs.values())]

    def call(*arguments: Any) -> Any:
        return signature(**dict(zip(specs, arguments, strict=True)))

    try:
        with quiet():
            function = tensorflow.function(call, input_signature=given)
            proto, _ = tf2onnx.convert.from_function(function, given, opset=TF2ONNX_OPSET)
    except Exception as error:
        raise ModelError(f"tf2onnx cannot convert {path}: {_said(error)}; export it to ONNX yourself.") from error
    graph = Model.from_bytes(bytes(proto.SerializeToString(deterministic=True)), str(path))
    _name_inputs(graph, list(specs), path)
    settle_names(graph)
    inputs = match_samples(samples, graph.inputs) if samples is not None else random_samples(graph.inputs)
    try:
        with quiet():
            answers = _run(signature, inputs, fixed_batch(graph.inputs))
    except Exception as error:
        raise ModelError(f"TensorFlow cannot run {path} on the samples: {_said(error)}.") from error
    for name, array in answers.items():
        if array.dtype.kind not in _NUMBERS:
            raise ModelError(
                f"the output {name!r} of {path} has the type {array.dtype}, which no runtime here gives; leave it out."
            )
    versions = {"tensorflow": tensorflow.__version__, "tf2onnx": tf2onnx.__version__}
    return Converted(graph, inputs, {spec.name: answers[spec.name] for spec in graph.outputs}, (), versions)


def _load(path: Path) -> Any:
    import tensorflow
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    saved = SavedModel()
    try:
        saved.ParseFromString((path / "saved_model.pb").read_bytes())
    except Exception as error:
        raise ModelError(f"{path} is a broken SavedModel ({first_line(error)}); save the model again.") from error
    tags = [_TAG] if len(saved.meta_graphs) > 1 else None
    try:
        with quiet():
            return tensorflow.saved_model.load(str(path), tags=tags)
    except Exception as error:
        raise ModelError(f"TensorFlow cannot load {path}: {_said(error)}; save the model again.") from error


def _signature(signatures: Any, path: Path) -> Any:
    names = sorted(signatures)
    if _SERVED in names:
        return signatures[_SERVED]
    if len(names) == 1:
        return signatures[names[0]]
    told = f"it has {', '.join(names)}" if names else "it has none"
    raise ModelError(
        f"{path} has no function {_SERVED!r} to serve ({told}); save it with signatures={{{_SERVED!r}: function}}."
    )


def _specs(
    wanted: Mapping[str, Any], shapes: Mapping[str, Sequence[int | None]], path: Path
) -> dict[str, tuple[list[int | None], Any]]:
    """Sizes and TensorFlow's type of each input, by name."""
    if not wanted:
        raise ModelError(f"{path} has no inputs, so there is nothing to run; save it with them.")
    for name in shapes:
        if name not in wanted:
            raise UsageError(f"--shape: {unknown('input', name, list(wanted))}")
    found: dict[str, tuple[list[int | None], Any]] = {}
    for name, spec in sorted(wanted.items()):
        if np.dtype(spec.dtype.as_numpy_dtype).kind not in _NUMBERS:
            raise ModelError(f"the input {name!r} of {path} has the type {spec.dtype.name}, which no runtime here takes.")
        sizes = None if spec.shape.rank is None else list(spec.shape.as_list())
        if name in shapes:
            sizes = [None if sizes is None or sizes[0] is None else sizes[0], *list(shapes[name])[1:]]
        if not sizes:
            told = "has no known rank" if sizes is None else "is a single number"
            raise ModelError(f"the input {name!r} of {path} {told}; save it with the axis of its samples first.")
        found[name] = (sizes, spec.dtype)
    return found


def _name_inputs(graph: Model, names: Sequence[str], path: Path) -> None:
    """Give the inputs their names back."""
    by_place = {_INPUT.format(place): name for place, name in enumerate(names)}
    outputs = {str(value.name) for value in graph.graph.outputs}
    for value in graph.graph.inputs:
        name = by_place.get(str(value.name))
        if name is None:
            raise ModelError(f"{path} looks up a table or asks for more than its inputs, which ONNX cannot; export it without.")
        if name in outputs:
            raise ModelError(f"{path} has an input and an output named {name!r}; give them names of their own.")
        value.name = name


def _run(signature: Any, inputs: Samples, batch: int | None) -> dict[str, NDArray[Any]]:
    """The answers to all samples, in batches of the size that the model is fixed to."""
    import tensorflow

    count = min(len(array) for array in inputs.values())
    size = batch or max(count, 1)
    parts: list[dict[str, NDArray[Any]]] = []
    for start in range(0, count, size):
        result = signature(**{name: tensorflow.constant(array[start : start + size]) for name, array in inputs.items()})
        parts.append({name: np.asarray(value) for name, value in result.items()})
    return {name: np.concatenate([part[name] for part in parts]) if len(parts) > 1 else one for name, one in parts[0].items()}


def _said(error: Exception) -> str:
    """What TensorFlow says of an error: before the node that it names, behind a heading that says nothing."""
    lines = str(error).splitlines()
    named = next((place for place, line in enumerate(lines) if line.lstrip().startswith("[[{{node")), 0)
    return first_line(ValueError(lines[named - 1]) if named else error)
