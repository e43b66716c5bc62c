"""The pass `prune`: what it makes of a trained network, with data and without."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx_ir
import onnxruntime
import pytest
from edgewright.calibration.dataset import Split, no_samples
from edgewright.calibration.opening import open_dataset
from edgewright.core.errors import PassError
from edgewright.core.store import StepStore
from edgewright.device_profiles.loader import load
from edgewright.ir.model import Model
from edgewright.ir.passes import MADE_BY
from edgewright.ir.pipeline import Pipeline, pass_text
from edgewright.ir.rewrites.canonicalize import Canonicalize
from edgewright.ir.statistics import macs, statistics
from edgewright.optimizer.passes.registry import parse
from edgewright.optimizer.prune.costs import counted_macs
from edgewright.optimizer.prune.groups import find_groups
from edgewright.optimizer.prune.prune import Prune
from edgewright.optimizer.prune.remove import remove
from edgewright.optimizer.train.finetune import Finetune
from edgewright.optimizer.train.form import training_form
from edgewright.optimizer.train.needs import TrainingNeeds
from onnx import TensorProto, helper, numpy_helper
from prune import nets

torch = pytest.importorskip("torch")

CHANNELS = {"stem": (16, 1, 3), "expand": (32, 16, 1), "depth": (32, 1, 3), "project": (16, 32, 1), "down": (32, 8, 3)}


def network() -> Model:
    """A residual network with a depthwise and a grouped convolution, weights by seed."""
    random = np.random.default_rng(0)
    nodes, weights = [], {}

    def conv(name, read, relu=True, **attributes):
        made, inner, kernel = CHANNELS[name]
        weights[name] = random.normal(0, np.sqrt(2 / (inner * kernel**2)), (made, inner, kernel, kernel))
        weights.update({f"{name}.{part}": np.full(made, value) for part, value in (("g", 1), ("b", 0), ("m", 0), ("v", 1))})
        pad = kernel // 2
        nodes.append(helper.make_node("Conv", [read, name], [f"{name}.c"], pads=[pad] * 4, **attributes))
        nodes.append(
            helper.make_node("BatchNormalization", [f"{name}.c", *(f"{name}.{part}" for part in "gbmv")], [f"{name}.n"])
        )
        if relu:
            nodes.append(helper.make_node("Relu", [f"{name}.n"], [f"{name}.r"]))

    conv("stem", "x")
    conv("expand", "stem.r")
    conv("depth", "expand.r", group=32)
    conv("project", "depth.r", relu=False)
    nodes += [helper.make_node("Add", ["stem.r", "project.n"], ["sum"]), helper.make_node("Relu", ["sum"], ["sum.r"])]
    conv("down", "sum.r", group=2, strides=[2, 2])
    nodes += [helper.make_node("GlobalAveragePool", ["down.r"], ["p"]), helper.make_node("Flatten", ["p"], ["f"])]
    weights |= {"head": random.normal(0, 0.2, (10, 32)), "bias": np.zeros(10)}
    nodes += [
        helper.make_node("Gemm", ["f", "head", "bias"], ["scores"], transB=1),
        helper.make_node("Softmax", ["scores"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 1, 8, 8])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 10])],
        [numpy_helper.from_array(array.astype(np.float32), name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return training_form(Canonicalize().run(Model.from_bytes(model.SerializeToString())).model)


@pytest.fixture(scope="module")
def trained():
    """(model in training form, samples and labels): scikit-learn's digits."""
    from sklearn.datasets import load_digits

    source = load_digits()
    x, y = (source.images[:, None] / 16).astype(np.float32), source.target.astype(np.int64)
    model = network()
    return Finetune(epochs=6, batch=32, lr=1e-2, patience=0).run(model, needs((model, x, y))).model, x, y


def needs(trained, labels=True, **more):
    model, x, y = trained
    name = model.inputs[0].name
    arrays = {name: x[:1200], "y": y[:1200]} if labels else {name: x[:1200]}
    data = open_dataset(arrays, labels="y" if labels else None)
    return TrainingNeeds(train=Split("calib", data, tuple(range(600))), search=None, reference=model, threads=1, **more)


def without_data(model, **more):
    return TrainingNeeds(train=no_samples("calib"), search=None, reference=model, **more)


