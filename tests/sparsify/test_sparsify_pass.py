"""The pass `sparsify`: exact zeros, trained and not."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from edgewright.calibration.dataset import Split, no_samples
from edgewright.calibration.opening import open_dataset
from edgewright.core.errors import PassError
from edgewright.ir.model import Model
from edgewright.ir.passes import MADE_BY
from edgewright.ir.rewrites.canonicalize import Canonicalize
from edgewright.optimizer.passes.registry import parse
from edgewright.optimizer.sparsify.masks import prunable_weights
from edgewright.optimizer.sparsify.sparsify import Sparsify
from edgewright.optimizer.train.finetune import Finetune
from edgewright.optimizer.train.form import training_form
from edgewright.optimizer.train.needs import TrainingNeeds
from onnx import TensorProto, helper, numpy_helper

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def digits():
    from sklearn.datasets import load_digits

    source = load_digits()
    return (source.data / 16).astype(np.float32), source.target.astype(np.int64)


def needs(model, digits=None, **more):
    if digits is None:
        return TrainingNeeds(train=no_samples("calib"), search=None, reference=model, **more)
    data = open_dataset({"x": digits[0], "y": digits[1]}, labels="y")
    calib, search = Split("calib", data, tuple(range(1200))), Split("search", data, tuple(range(1200, 1500)))
    return TrainingNeeds(train=calib, search=search, reference=model, threads=1, **more)


@pytest.fixture(scope="module")
def trained(digits):
    """A perceptron 64-48-10 that tells digits apart."""
    random = np.random.default_rng(0)
    weights = {
        "w": random.normal(0, 0.2, (64, 48)),
        "b": np.zeros(48),
        "v": random.normal(0, 0.2, (48, 10)),
        "c": np.zeros(10),
    }
    nodes = [
        helper.make_node("Gemm", ["x", "w", "b"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["r"]),
        helper.make_node("Gemm", ["r", "v", "c"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "mlp",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 10])],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    model = training_form(Canonicalize().run(Model.from_bytes(proto.SerializeToString())).model)
    return Finetune(epochs=10, lr=5e-3).run(model, needs(model, digits)).model


def right(model, digits):
    session = onnxruntime.InferenceSession(model.to_bytes())
    (answers,) = session.run(None, {"x": digits[0][1500:]})
    return float((answers.argmax(1) == digits[1][1500:]).mean())


def zeros(model):
    held = model.weights()
    names = prunable_weights(model)
    return sum((held[name] == 0).sum() for name in names) / sum(held[name].size for name in names)


def test_without_data_the_smallest_weights_are_zero_at_once(trained):
    result = Sparsify(amount=0.5).run(trained, needs(trained))
    assert zeros(result.model) == pytest.approx(0.5, abs=1e-3)
    before, after = trained.weights(), result.model.weights()
    assert all(((after[name] == before[name]) | (after[name] == 0)).all() for name in before)
    assert {node.op_type for node in result.model.graph if node.metadata_props.get(MADE_BY) == "sparsify"} == {"Gemm"}
    assert any("no speed-up" in note for note in result.notes)
    assert any("compressed (zlib, level 9)" in note for note in result.notes)


def test_training_wins_back_what_zeros_lose(trained, digits):
    options = Sparsify(amount=0.85, epochs=12, lr=3e-3)
    result = options.run(trained, needs(trained, digits))
    assert zeros(result.model) == pytest.approx(0.85, abs=1e-3)
    at_once = Sparsify(amount=0.85).run(trained, needs(trained)).model
    assert right(trained, digits) > 0.85
    assert right(result.model, digits) > right(at_once, digits)
    assert options.run(trained, needs(trained, digits)).model.digest() == result.model.digest()


@pytest.mark.parametrize("options", [{"schedule": "one-shot"}, {"importance": "taylor"}, {"allocation": "uniform"}])
def test_other_ways(trained, digits, options):
    result = Sparsify(amount=0.7, epochs=2, **options).run(trained, needs(trained, digits))
    assert zeros(result.model) == pytest.approx(0.7, abs=1e-3)


def test_a_kept_layer_has_no_zeros(trained):
    layer = next(iter(prunable_weights(trained).values()))
    made = Sparsify(amount=0.5, keep=(layer,)).run(trained, needs(trained)).model
    name = next(name for name, of in prunable_weights(trained).items() if of == layer)
    assert (made.weights()[name] != 0).all()


def test_refusals(trained):
    for options, why in (({"amount": 1.0}, "amount=1.0 is no share"), ({"method": ("kd", "features")}, "is for distill")):
        with pytest.raises(PassError, match=why):
            Sparsify(**options)
    with pytest.raises(PassError, match="unknown layer 'nothing'"):
        Sparsify(keep=("nothing",)).run(trained, needs(trained))


def test_the_text_form():
    text = "sparsify{epochs=5,amount=0.9,schedule=one-shot}"
    assert str(parse(text)) == text
