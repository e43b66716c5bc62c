"""The file's bytes: aligned, deduplicated, without what nothing needs."""

from __future__ import annotations

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from edgewright.runtimes.litert.flatbuffer import Quant, Writer
from edgewright.runtimes.litert.parts import take_apart


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