def right(model, trained):
    _, x, y = trained
    session = onnxruntime.InferenceSession(model.to_bytes())
    (answers,) = session.run(None, {model.inputs[0].name: x[1200:]})
    return float((answers.argmax(1) == y[1200:]).mean())


def removed(before, after):
    return 1 - macs(after) / macs(before)


@pytest.mark.parametrize(
    ("allocation", "importance"),
    [
        ("uniform", "l2"),
        ("global", "l1"),
        ("isomorphic", "bn-scale"),
        ("latency", "fpgm"),
        ("global", "bn-scale"),
        ("macs", "l2"),
    ],
)
def test_the_amount_goes_and_the_model_runs(trained, allocation, importance):
    model = trained[0]
    result = Prune(amount=0.4, allocation=allocation, importance=importance).run(model, without_data(model))
    assert result.changed
    assert 0.4 <= removed(model, result.model) < 0.55
    assert right(result.model, trained) >= 0
    assert any("multiply-accumulates" in note for note in result.notes)
    assert any("instead of time" in note for note in result.notes) == (allocation == "latency")


def test_taylor_keeps_more_than_chance_and_repair_helps(trained):
    model = trained[0]
    assert right(model, trained) > 0.8
    plain = Prune(amount=0.4, importance="l2", allocation="uniform").run(model, without_data(model)).model
    taylor = Prune(amount=0.4, allocation="uniform").run(model, needs(trained)).model
    fitted = Prune(amount=0.4, allocation="uniform", reconstruct=True).run(model, needs(trained)).model
    assert right(taylor, trained) > right(plain, trained)
    assert right(fitted, trained) > right(taylor, trained)


def test_taylor_without_labels_draws_answers(trained):
    model = trained[0]
    result = Prune(amount=0.4, allocation="uniform").run(model, needs(trained, labels=False))
    assert not any("l2" in note for note in result.notes)
    assert right(result.model, trained) > 0.4


def test_in_steps_with_training_between(trained):
    model = trained[0]
    options = Prune(amount=0.6, allocation="uniform", schedule="iterative", steps=2, epochs=3)
    result = options.run(model, needs(trained))
    assert removed(model, result.model) >= 0.6
    assert sum("between removals" in note for note in result.notes) == 1
    once = Prune(amount=0.6, allocation="uniform").run(model, needs(trained)).model
    assert right(result.model, trained) > right(once, trained)
    assert options.run(model, needs(trained)).model.digest() == result.model.digest()


def _needs_of(model: Model) -> TrainingNeeds:
    """Twelve samples of noise for one of the small networks."""
    random = np.random.default_rng(0)
    name = model.inputs[0].name
    data = open_dataset({name: random.normal(size=(12, 3, 8, 8)).astype(np.float32), "y": np.arange(12) % 3}, labels="y")
    return TrainingNeeds(train=Split("calib", data, tuple(range(12))), search=None, reference=model, threads=1)


def test_in_steps_until_a_grouped_convolution_is_a_depthwise_one() -> None:
    model = training_form(nets.shuffled_groups())
    options = Prune(amount=0.9, align="1", allocation="uniform", schedule="iterative", steps=3)
    result = options.run(model, _needs_of(model))
    assert removed(model, result.model) >= 0.9
    assert sum("between removals" in note for note in result.notes) == 2
    assert 1 in {value.shape[1] for value in result.model.graph.initializers.values() if len(value.shape) == 4}


def test_what_cannot_go_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    model = training_form(nets.shuffled_groups())
    options = Prune(amount=0.93, align="1", allocation="uniform", schedule="iterative", steps=3)
    with pytest.raises(PassError, match=r"93% of the multiply-accumulates cannot be removed: .* 92\.2% is the most"):
        options.run(model, replace(_needs_of(model), store=StepStore(tmp_path)))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_in_steps_each_group_keeps_to_its_own_share() -> None:
    model = training_form(nets.shuffled_then_halved())
    first, second, *others = find_groups(model).groups
    # The first half of the first group's units are the least important: what is left of it then lies behind the second.
    weights = model.graph.initializers[first.weights[0].tensor]
    array = weights.const_value.numpy().copy()
    array[first.weights[0].index[:3].ravel()] *= 1e-3
    weights.const_value = onnx_ir.tensor(array, name=weights.name)
    options = Prune(ratios=(f"{first.name}:0.5",), align="1", importance="l2", schedule="iterative", steps=2)
    result = options.run(model, _needs_of(model))
    assert sorted(group.units for group in find_groups(result.model).groups) == sorted(
        [3, second.units, *(group.units for group in others)]
    )
    assert f"pruned most: {first.name} 6 to 3" in result.notes


