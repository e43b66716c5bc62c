"""The interpreter against the runtime and against torch: forward, gradients, statistics, hooks, what is written back."""

from __future__ import annotations

import copy
import re
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from edgewright.core.errors import DataError, ModelError, UsageError
from edgewright.ir.model import Model
from edgewright.optimizer.train.module import GraphModule
from onnx import TensorProto, helper, numpy_helper
from torch import nn

FLOAT = TensorProto.FLOAT


def model_of(
    nodes: list[onnx.NodeProto],
    weights: dict[str, np.ndarray],
    shape: list[Any] | None = None,
    outputs: tuple[str, ...] = ("y",),
    kind: int = FLOAT,
) -> Model:
    """A model with the input x and free outputs."""
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", FLOAT, shape if shape is not None else ["n", 4])],
        [helper.make_tensor_value_info(name, kind, None) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return Model.from_bytes(onnx.shape_inference.infer_shapes(proto, strict_mode=True).SerializeToString())


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.parts = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU6(),
            nn.Conv2d(8, 8, 3, stride=2, groups=8),
            nn.BatchNorm2d(8, momentum=0.3),
            nn.SiLU(),
            nn.Conv2d(8, 8, 1, bias=False),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, 5),
        )
        for part in self.parts:
            if isinstance(part, nn.BatchNorm2d):
                nn.init.uniform_(part.weight, 0.5, 1.5)
                nn.init.normal_(part.bias)
                nn.init.normal_(part.running_mean)
                nn.init.uniform_(part.running_var, 0.5, 1.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        normal = self.parts[:5](x)
        return self.parts[7:](torch.relu(self.parts[5:7](normal) + normal))


def graph_of(net: nn.Module) -> Model:
    """The network as an exporter writes it, its weights under their own names."""
    node = helper.make_node
    arrays = {name: value.numpy() for name, value in net.state_dict().items() if "num_batches" not in name}
    norm = ("weight", "bias", "running_mean", "running_var")
    nodes = [
        node("Conv", ["x", "0.weight"], ["c0"], pads=[1, 1, 1, 1]),
        node("BatchNormalization", ["c0", *(f"1.{part}" for part in norm)], ["b0"]),
        node("Clip", ["b0", "least", "most"], ["r0"]),
        node("Conv", ["r0", "3.weight", "3.bias"], ["c1"], strides=[2, 2], group=8),
        node("BatchNormalization", ["c1", *(f"4.{part}" for part in norm)], ["b1"], momentum=0.7),
        node("Sigmoid", ["b1"], ["s"]),
        node("Mul", ["b1", "s"], ["silu"]),
        node("Conv", ["silu", "6.weight"], ["c2"]),
        node("Add", ["c2", "b1"], ["sum"]),
        node("Relu", ["sum"], ["r1"]),
        node("GlobalAveragePool", ["r1"], ["pooled"]),
        node("Flatten", ["pooled"], ["flat"]),
        node("MatMul", ["flat", "head"], ["product"]),
        node("Add", ["product", "9.bias"], ["y"]),
    ]
    arrays |= {"least": np.float32(0), "most": np.float32(6), "head": np.ascontiguousarray(arrays.pop("9.weight").T)}
    return model_of(nodes, arrays, ["n", 3, 9, 9])


@pytest.fixture(scope="module")
def pair() -> tuple[nn.Module, Model]:
    net = Network().eval()
    return net, graph_of(net.parts)


def batch(count: int = 6) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(1).normal(size=(count, 3, 9, 9)).astype(np.float32))


def only(outputs: dict[str, torch.Tensor]) -> torch.Tensor:
    (value,) = outputs.values()
    return value


@pytest.mark.parametrize("is_training", [False, True])
def test_forward_gradients_and_statistics_are_those_of_the_source(pair: tuple[nn.Module, Model], is_training: bool) -> None:
    net, model = copy.deepcopy(pair[0]).train(is_training), pair[1]
    module = GraphModule(model).train(is_training)
    x, labels = batch(), torch.arange(6) % 5
    expected, found = net(x), only(module({"x": x}))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    nn.functional.cross_entropy(expected, labels).backward()
    nn.functional.cross_entropy(found, labels).backward()
    theirs = {name: parameter.grad for name, parameter in net.parts.named_parameters()}
    theirs["head"] = theirs.pop("9.weight").T
    ours = {name: parameter.grad for name, parameter in module.trainable().items()}
    assert set(ours) == set(theirs)
    for name, gradient in theirs.items():
        torch.testing.assert_close(ours[name], gradient, rtol=1e-3, atol=1e-6)
    for name, statistic in net.parts.named_buffers():
        if "running" in name:
            torch.testing.assert_close(module.tensor(name), statistic, rtol=1e-5, atol=1e-6)


