"""What every runtime makes of a table that is looked up in: int8 in the file, integers in the kernel, answers that stay."""

from __future__ import annotations

import numpy as np
import onnx
from edgewright.calibration.bind import bind
from edgewright.calibration.collect import collect
from edgewright.calibration.dataset import Split
from edgewright.calibration.opening import open_dataset
from edgewright.device_profiles.loader import load
from edgewright.ir.model import Model
from edgewright.optimizer.quantize.quantize import Quantize, QuantizeNeeds
from onnx import TensorProto, helper, numpy_helper

PROFILE = load("x86-64-vnni")
WORDS, WIDTH, LENGTH = 600, 32, 6
TOKENS = np.random.default_rng(0).integers(0, WORDS, (48, LENGTH))


def network() -> Model:
    """tokens -> Gather -> Exp (which no runtime does in int8) -> MatMul."""
    rng = np.random.default_rng(1)
    table = rng.normal(0, 0.5, (WORDS, WIDTH)).astype(np.float32)
    head = rng.normal(0, 0.2, (WIDTH, 5)).astype(np.float32)
    nodes = [
        helper.make_node("Gather", ["table", "tokens"], ["rows"], "look"),
        helper.make_node("Exp", ["rows"], ["curved"], "curve"),
        helper.make_node("MatMul", ["curved", "head"], ["y"], "head"),
    ]
    graph = helper.make_graph(
        nodes,
        "lookup",
        [helper.make_tensor_value_info("tokens", TensorProto.INT64, [1, LENGTH])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, LENGTH, 5])],
        [numpy_helper.from_array(table, "table"), numpy_helper.from_array(head, "head")],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return Model.from_bytes(onnx.shape_inference.infer_shapes(proto).SerializeToString())


def answers(runtime, lowered) -> np.ndarray:
    executor = runtime.load(lowered.files, lowered.entry, 1)
    (spec,) = executor.inputs
    rows = (row[None].astype(spec.dtype) for row in TOKENS)
    return np.concatenate([next(iter(executor.run({spec.name: row}).values())) for row in rows])


def test_a_table_is_a_quarter_of_its_bytes_and_is_looked_up_in_integers(runtime):
    model = network()
    data = bind(open_dataset({"tokens": TOKENS}), model.inputs)
    statistics = collect(model, Split("calib", data, tuple(range(len(TOKENS)))))
    needs = QuantizeNeeds(runtime.scheme(PROFILE), statistics)
    whole, kept = (Quantize(keep_float=names).run(model, needs).model for names in ((), ("rows",)))
    assert {item.node: item.runs for item in runtime.supports(whole, PROFILE)}["look"] == "int8"
    files = [runtime.lower(item, PROFILE) for item in (whole, kept)]
    assert files[1].size_bytes - files[0].size_bytes > 0.7 * 4 * WORDS * WIDTH
    got, wanted = answers(runtime, files[0]), answers(runtime, runtime.lower(model, PROFILE))
    error = np.abs(got - wanted)
    assert error.max() < 0.05 * np.ptp(wanted)
    assert error.max() > 0