@pytest.mark.parametrize("of", ["parameters", "size"])
def test_other_targets(trained, of):
    model = trained[0]
    result = Prune(amount=0.5, of=of, importance="l2", allocation="uniform").run(model, without_data(model))
    before, after = (
        getattr(statistics(item), "parameters" if of == "parameters" else "weight_bytes") for item in (model, result.model)
    )
    assert 0.5 <= 1 - after / before < 0.65


def test_costs_are_those_of_a_real_removal(trained):
    model = trained[0]
    groups = find_groups(model).groups
    random = np.random.default_rng(0)
    keep = {}
    for group in groups:
        parts = 1 if group.partitions is None else len(np.unique(group.partitions))
        each = int(random.integers(1, group.units // parts + 1))
        numbers = np.zeros(group.units, int) if group.partitions is None else group.partitions
        keep[group.name] = sorted(int(unit) for part in np.unique(numbers) for unit in np.flatnonzero(numbers == part)[:each])
    made = remove(model, keep)
    widths = {name: len(units) for name, units in keep.items()}
    assert counted_macs(model, groups).total(widths) == macs(made)


def test_ratios_and_keep(trained):
    model = trained[0]
    groups = find_groups(model).groups
    first, second = groups[0], groups[1]
    result = Prune(ratios=(f"{second.name}:0.5",), align="1", importance="l2").run(model, without_data(model))
    left = {group.name: group.units for group in find_groups(result.model).groups}
    assert left[second.name] == second.units // 2
    assert all(left[group.name] == group.units for group in groups if group is not second)
    kept = Prune(amount=0.3, keep=(first.name,), importance="l2").run(model, without_data(model)).model
    assert {group.name: group.units for group in find_groups(kept).groups}[first.name] == first.units


def test_what_lost_units_is_stamped(trained):
    model = trained[0]
    second = find_groups(model).groups[1]
    result = Prune(ratios=(f"{second.name}:0.5",), importance="l2").run(model, without_data(model)).model
    stamped = {node.outputs[0].name for node in result.graph if node.metadata_props.get(MADE_BY) == "prune"}
    assert second.name in stamped
    assert all(
        node.op_type in ("Conv", "BatchNormalization", "Gemm", "MatMul", "Add")
        for node in result.graph
        if node.outputs[0].name in stamped
    )
    assert not any(node.metadata_props.get(MADE_BY) == "prune" for node in model.graph)


def test_a_profile_of_another_machine_is_told(trained):
    model = trained[0]
    other = "arm64-linux" if load("x86-64-avx2").arch == "x86_64" else "x86-64-avx2"
    result = Prune(amount=0.3, importance="l2").run(model, without_data(model, profile=load("raspberry-pi-4b")))
    assert any("this machine is no raspberry-pi-4b" in note for note in result.notes), other
    with pytest.raises(PassError, match="of=latency cannot be measured"):
        Prune(of="latency", importance="l2").run(model, without_data(model))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"amount": 0.99}, "is the most"),
        ({"keep": ("nothing",)}, "unknown layer 'nothing'"),
        ({"kind": ("heads",)}, "nothing of this model can be pruned"),
        ({"align": "odd"}, "neither 'profile' nor a number"),
        ({"reconstruct": True}, "needs data"),
    ],
)
def test_refusals_are_one_sentence(trained, options, why):
    with pytest.raises(PassError, match=why) as error:
        Prune(importance="l2", **options).run(trained[0], without_data(trained[0]))
    assert str(error.value).count(". ") == 0


def test_the_text_form():
    text = "prune{amount=0.6,of=parameters,kind=channels+heads,ratios=conv:0.3+fc:0.5,schedule=iterative,lr=0.01}"
    pipeline = parse(text)
    assert str(pipeline) == text
    assert pass_text(Prune()) == "prune"
    with pytest.raises(PassError, match="no share to remove"):
        parse("prune{amount=1.5}")


def test_the_pipeline_hands_it_what_it_needs(trained):
    model = trained[0]
    result, steps = Pipeline([Prune(amount=0.4, importance="l2")]).run(model, {TrainingNeeds: without_data(model)})
    assert steps[0].changed
    assert isinstance(result, Model)
