"""The part of ingest that imports TensorFlow; it runs in the child process of `tensorflow_job`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from ...core.errors import ModelError, TrustError
from ...core.executor import TensorSpec
from ...ir.model import Model, constant, initializer
from ...ir.verify import operators
from ...runtimes.inputs import first_line
from .convert import TF2ONNX_OPSET, Converted
from .lean import lean
from .names import settle_names
from .quiet import quiet
from .samples import Samples, fixed_batch, match_samples, random_samples


def keras(path: Path, samples: Samples | None, trust: bool) -> Converted:
    """ONNX bytes of a .keras or .h5 file, the samples, Keras's answers by the graph's output names, notes and versions."""
    with quiet(), lean():
        import keras as library
        import tensorflow
        import tf2onnx

    try:
        with quiet():
            model = library.models.load_model(path, compile=False, safe_mode=not trust)
    except Exception as error:
        if "safe_mode" in str(error) or "unsafe" in str(error).lower():
            raise TrustError(f"{path} wants to run code when it is loaded; if you trust its maker, give --trust.") from error
        raise ModelError(f"Keras cannot load {path}: {first_line(error)}; save the model again with this version.") from error
    try:
        with quiet():
            if isinstance(model, library.Sequential):
                # tf2onnx looks for outputs by names that a Sequential of Keras 3 does not have.
                model = library.Model(model.inputs, model.outputs)
            proto, _ = tf2onnx.convert.from_keras(model, opset=TF2ONNX_OPSET)
    except Exception as error:
        raise ModelError(f"tf2onnx cannot convert {path}: {first_line(error)}; export it to ONNX yourself.") from error
    graph = _graph(proto, path)
    specs = graph.inputs
    inputs = match_samples(samples, specs) if samples is not None else random_samples(specs)
    arrays = [inputs[spec.name] for spec in specs]
    try:
        with quiet():
            result = model(arrays[0] if len(arrays) == 1 else arrays, training=False)
    except Exception as error:
        raise ModelError(f"Keras cannot run {path} on the samples: {first_line(error)}.") from error
    leaves = [np.asarray(leaf) for leaf in tensorflow.nest.flatten(result)]
    names = [output.name for output in graph.outputs]
    versions = {"keras": library.__version__, "tensorflow": tensorflow.__version__, "tf2onnx": tf2onnx.__version__}
    return Converted(graph, inputs, dict(zip(names, leaves, strict=True)), (), versions)


def tflite(path: Path, samples: Samples | None, trust: bool) -> Converted:
    """The same of a .tflite file; float inputs stay float, 8-bit ones stay 8-bit."""
    with quiet(), lean():
        import ai_edge_litert.interpreter as litert
        import tf2onnx

    try:
        interpreter = litert.Interpreter(model_path=str(path), num_threads=1)
        details = interpreter.get_input_details()
    except Exception as error:
        raise ModelError(f"LiteRT cannot load {path}: {first_line(error)}; export it again.") from error
    try:
        with quiet():
            proto, _ = tf2onnx.convert.from_tflite(str(path), opset=TF2ONNX_OPSET)
    except Exception as error:
        raise ModelError(f"tf2onnx cannot convert {path}: {first_line(error)}; export it to ONNX yourself.") from error
    graph = _graph(proto, path)
    kinds = operators(graph)
    notes: tuple[str, ...] = ()
    if "DequantizeLinear" in kinds and "QuantizeLinear" not in kinds:
        # LiteRT multiplies such weights with activations that it rounds on the way; the model's own numbers are the floats.
        _widen_weights(graph)
        notes = (f"the 8-bit weights of {path.name} are floats here: LiteRT rounds its activations to 8 bits while it runs",)
    inputs = match_samples(samples, graph.inputs) if samples is not None else random_samples(graph.inputs)
    outputs = _run_tflite(interpreter, details, inputs, graph.inputs)
    named = dict(zip([output.name for output in graph.outputs], outputs, strict=True))
    return Converted(graph, inputs, named, notes, {"tf2onnx": tf2onnx.__version__}, "DequantizeLinear" in kinds)


def _graph(proto: Any, path: Path) -> Model:
    graph = Model.from_bytes(bytes(proto.SerializeToString(deterministic=True)), str(path))
    settle_names(graph)
    return graph


def _widen_weights(model: Model) -> None:
    """Constants behind DequantizeLinear become the floats that they stand for (in place)."""
    for node in list(model.graph):
        arrays = [constant(value) for value in node.inputs]
        if node.op_type != "DequantizeLinear" or any(array is None for array in arrays):
            continue
        weights, scale, *zero = (np.asarray(array) for array in arrays)
        axis = int(node.attributes.get_int("axis", 1) or 0)
        shape = [-1 if index == axis % max(weights.ndim, 1) and scale.size > 1 else 1 for index in range(weights.ndim)]
        centred = weights.astype(np.int32) - (zero[0].astype(np.int32).reshape(shape) if zero else 0)
        made = initializer(f"{node.outputs[0].name}_float", (centred * scale.reshape(shape)).astype(np.float32))
        model.graph.register_initializer(made)
        onnx_ir.convenience.replace_all_uses_with(node.outputs[0], made)
        model.graph.remove(node, safe=True)


def _run_tflite(interpreter: Any, details: Any, inputs: Samples, specs: tuple[TensorSpec, ...]) -> list[NDArray[Any]]:
    """Answers of the interpreter, batch by batch in the size of the file."""
    interpreter.allocate_tensors()
    size = fixed_batch(specs) or int(details[0]["shape"][0])
    count = len(next(iter(inputs.values())))
    parts: list[list[NDArray[Any]]] = []
    for start in range(0, count - count % size, size):
        for detail, spec in zip(details, specs, strict=True):
            interpreter.set_tensor(detail["index"], inputs[spec.name][start : start + size])
        interpreter.invoke()
        parts.append([interpreter.get_tensor(detail["index"]).copy() for detail in interpreter.get_output_details()])
    return [np.concatenate(column) for column in zip(*parts, strict=True)]
