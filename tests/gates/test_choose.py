"""The gate that is chosen when none is named, as `compile` and `gate` choose it, and the samples that a gate asks for."""

import json

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from edgewright.calibration.opening import open_dataset
from edgewright.cli.gate import gate as gate_command
from edgewright.optimizer.gates.text import parse_gates
from edgewright.optimizer.prepare import choose_gates, samples_wanted
from edgewright.optimizer.recipe import Recipe
from onnx import TensorProto, helper

N = 400
WIDE = np.random.default_rng(0).normal(size=(N, 640)).astype(np.float32)


def chosen(data, outputs):
    return [str(gate) for gate in choose_gates(Recipe("model.onnx", data, ("x86-64-avx2",)), open_dataset(data), outputs)]


@pytest.mark.parametrize(
    ("shape", "outputs", "gate"),
    [
        ((N, 640), WIDE, "cosine >= 0.99"),
        ((N, 5, 128), WIDE, "cosine >= 0.99"),
        ((N, 640), WIDE[:, :10], "agreement >= 98%"),
    ],
)
def test_a_reconstruction_is_no_classifier(shape, outputs, gate):
    assert chosen({"x": WIDE.reshape(shape)}, outputs) == [gate]


def test_the_gate_command_knows_a_reconstruction(tmp_path):
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 640]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Abs", ["x"], ["y"])], "autoencoder", values[:1], values[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "model.onnx")
    np.savez(tmp_path / "data.npz", x=WIDE)
    command = [str(tmp_path / "model.onnx")] * 2 + ["--data", str(tmp_path / "data.npz"), "--json"]
    result = CliRunner().invoke(gate_command, command, standalone_mode=False)
    assert [item["gate"] for item in json.loads(result.stdout)["verdicts"]] == ["cosine >= 0.99"]


def test_a_gate_by_group_asks_for_groups():
    data = {"x": np.zeros((2000, 4), dtype=np.float32), "y": np.zeros(2000, dtype=int), "who": np.arange(2000) // 20}
    wanted = [samples_wanted(parse_gates([text]), open_dataset(data)) for text in ("top1 >= -2pt", "top1 by who >= -2pt")]
    assert wanted[0] < 1000
    assert wanted[1] > 150 * 20
