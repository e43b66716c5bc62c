"""Two classifiers that read their answers from the input, so that a data set says how good each is."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import jsonschema
import numpy as np
import onnx
import pytest
from edgewright.cli.main import main
from onnx import TensorProto, helper, numpy_helper

sys.path.insert(0, str(Path(__file__).parent))

CLASSES = 4


def picking(offset, layers=0, width=64):
    """Scores are `CLASSES` of the 8 inputs, from `offset` on, plus nothing from `layers` products of `width`."""
    weights = np.zeros((2 * CLASSES, CLASSES), dtype=np.float32)
    weights[offset + np.arange(CLASSES), np.arange(CLASSES)] = 1
    kept = [numpy_helper.from_array(weights, "w")]
    nodes = [helper.make_node("MatMul", ["x", "w"], ["scores"])]
    if layers:
        start = np.zeros((2 * CLASSES, width), dtype=np.float32)
        square = np.full((width, width), 0.5, dtype=np.float32)
        kept += [numpy_helper.from_array(start, "start"), numpy_helper.from_array(square, "square")]
        kept.append(numpy_helper.from_array(np.zeros((width, CLASSES), dtype=np.float32), "end"))
        nodes.append(helper.make_node("MatMul", ["x", "start"], ["h0"]))
        nodes += [helper.make_node("MatMul", [f"h{index}", "square"], [f"h{index + 1}"]) for index in range(layers)]
        nodes.append(helper.make_node("MatMul", [f"h{layers}", "end"], ["nothing"]))
        nodes.append(helper.make_node("Add", ["scores", "nothing"], ["y"]))
    else:
        nodes.append(helper.make_node("Identity", ["scores"], ["y"]))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [25, size]) for name, size in (("x", 8), ("y", CLASSES))]
    graph = helper.make_graph(nodes, "picking", ends[:1], ends[1:], kept)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(made)
    return made.SerializeToString()


def answers(loss, n=2000, seed=0):
    """Samples on which the classifier of offset 0 is right on 90 %, and that of offset 4 on `loss` fewer."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, CLASSES, n)
    wrong = (labels + 1) % CLASSES
    base = np.where(np.arange(n) < 0.9 * n, labels, wrong)
    head = np.where(np.arange(n) < (0.9 - loss) * n, labels, wrong)
    order = generator.permutation(n)
    x = np.concatenate([np.eye(CLASSES)[base], np.eye(CLASSES)[head]], axis=1).astype(np.float32)
    return {"x": x[order], "y": labels[order], "site": np.where(np.arange(n) % 2, "north", "south")}


@pytest.fixture(scope="session")
def builds(tmp_path_factory):
    """base.onnx, same.onnx (other weights' order of nothing), worse.onnx (reads the other answers), slow.onnx, and data."""
    folder = tmp_path_factory.mktemp("builds")
    (folder / "base.onnx").write_bytes(picking(0))
    (folder / "same.onnx").write_bytes(picking(0))
    (folder / "worse.onnx").write_bytes(picking(CLASSES))
    (folder / "slow.onnx").write_bytes(picking(CLASSES, layers=60))
    np.savez(folder / "lost.npz", **answers(0.05))
    np.savez(folder / "few.npz", **answers(0.004, n=250))
    return folder


@pytest.fixture(scope="session")
def check():
    """Validates a comparison's JSON against the published schema."""
    schema = json.loads((Path(__file__).parents[2] / "docs" / "schema" / "compare-1.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    return validator.validate


@pytest.fixture
def run(capsys):
    """`edgewright bench compare ...`: exit code, output, error."""

    def call(*arguments):
        with pytest.raises(SystemExit) as ended:
            main(["bench", "compare", *map(str, arguments)])
        told = capsys.readouterr()
        return ended.value.code, told.out, told.err

    return call
