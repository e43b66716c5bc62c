"""The file's bytes: aligned, deduplicated, without what nothing needs."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from edgewright.runtimes.litert.flatbuffer import Quant, Writer
from edgewright.runtimes.litert.parts import take_apart
from edgewright.runtimes.litert.sharing import SharingBuilder


def relu_chain() -> tuple[Writer, bytes]:
    writer = Writer()
    x = writer.tensor("x", (1, 3), "float32")
    same = writer.constant("a", np.arange(3, dtype=np.float32)), writer.constant("b", np.arange(3, dtype=np.float32))
    assert same[0] is same[1]
    y, dead = writer.tensor("y", (1, 3), "float32"), writer.tensor("y", (1, 3), "float32")
    writer.operator("ADD", [x, same[0]], [y], "AddOptions", {"fusedActivationFunction": 1})
    writer.operator("NEG", [x], [dead], "NegOptions")
    return writer, writer.finish({"x": x}, {"y": y})


def test_what_no_output_needs_is_left_out():
    _, data = relu_chain()
    (part,) = take_apart(data)
    assert part.kind == "ADD"
    assert part.name == "y"
    assert part.options["fusedActivationFunction"] == 1
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    assert len(model.subgraphs[0].tensors) == 3
    assert len(model.operatorCodes) == 1


def test_buffers_start_at_multiples_of_sixteen():
    writer = Writer()
    x = writer.tensor("x", (1,), "float32")
    for size in range(1, 40):
        made = writer.tensor("y", (size,), "float32")
        writer.operator("ADD", [x, writer.constant("c", np.full(size, size, np.float32))], [made], "AddOptions")
        x = made
    data = writer.finish({}, {"y": x})
    model = schema.Model.GetRootAs(data, 0)
    filled = [model.Buffers(index) for index in range(model.BuffersLength()) if model.Buffers(index).DataLength()]
    assert len(filled) == 39
    assert all(buffer._tab.Vector(buffer._tab.Offset(4)) % 16 == 0 for buffer in filled)


def test_quantization_and_names_survive():
    writer = Writer()
    quant = Quant((0.5, 0.25), (0, 0), 0)
    x = writer.tensor("x", (2, 3), "float32")
    w = writer.constant("x", np.ones((2, 3), np.int8), quant)
    wide, y = writer.tensor("w", (2, 3), "float32"), writer.tensor("y", (2, 3), "float32")
    writer.operator("DEQUANTIZE", [w], [wide])
    writer.operator("MUL", [x, wide], [y], "MulOptions")
    assert writer.rename(y, "x") == "x;inner"
    data = writer.finish({"x": x}, {"y": y})
    (part,) = take_apart(data)
    assert part.name == "x"
    assert [tensor.name for tensor in part.inputs] == ["x;inner", "w"]
    model = schema.ModelT.InitFromPackedBuf(data, 0)
    stored = next(
        tensor
        for tensor in model.subgraphs[0].tensors
        if tensor.quantization is not None and tensor.quantization.scale is not None
    )
    assert list(stored.quantization.scale) == [0.5, 0.25]


def test_options_that_the_schema_lacks():
    writer = Writer()
    x = writer.tensor("x", (1,), "float32")
    with pytest.raises(AttributeError, match="no field 'colour'"):
        writer.operator("ADD", [x, x], [x], "AddOptions", {"colour": 1})


def test_equal_strings_vectors_and_tables_are_stored_once():
    def file(channels: int, layers: int) -> bytes:
        writer = Writer()
        x = writer.tensor("x", (1, channels), "int8", Quant((0.5,), (0,)))
        given = x
        for layer in range(layers):
            quant = Quant(tuple([0.5] * channels), (0,) * channels)
            w = writer.constant("w", np.full((channels, channels), layer, np.int8), quant)
            made = writer.tensor(f"y{layer}", (1, channels), "int8", Quant((0.5,), (0,)))
            writer.operator("FULLY_CONNECTED", [given, w, None], [made], "FullyConnectedOptions", {"keepNumDims": False})
            given = made
        writer.unname({"x": x}, {"y": given})
        return writer.finish({"x": x}, {"y": given})

    # A layer more costs its weights (rounded up to 16 bytes) and no second vector of zero points, which are 8 bytes each.
    one, two = (len(file(64, layers)) for layers in (3, 4))
    assert two - one < 64 * 64 + 200
    model = schema.ModelT.InitFromPackedBuf(file(3, 3), 0)
    assert [tensor.name for tensor in model.subgraphs[0].tensors if tensor.name] == [b"x", b"y2"]
    stored = [tensor.quantization for tensor in model.subgraphs[0].tensors if len(tensor.quantization.scale) == 3]
    assert [(list(item.scale), list(item.zeroPoint)) for item in stored] == [([0.5] * 3, [0] * 3)] * 3


def test_operators_without_a_name_go_by_the_number_of_their_result():
    writer = Writer()
    x, inner, y = (writer.tensor(name, (1,), "float32") for name in ("x", "inner", "y"))
    dead = writer.tensor("dead", (1,), "float32")
    writer.operator("NEG", [x], [dead], "NegOptions")
    writer.operator("NEG", [x], [inner], "NegOptions")
    writer.operator("NEG", [inner], [y], "NegOptions")
    known = writer.unname({"x": x}, {"y": y})
    assert known == {"x": "x", "inner": "#1", "y": "y"}
    assert [part.name for part in take_apart(writer.finish({"x": x}, {"y": y}))] == ["#1", "y"]


def test_the_room_foreseen_is_enough_for_many_layers(monkeypatch):
    """A builder that grows holds all weights twice, which is the most that a lowering may not take."""

    def refuse(self):
        raise AssertionError("grew")

    monkeypatch.setattr(SharingBuilder, "GrowByteBuffer", refuse)
    writer, random = Writer(), np.random.default_rng(0)
    x = writer.tensor("x", (1, 64), "float32")
    for _ in range(1000):
        quant = Quant(tuple(random.random(64).tolist()), (0,) * 64, 0)
        weights = writer.constant("w", random.integers(-127, 127, (64, 1), np.int8), quant)
        made = writer.tensor("y", (1, 64), "float32")
        writer.operator("FULLY_CONNECTED", [x, weights], [made], "FullyConnectedOptions")
        x = made
    assert len(writer.finish({}, {"y": x})) > 300_000
