"""A model in every form that a tool may ask for, each made by its own framework's usual way from the one it came in."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from benchmarks.peers.subjects import Subject

_OPSET = 18


def forms_of(subject: Subject, folder: Path) -> tuple[str, dict[str, str], str]:
    """The kind that it came in, file or folder by kind, and who made the float TFLite file."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    x = subject.parts["calib"]["x"][:1]
    if not isinstance(subject.model, Path):
        forms = _of_torch(subject.model, x, subject.input, folder)
        return "torch", {**forms, "tflite": _lowered(folder)}, "Edgewright"
    if subject.model.suffix == ".onnx":
        _with_batch_one(subject.model, folder / "model.onnx", x)
        shutil.copy(subject.model, folder / "source.onnx")
        return "onnx", {"onnx": "model.onnx", "source": "source.onnx", "tflite": _lowered(folder)}, "Edgewright"
    return _of_tensorflow(subject, x, folder)


def _of_torch(module: Any, x: np.ndarray, name: str, folder: Path) -> dict[str, str]:
    import torch

    torch.save(module, folder / "model.pt")
    program = torch.onnx.export(
        module, (torch.from_numpy(x),), dynamo=True, input_names=[name], opset_version=_OPSET, verbose=False
    )
    program.save(folder / "model.onnx")
    return {"torch": "model.pt", "onnx": "model.onnx"}


def _of_tensorflow(subject: Subject, x: np.ndarray, folder: Path) -> tuple[str, dict[str, str], str]:
    import keras
    import tensorflow as tf
    import tf2onnx

    is_keras = subject.model.is_file()
    spec = tf.TensorSpec(x.shape, x.dtype, name=subject.input)
    if is_keras:
        net = keras.models.load_model(subject.model, compile=False)
        shutil.copy(subject.model, folder / subject.model.name)
        forms = {"keras": subject.model.name}
        converter = tf.lite.TFLiteConverter.from_keras_model(net)
        call = tf.function(lambda x: net(x, training=False), input_signature=[spec])
    else:
        shutil.copytree(subject.model, folder / "saved_model")
        forms = {"saved_model": "saved_model"}
        converter = tf.lite.TFLiteConverter.from_saved_model(str(subject.model))
        loaded = tf.saved_model.load(str(subject.model))  # the signature alone does not keep its variables
        signature = loaded.signatures["serving_default"]
        given = next(iter(signature.structured_input_signature[1]))
        call = tf.function(lambda x: next(iter(signature(**{given: x}).values())), input_signature=[spec])
    if subject.weights is not None:
        shutil.copy(subject.weights, folder / "weights.npz")
        forms["weights"] = "weights.npz"
    (folder / "float.tflite").write_bytes(converter.convert())
    tf2onnx.convert.from_function(call, [spec], opset=_OPSET, output_path=str(folder / "model.onnx"))
    return ("keras" if is_keras else "saved_model"), {**forms, "onnx": "model.onnx", "tflite": "float.tflite"}, "TensorFlow"


def _with_batch_one(source: Path, target: Path, x: np.ndarray) -> None:
    """The free batch axis of the inputs fixed to 1: tools read sizes that they cannot infer otherwise."""
    import onnx

    model = onnx.load(source)
    for value in model.graph.input:
        for axis, size in zip(value.type.tensor_type.shape.dim, x.shape, strict=True):
            axis.ClearField("dim_param")
            axis.dim_value = size
    del model.graph.value_info[:]
    onnx.save(onnx.shape_inference.infer_shapes(model), target)


def _lowered(folder: Path) -> str:
    """The float TFLite file of what no TensorFlow made."""
    from edgewright.device_profiles.loader import load
    from edgewright.optimizer.ingest.ingest import ingest
    from edgewright.optimizer.prepare import prepare_model
    from edgewright.runtimes import registry

    base, _ = prepare_model(ingest(folder / "model.onnx"))
    lowered = registry.get("litert").lower(base, load("x86-64-avx2"))
    (folder / "float.tflite").write_bytes(_named(lowered.files[lowered.entry]))
    return "float.tflite"


def _named(data: bytes) -> bytes:
    """The file with a name for each tensor: the compiler leaves them out, and ai-edge-quantizer goes by them."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(data)
    for graph in model.subgraphs:
        for index, tensor in enumerate(graph.tensors):
            tensor.name = tensor.name or f"tensor{index}".encode()
    builder = flatbuffers.Builder(len(data))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())
