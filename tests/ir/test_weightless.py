"""Checking, comparing and writing a model: what comes of it, and that weights are not copied over and over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from edgewright.core.freeing import give_back
from edgewright.core.mapping import is_mapped
from edgewright.core.resident import peak_bytes, reset_peak, resident_bytes
from edgewright.ir import serde
from edgewright.ir.model import Model
from edgewright.ir.verify import verify
from onnx import TensorProto, helper, numpy_helper

WIDTH, LAYERS = 64, 3
MEGA = 1 << 20


def made(width: int = WIDTH, layers: int = LAYERS, changed: int | None = None) -> Model:
    """x [1, width] through matrices, then a Reshape by a small constant; `changed`: the matrix that differs in a number."""
    random = np.random.default_rng(0)
    nodes, weights = [], []
    for layer in range(layers):
        matrix = random.standard_normal((width, width), dtype=np.float32)
        if layer == changed:
            matrix[-1, -1] += 1
        weights.append(numpy_helper.from_array(matrix, f"w{layer}"))
        nodes.append(
            helper.make_node("MatMul", [f"v{layer}" if layer else "x", f"w{layer}"], [f"v{layer + 1}"], name=f"n{layer}")
        )
    weights.append(numpy_helper.from_array(np.array([1, -1], np.int64), "shape"))
    nodes.append(helper.make_node("Reshape", [f"v{layers}", "shape"], ["y"], name="last"))
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, width]) for name in ("x", "y")]
    graph = helper.make_graph(nodes, "g", values[:1], values[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return Model.from_bytes(model.SerializeToString())


@pytest.fixture(scope="module")
def large() -> Model:
    """64 MB of weights, 16 each."""
    return made(2048, 4)


def test_what_is_written_is_read_again_with_every_weight_in_its_order() -> None:
    model = made()
    data = model.to_bytes()
    proto = onnx.ModelProto()
    proto.ParseFromString(data)
    onnx.checker.check_model(proto, full_check=True)
    assert [tensor.name for tensor in proto.graph.initializer] == ["w0", "w1", "w2", "shape"]
    again = Model.from_bytes(data)
    for name, array in model.weights().items():
        np.testing.assert_array_equal(again.weights()[name], array)
    assert again.to_bytes() == data
    assert again.digest() == model.digest()


@pytest.mark.parametrize("layer", range(LAYERS))
def test_one_number_of_any_weight_changes_the_digest(layer: int) -> None:
    assert made(changed=layer).digest() != made().digest()


def test_weights_that_change_places_change_the_digest() -> None:
    model = made()
    other = model.clone()
    values = other.graph.initializers
    first, second = values["w0"].const_value, values["w1"].const_value
    values["w0"].const_value, values["w1"].const_value = second, first
    assert other.digest() != model.digest()


def test_checks_see_the_types_and_shapes_of_large_weights() -> None:
    model = made()
    verify(model)
    node = next(iter(model.graph))
    node.op_type = "NoSuchOperator"
    with pytest.raises(Exception, match="NoSuchOperator"):
        serde.check(model.ir)


def test_a_file_on_disk_runs_as_the_model_does_and_is_gone_afterwards() -> None:
    model = made()
    x = {"x": np.ones((1, WIDTH), np.float32)}
    with model.on_disk() as file:
        ours = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"]).run(None, x)[0]
    theirs = onnxruntime.InferenceSession(model.to_bytes(), providers=["CPUExecutionProvider"]).run(None, x)[0]
    np.testing.assert_array_equal(ours, theirs)
    assert not file.parent.exists()
    assert model.digest() == made().digest()


def test_digest_and_check_take_the_memory_of_one_weight_and_writing_that_of_the_file(large: Model) -> None:
    before = reset_peak()
    large.digest()
    verify(large)
    assert peak_bytes() - before < 36 * MEGA
    before = reset_peak()
    data = large.to_bytes()
    assert len(data) > 64 * MEGA
    assert peak_bytes() - before < 116 * MEGA


def test_a_file_on_disk_takes_no_memory(large: Model) -> None:
    before = reset_peak()
    with large.on_disk() as file:
        assert (file.parent / "weights").stat().st_size >= 64 * MEGA
    assert peak_bytes() - before < 36 * MEGA


def test_large_weights_in_a_file_are_the_same_model_without_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(made(2048, 4).to_bytes())
    give_back()
    before = resident_bytes()
    model = Model.load(path).with_mapped_weights()
    give_back()
    assert resident_bytes() - before < 16 * MEGA
    assert {name for name, array in model.weights().items() if is_mapped(array)} == {"w0", "w1", "w2", "w3"}
    again = Model.load(path)
    assert model.digest() == again.digest()
    assert model.to_bytes() == again.to_bytes()
    tensors = [value.const_value for value in model.with_mapped_weights().graph.initializers.values()]
    assert tensors == [value.const_value for value in model.graph.initializers.values()]  # no second file


def test_the_weights_of_a_small_model_stay_in_memory() -> None:
    model = made().with_mapped_weights()
    assert not any(is_mapped(array) for array in model.weights().values())


def test_texts_stay_in_memory_however_many_they_are() -> None:
    model = made(2048, 1)
    texts = onnx.helper.make_tensor("names", TensorProto.STRING, [20_000], [b"a name of some length"] * 20_000)
    proto = onnx.ModelProto.FromString(model.to_bytes())
    proto.graph.initializer.append(texts)
    found = Model.from_bytes(proto.SerializeToString()).with_mapped_weights()
    assert found.graph.initializers["names"].const_value.numpy()[-1] == b"a name of some length"
    assert is_mapped(found.graph.initializers["w0"].const_value.numpy())