def test_frozen_batch_norm_uses_running_statistics(pair: tuple[nn.Module, Model]) -> None:
    module = GraphModule(pair[1]).train()
    module.freeze_batch_norm = True
    before = module.to_model().to_bytes()
    torch.testing.assert_close(only(module({"x": batch()})), only(module.eval()({"x": batch()})))
    assert module.to_model().to_bytes() == before


def test_untouched_module_writes_back_the_same_bytes(pair: tuple[nn.Module, Model]) -> None:
    assert GraphModule(pair[1]).to_model().to_bytes() == pair[1].to_bytes()


def test_trained_weights_are_written_back_and_the_source_is_left_alone(pair: tuple[nn.Module, Model]) -> None:
    before = pair[1].to_bytes()
    module = GraphModule(pair[1]).train()
    only(module({"x": batch()})).square().sum().backward()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.sub_(0.1 * parameter.grad)
    trained = module.to_model()
    assert pair[1].to_bytes() == before
    for name, parameter in module.trainable().items():
        assert trained.weights()[name].tobytes() == parameter.detach().numpy().tobytes()
        assert trained.weights()[name].tobytes() != pair[1].weights()[name].tobytes()
    again = GraphModule(trained).eval()
    torch.testing.assert_close(only(again({"x": batch()})), only(module.eval()({"x": batch()})), rtol=0, atol=0)


def test_copies_share_nothing(pair: tuple[nn.Module, Model]) -> None:
    module = GraphModule(pair[1]).train()
    module({"x": batch()})
    copied = copy.deepcopy(module)
    before = module.to_model().to_bytes()
    copied({"x": batch()})
    assert module.to_model().to_bytes() == before != copied.to_model().to_bytes()


def test_state_goes_from_one_module_to_another(pair: tuple[nn.Module, Model]) -> None:
    module, other = GraphModule(pair[1]).train(), GraphModule(pair[1])
    module({"x": batch()})
    other.load_state_dict(module.state_dict())
    assert other.to_model().to_bytes() == module.to_model().to_bytes()


