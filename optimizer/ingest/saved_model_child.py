"""The part of ingest that reads TensorFlow's SavedModels; it runs in the child process of `tensorflow_job`.

What is read is the function that serving calls, `serving_default`. TensorFlow calls SavedModels programs: one with operators
that read or write files of their own choice, or call Python, is loaded only for those who trust its maker.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...core.errors import ModelError, TrustError
from ...ir.model import Model
from ...runtimes.inputs import first_line
from .convert import Converted
from .lean import lean
from .names import settle_names
from .quiet import quiet
from .samples import Samples, fixed_batch, match_samples, random_samples

_OPSET = 18  # the newest that tf2onnx writes
_SERVED = "serving_default"
# What a model that computes has no use for. Restoring variables from the model's own folder (RestoreV2) is how each is loaded.
_ACTS = re.compile(r"(Read|Write)File|MatchingFiles|(Eager)?PyFunc(Stateless)?|\w+Reader(V2)?|\w+Dataset(V\d)?")


def saved_model(path: Path, samples: Samples | None, trust: bool) -> Converted:
    """The graph of `serving_default` in the folder `path`, the samples, TensorFlow's answers by output, notes and versions.

    Raises ModelError where it cannot be loaded, converted or run, TrustError where it would do more than compute.
    """
    with quiet(), lean():
        import tensorflow
        import tf2onnx

    if not trust:
        _refuse_acts(path)
    try:
        with quiet():
            loaded = tensorflow.saved_model.load(str(path))  # its variables live as long as this does
    except Exception as error:
        raise ModelError(f"TensorFlow cannot load {path}: {first_line(error)}; save the model again.") from error
    signature = _signature(loaded.signatures, path)
    wanted = dict(sorted(signature.structured_input_signature[1].items()))
    given = [tensorflow.TensorSpec(spec.shape, spec.dtype, name=name) for name, spec in wanted.items()]

    def call(*arguments: Any) -> Any:
        return signature(**dict(zip(wanted, arguments, strict=True)))

    try:
        with quiet():
            function = tensorflow.function(call, input_signature=given)
            proto, _ = tf2onnx.convert.from_function(function, given, opset=_OPSET)
    except Exception as error:
        raise ModelError(f"tf2onnx cannot convert {path}: {first_line(error)}; export it to ONNX yourself.") from error
    graph = Model.from_bytes(bytes(proto.SerializeToString(deterministic=True)), str(path))
    settle_names(graph)
    inputs = match_samples(samples, graph.inputs) if samples is not None else random_samples(graph.inputs)
    try:
        with quiet():
            answers = _run(signature, inputs, fixed_batch(graph.inputs))
    except Exception as error:
        raise ModelError(f"TensorFlow cannot run {path} on the samples: {first_line(error)}.") from error
    versions = {"tensorflow": tensorflow.__version__, "tf2onnx": tf2onnx.__version__}
    return Converted(graph, inputs, {spec.name: answers[spec.name] for spec in graph.outputs}, (), versions)


def _refuse_acts(path: Path) -> None:
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    saved = SavedModel()
    try:
        saved.ParseFromString((path / "saved_model.pb").read_bytes())
    except (OSError, DecodeError) as error:
        raise ModelError(f"{path} is a broken SavedModel ({first_line(error)}); save the model again.") from error
    found = sorted({name for name in _operators(saved) if _ACTS.fullmatch(name)})
    if found:
        raise TrustError(
            f"{path} wants to do more than compute when it is loaded or run ({', '.join(found)}); if you trust its maker, "
            "give --trust."
        )


def _operators(saved: Any) -> Iterator[str]:
    for graph in (meta.graph_def for meta in saved.meta_graphs):
        yield from (node.op for node in graph.node)
        yield from (node.op for function in graph.library.function for node in function.node_def)


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


def _run(signature: Any, inputs: Samples, batch: int | None) -> dict[str, NDArray[Any]]:
    """The answers to all samples, in batches of the size that the model is fixed to."""
    import tensorflow

    count = min((len(array) for array in inputs.values() if array.ndim), default=1)
    size = batch or max(count, 1)
    parts: list[dict[str, NDArray[Any]]] = []
    for start in range(0, count, size):
        cut = {name: array[start : start + size] if array.ndim else array for name, array in inputs.items()}
        result = signature(**{name: tensorflow.constant(array) for name, array in cut.items()})
        parts.append({name: np.asarray(value) for name, value in result.items()})
    return {name: np.concatenate([np.atleast_1d(part[name]) for part in parts]) for name in parts[0]}
