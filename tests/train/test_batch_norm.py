"""Statistics of batch norms taken anew, against sums over all samples."""

from __future__ import annotations

import numpy as np
import onnx_ir
import pytest
import torch
from edgewright.ir.model import Model
from edgewright.optimizer.train.batch_norm import recalibrate
from edgewright.optimizer.train.module import GraphModule
from edgewright.optimizer.train.operators.reading import decimal
from onnx import TensorProto, helper, numpy_helper, shape_inference


@pytest.fixture
def model() -> Model:
    rng = np.random.default_rng(0)
    arrays = {
        "scale": np.ones(3, np.float32),
        "shift": np.zeros(3, np.float32),
        "mean": rng.normal(size=3).astype(np.float32),
        "variance": np.full(3, 9, np.float32),
        "w": rng.normal(size=(2, 3, 1, 1)).astype(np.float32),
    }
    graph = helper.make_graph(
        [
            helper.make_node("BatchNormalization", ["x", "scale", "shift", "mean", "variance"], ["b"]),
            helper.make_node("Conv", ["b", "w"], ["y"]),
        ],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return Model.from_bytes(shape_inference.infer_shapes(proto).SerializeToString())


def batches(count: int) -> list[dict[str, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [{"x": torch.randn(4, 3, 5, 5, generator=generator) * (place + 1) + place} for place in range(count)]


def test_statistics_are_plain_averages_over_the_batches(model: Model) -> None:
    module = GraphModule(model).eval()
    given = batches(5)
    weights = module.tensor("w").clone()
    recalibrate(module, given)
    means = torch.stack([entry["x"].mean((0, 2, 3)) for entry in given]).mean(0)
    variances = torch.stack([entry["x"].var((0, 2, 3)) for entry in given]).mean(0)
    torch.testing.assert_close(module.tensor("mean"), means, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(module.tensor("variance"), variances, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(module.tensor("w"), weights, rtol=0, atol=0)
    assert not module.training


def test_a_frozen_module_in_training_is_taken_anew_and_stays_frozen(model: Model) -> None:
    module = GraphModule(model).train()
    module.freeze_batch_norm = True
    recalibrate(module, batches(2))
    after = module.tensor("mean").clone()
    module(batches(1)[0])
    torch.testing.assert_close(module.tensor("mean"), after, rtol=0, atol=0)
    assert module.freeze_batch_norm


def test_training_goes_on_as_before_when_a_batch_fails(model: Model) -> None:
    module = GraphModule(model).train()
    with pytest.raises(RuntimeError):
        recalibrate(module, [{"x": torch.randn(2, 4, 5, 5)}])
    before = module.tensor("mean").clone()
    x = batches(1)[0]["x"]
    module({"x": x})
    torch.testing.assert_close(module.tensor("mean"), 0.9 * before + 0.1 * x.mean((0, 2, 3)))


def test_one_element_a_channel_is_normalized_by_running_statistics(model: Model) -> None:
    module = GraphModule(model).train()
    before = module.tensor("variance").clone()
    x = torch.randn(1, 3, 1, 1)
    torch.testing.assert_close(module({"x": x})["y"], module.eval()({"x": x})["y"])
    torch.testing.assert_close(module.tensor("variance"), before, rtol=0, atol=0)


def test_an_epsilon_is_the_number_that_the_source_had() -> None:
    given = onnx_ir.node("BatchNormalization", [], {"epsilon": float(np.float32(0.001)), "momentum": float(np.float32(0.9))})
    assert decimal(given, "epsilon", 1e-5) == 0.001
    assert decimal(given, "momentum", 0.5) == 0.9
    assert decimal(onnx_ir.node("BatchNormalization", []), "epsilon", 1e-5) == 1e-5