def test_keep_gives_inner_values_and_names_the_nearest(pair: tuple[nn.Module, Model]) -> None:
    module = GraphModule(pair[1]).eval()
    found = module({"x": batch()}, keep=["b0", "product", "x"])
    torch.testing.assert_close(found["x"], batch())
    # What is asked for is not overwritten by the activation that reads it, nor joined with the bias that is added to it.
    torch.testing.assert_close(found["b0"], pair[0].parts[:2](batch()), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(found["product"] + module.tensor("9.bias"), found["y"])
    with pytest.raises(UsageError, match="unknown value to keep 'nothing'"):
        module({"x": batch()}, keep=["nothing"])


def test_hooks_are_seen_by_every_reader_and_modules_become_parts() -> None:
    model = model_of(
        [
            helper.make_node("Gemm", ["x", "w", "b"], ["h"], "gemm"),
            helper.make_node("Relu", ["h"], ["r"], "relu"),
            helper.make_node("Add", ["h", "r"], ["y"], "add"),
        ],
        {"w": np.eye(4, dtype=np.float32), "b": np.zeros(4, np.float32)},
    )
    module = GraphModule(model)
    scale = nn.Linear(1, 1)
    module.add_hook("h", lambda value: value + 1)
    module.add_hook("h", lambda value: value * 10)
    module.add_hook("w", lambda value: value * 2)
    module.add_hook("y", nn.Identity())
    module.add_hook("x", scale_by := nn.Flatten())
    x = torch.ones(2, 4)
    torch.testing.assert_close(module({"x": x}, keep=["h"])["h"], torch.full((2, 4), 30.0))
    torch.testing.assert_close(module({"x": x})["y"], torch.full((2, 4), 60.0))
    assert scale_by in set(module.modules())
    assert scale not in set(module.modules())
    with pytest.raises(UsageError, match="unknown value 'q'"):
        module.add_hook("q", lambda value: value)


def test_joined_neighbours_compute_what_each_computes_alone(pair: tuple[nn.Module, Model]) -> None:
    joined, alone = GraphModule(pair[1]).train(), GraphModule(pair[1]).train()
    for node in pair[1].graph:
        alone.add_hook(str(node.outputs[0].name), lambda value: value)
    for module in (joined, alone):
        only(module({"x": batch()})).square().sum().backward()
    for name, parameter in joined.trainable().items():
        torch.testing.assert_close(parameter.grad, alone.trainable()[name].grad, rtol=1e-4, atol=1e-5)


def test_it_works_in_channels_last_and_in_bfloat16(pair: tuple[nn.Module, Model]) -> None:
    module = GraphModule(pair[1]).eval()
    expected = only(module({"x": batch()}))
    module.to(memory_format=torch.channels_last)
    found = only(module({"x": batch().contiguous(memory_format=torch.channels_last)}))
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert module.to_model().to_bytes() == pair[1].to_bytes()
    with torch.autocast("cpu", torch.bfloat16):
        mixed = only(module.train()({"x": batch()}))
    mixed.float().sum().backward()
    assert all(parameter.grad.dtype == torch.float32 for parameter in module.parameters())


def test_one_initializer_of_two_readers_is_one_parameter() -> None:
    model = model_of(
        [helper.make_node("MatMul", ["x", "w"], ["h"], "first"), helper.make_node("MatMul", ["h", "w"], ["y"], "second")],
        {"w": np.full((4, 4), 0.5, np.float32)},
    )
    module = GraphModule(model)
    assert len(list(module.parameters())) == 1
    w = torch.full((4, 4), 0.5, requires_grad=True)
    x = torch.ones(3, 4)
    (x @ w @ w).sum().backward()
    module({"x": x})["y"].sum().backward()
    torch.testing.assert_close(module.trainable()["w"].grad, w.grad)


def test_operators_can_be_replaced_and_added() -> None:
    model = model_of(
        [helper.make_node("MatMul", ["x", "w"], ["h"], "product"), helper.make_node("Round", ["h"], ["y"], "round")],
        {"w": np.full((4, 2), 0.3, np.float32)},
    )
    straight = {"Round": lambda node: lambda x: x + (x.round() - x).detach()}
    module = GraphModule(model, operators=straight)
    module({"x": torch.ones(1, 4)})["y"].sum().backward()
    torch.testing.assert_close(module.trainable()["w"].grad, torch.ones(4, 2))


def test_what_is_trained_and_what_is_not() -> None:
    mask = np.where(np.tril(np.ones((4, 4))) > 0, 0, -100).astype(np.float32)
    model = model_of(
        [
            helper.make_node("Sub", ["x", "mean"], ["centred"], "centre"),
            helper.make_node("Div", ["centred", "deviation"], ["normal"], "scale"),
            helper.make_node("MatMul", ["normal", "w"], ["h"], "product"),
            helper.make_node("Add", ["h", "b"], ["biased"], "bias"),
            helper.make_node("Mul", ["biased", "two"], ["doubled"], "double"),
            helper.make_node("Add", ["doubled", "mask"], ["y"], "mask"),
        ],
        {
            "mean": np.arange(4, dtype=np.float32),
            "deviation": np.arange(1, 5, dtype=np.float32),
            "w": np.ones((4, 4), np.float32),
            "b": np.zeros(4, np.float32),
            "two": np.float32(2),
            "mask": mask,
        },
    )
    assert set(GraphModule(model).trainable()) == {"w", "b"}


@pytest.mark.parametrize(
    ("nodes", "weights", "told"),
    [
        ([helper.make_node("Relu", ["x"], ["y"], "relu")], {}, "has no floating-point weights"),
        (
            [
                helper.make_node("MatMul", ["x", "w"], ["h"], "product"),
                helper.make_node("Round", ["h"], ["y"], "to integers"),
            ],
            {"w": np.ones((4, 4), np.float32)},
            "no gradient passes the node 'to integers' (Round)",
        ),
        (
            [helper.make_node("Det", ["x"], ["y"], "determinant")],
            {},
            "the node 'determinant' cannot be trained: Det is no operator that training knows",
        ),
    ],
)
def test_what_cannot_be_trained_is_told_in_one_sentence(
    nodes: list[onnx.NodeProto], weights: dict[str, np.ndarray], told: str
) -> None:
    shape = ["n", 4, 4] if nodes[0].op_type == "Det" else ["n", 4]
    with pytest.raises(ModelError, match=re.escape(told)):
        GraphModule(model_of(nodes, weights, shape))


def test_a_missing_input_is_named(pair: tuple[nn.Module, Model]) -> None:
    with pytest.raises(DataError, match="no input 'x'; it has z"):
        GraphModule(pair[1])({"z": batch()})
