"""Pairs of artifacts for the tests: the same small network before and after a fine-tune, in the files of each runtime."""

from __future__ import annotations

import numpy as np
import onnx
from edgewright.core import artifact_zip
from edgewright.device_profiles.loader import load
from edgewright.fleet.delta.apply import apply_delta
from edgewright.fleet.delta.container import Memory
from edgewright.ir.model import Model
from edgewright.runtimes import registry
from onnx import helper, numpy_helper


def applied(old: bytes, patch: bytes) -> bytes:
    """What a device gets from a patch."""
    pieces: list[bytes] = []
    apply_delta(Memory(old), Memory(patch), pieces.append)
    return b"".join(pieces)


def network(seed: int, noise: float) -> bytes:
    """A dense network with 64 x 96 and 96 x 10 weights, as ONNX bytes; `noise` moves every weight."""
    random, moved = np.random.default_rng(0), np.random.default_rng(seed)
    shapes = {"w1": (64, 96), "b1": (96,), "w2": (96, 10), "b2": (10,)}
    values = {name: random.normal(size=shape) + noise * moved.normal(size=shape) for name, shape in shapes.items()}
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["h"], name="first"),
        helper.make_node("Relu", ["h"], ["r"], name="relu"),
        helper.make_node("Gemm", ["r", "w2", "b2"], ["y"], name="second"),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 64])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 10])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in values.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString(deterministic=True))


def lowered(runtime: str, model: bytes) -> bytes:
    """A container like an artifact's around the runtime's own files of the model."""
    files = registry.get(runtime).lower(Model.from_bytes(model), load("x86-64-avx2")).files
    return artifact_zip.pack({"manifest.json": b"{}"} | {f"model/{name}": data for name, data in sorted(files.items())})


def weights(kind: str, seed: int = 0, size: int = 40_000) -> tuple[bytes, bytes]:
    """Containers around an ONNX file with one tensor of an ONNX type, before and after small changes of its integers."""
    random = np.random.default_rng(seed)
    item = {"INT4": 1, "INT8": 1, "FLOAT16": 2, "FLOAT": 4, "INT64": 8}[kind]
    steps = np.rint(random.normal(size=size)).astype(np.int64)
    before = random.integers(0, 1 << min(8 * item, 62), size)
    after = before + steps
    if kind == "INT4":
        before, after = ((v[0::2] & 15 | (v[1::2] & 15) << 4) for v in (before, after))
    files = []
    for values in (before, after):
        raw = values.astype(f"<i{item}" if item == 8 else f"<u{item}").tobytes()
        tensor = onnx.TensorProto(data_type=onnx.TensorProto.DataType.Value(kind), dims=[size], name="w", raw_data=raw)
        graph = onnx.GraphProto(name="g", initializer=[tensor])
        files.append(artifact_zip.pack({"model/model.onnx": onnx.ModelProto(graph=graph).SerializeToString()}))
    return files[0], files[1]
