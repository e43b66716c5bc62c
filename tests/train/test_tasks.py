"""Which question graph and labels pose, and the loss that is taken for it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from edgewright.core.errors import DataError, PassError
from edgewright.core.progress import Silent
from edgewright.ir.model import Model
from edgewright.optimizer.train.batches import TrainingData
from edgewright.optimizer.train.finetune import Finetune
from edgewright.optimizer.train.judging import judge
from edgewright.optimizer.train.module import GraphModule
from edgewright.optimizer.train.needs import TrainingNeeds
from edgewright.optimizer.train.objective import Objective
from edgewright.optimizer.train.supervised import Supervised, supervised
from edgewright.optimizer.train.task import answer_of, find_task, unlabelled_task
from numpy.typing import NDArray
from torch.nn import functional
from train.small_models import cnn, graph, is_one_sentence, mlp, split

CPU = torch.device("cpu")
ROWS = 12


def dense_classes(*, channels_last: bool = False) -> Model:
    """A 1x1 convolution to 3 classes a position, over positions [4, 5]."""
    weights = {"w": np.random.default_rng(0).normal(0, 1, (3, 2, 1, 1)).astype(np.float32)}
    last = "y" if not channels_last else "c"
    nodes: list[Any] = [("Conv", ["x", "w"], last, {"kernel_shape": [1, 1]})]
    if channels_last:
        nodes.append(("Transpose", ["c"], "t", {"perm": [0, 2, 3, 1]}))
        nodes.append(("Softmax", ["t"], "y", {"axis": -1}))
    shape = ("n", 4, 5, 3) if channels_last else ("n", 3, 4, 5)
    return graph(nodes, weights, {"x": ("n", 2, 4, 5)}, {"y": shape})


def labels(*shape: int, classes: int = 3) -> NDArray[np.int64]:
    return np.random.default_rng(1).integers(0, classes, (ROWS, *shape))


@pytest.mark.parametrize(
    ("model", "given", "kind"),
    [
        (mlp([4, 3]), labels(), "classification"),
        (mlp([4, 3], "Softmax"), labels(), "classification"),
        (mlp([4, 3], "LogSoftmax"), labels(), "classification"),
        (mlp([4, 3], "Sigmoid"), labels(), "classification"),
        (mlp([4, 3]), labels(1), "classification"),
        (mlp([4, 3]), labels().astype(np.float32), "regression-or-error"),
        (mlp([4, 3], "Softmax"), np.eye(3)[labels()], "classification"),
        (mlp([4, 3], "Sigmoid"), labels(3, classes=2), "binary"),
        (mlp([4, 1], "Sigmoid"), labels(classes=2), "binary"),
        (mlp([4, 1]), labels(classes=2), "binary"),
        (mlp([4, 1]), labels(classes=9), "regression"),
        (mlp([4, 3]), np.zeros((ROWS, 3)) + 0.5, "regression"),
        (mlp([4, 3, 4]), None, "reconstruction"),
        (mlp([4, 3]), None, None),
        (dense_classes(), labels(4, 5), "classification"),
        (dense_classes(channels_last=True), labels(4, 5), "classification"),
    ],
)
def test_the_task_is_found(model: Model, given: NDArray[Any] | None, kind: str | None) -> None:
    if kind == "regression-or-error":
        kind = "classification"  # whole numbers in floats are class numbers
    task = find_task(model, given)
    assert (None if task is None else task.kind) == kind


def test_the_loss_reads_what_goes_into_the_softmax() -> None:
    assert answer_of(mlp([4, 3], "Softmax")).scores == "scores"
    assert answer_of(mlp([4, 3])).scores == "y"
    assert answer_of(cnn(softmax=True)).ending == "softmax"
    dense = find_task(dense_classes(channels_last=True), labels(4, 5))
    assert dense is not None
    assert (dense.axis, dense.classes) == (3, 3)


def test_a_softmax_behind_a_reshape_is_seen() -> None:
    nodes: list[Any] = [
        ("Softmax", ["x"], "p", {"axis": 1}),
        ("Flatten", ["p"], "y", {}),
    ]
    model = graph(nodes, {}, {"x": ("n", 3, 1, 1)}, {"y": ("n", 3)})
    assert (answer_of(model).ending, answer_of(model).scores) == ("softmax", "x")


def measured(model: Model, objective: Objective, x: NDArray[Any], y: NDArray[Any] | None) -> tuple[float, float]:
    data = TrainingData(split(model, {"x": x} if y is None else {"x": x, "y": y}), Silent())
    objective.prepare(data, CPU)
    found = judge({"": GraphModule(model)}, objective, data, 5, CPU, mixed=False)
    return found.loss, found.score


def test_losses_are_torchs_on_the_scores() -> None:
    x = np.random.default_rng(2).normal(0, 1, (ROWS, 4)).astype(np.float32)
    for ending in (None, "Softmax", "LogSoftmax"):
        model, truth = mlp([4, 3], ending), labels()
        weights = model.weights()
        scores = torch.from_numpy(x @ weights["w0"] + weights["b0"])
        loss, score = measured(model, supervised(model, needs_of(model, x, truth), smoothing=0.1), x, truth)
        expected = functional.cross_entropy(scores, torch.from_numpy(truth), label_smoothing=0.1)
        assert loss == pytest.approx(float(expected), rel=1e-5)
        assert score == pytest.approx(float((scores.argmax(1).numpy() == truth).mean()))
    model, yes = mlp([4, 1], "Sigmoid"), labels(classes=2)
    weights = model.weights()
    scores = torch.from_numpy(x @ weights["w0"] + weights["b0"])[:, 0]
    loss, _ = measured(model, supervised(model, needs_of(model, x, yes)), x, yes)
    expected = functional.binary_cross_entropy_with_logits(scores, torch.from_numpy(yes).float())
    assert loss == pytest.approx(float(expected), rel=1e-5)


def test_scores_far_apart_give_a_finite_loss() -> None:
    model = mlp([4, 3], "Softmax")
    x = np.full((ROWS, 4), 1e4, np.float32) * np.random.default_rng(0).normal(size=(ROWS, 4)).astype(np.float32)
    truth = labels()
    loss, _ = measured(model, supervised(model, needs_of(model, x, truth)), x, truth)
    assert np.isfinite(loss)
    assert loss > 10


def test_dense_classes_are_counted_by_position() -> None:
    x = np.random.default_rng(2).normal(0, 1, (ROWS, 2, 4, 5)).astype(np.float32)
    truth = labels(4, 5)
    first = dense_classes()
    last = dense_classes(channels_last=True)
    results = [measured(model, supervised(model, needs_of(model, x, truth)), x, truth) for model in (first, last)]
    assert results[0] == pytest.approx(results[1], rel=1e-5)
    scores = np.einsum("oc,nchw->nohw", first.weights()["w"][:, :, 0, 0], x)
    assert results[0][1] == pytest.approx((scores.argmax(1) == truth).mean())


def test_values_are_judged_by_r2_and_their_scale_does_not_matter() -> None:
    x = np.random.default_rng(2).normal(0, 1, (ROWS, 4)).astype(np.float32)
    model = mlp([4, 1])
    y = (x @ np.array([1.0, 2, 3, 4]) * 1000).astype(np.float32)
    weights = model.weights()
    made = (x @ weights["w0"] + weights["b0"])[:, 0]
    _, score = measured(model, supervised(model, needs_of(model, x, y)), x, y)
    assert score == pytest.approx(1 - np.mean((made - y) ** 2) / y.var(), rel=1e-3)


def test_each_value_counts_in_its_own_unit() -> None:
    x = np.random.default_rng(2).normal(0, 1, (ROWS, 4)).astype(np.float32)
    model = mlp([4, 2])
    weights = model.weights()
    made = x @ weights["w0"] + weights["b0"]
    y = made + np.random.default_rng(3).normal(0, 0.3, made.shape) * np.array([1.0, 1e4])
    loss, score = measured(model, supervised(model, needs_of(model, x, y)), x, y)
    errors = ((made - y) / y.std(0)) ** 2
    assert score == pytest.approx(1 - errors.mean(), rel=1e-3)
    assert loss == pytest.approx(errors.mean(), rel=1e-3)


def needs_of(model: Model, x: NDArray[Any], y: NDArray[Any] | None, **more: Any) -> TrainingNeeds:
    arrays = {"x": x} if y is None else {"x": x, "y": y}
    return TrainingNeeds(split(model, arrays), None, model, threads=1, **more)


def test_a_regression_and_a_reconstruction_are_learned() -> None:
    generator = np.random.default_rng(3)
    x = generator.normal(0, 1, (256, 4)).astype(np.float32)
    y = (20 + 30 * (x @ np.array([1.0, -2, 0.5, 0]))).astype(np.float32)
    model = mlp([4, 1])
    taught = Finetune(epochs=30, lr=1.0, batch=32, ema=0).run(model, needs_of(model, x, y)).model.weights()
    made = (x @ taught["w0"] + taught["b0"])[:, 0]
    assert np.mean((made - y) ** 2) < 0.05 * y.var()
    flat = (x[:, :2] @ generator.normal(0, 1, (2, 8))).astype(np.float32)
    coder = mlp([8, 16, 8])
    before, after = (
        measured(m, supervised(m, needs_of(m, flat, None)), flat, None)[1]
        for m in (coder, Finetune(epochs=25, lr=0.01, batch=32).run(coder, needs_of(coder, flat, None)).model)
    )
    assert before < 0.5
    assert after > 0.9


@pytest.mark.parametrize(
    ("model", "given", "said"),
    [
        (mlp([4, 3]), labels(classes=3) + 1, "is none of the model's 3 classes"),
        (mlp([4, 3], "Softmax"), labels(classes=3) - 1, "is none of the model's 3 classes"),
        (mlp([4, 1], "Sigmoid"), labels(2), "2 numbers a sample and the model's output 1"),
        (mlp([4, 3]), np.full((ROWS,), np.nan), "is not a finite number"),
        (mlp([4, 3], "Softmax"), labels(7), "fit neither as classes nor as values"),
    ],
)
def test_labels_that_do_not_fit_are_one_sentence(model: Model, given: NDArray[Any], said: str) -> None:
    with pytest.raises(DataError, match=said) as caught:
        find_task(model, given)
    assert is_one_sentence(caught.value)


def test_no_labels_and_no_teacher_is_one_sentence() -> None:
    model = mlp([4, 3])
    x = np.zeros((ROWS, 4), np.float32)
    with pytest.raises(DataError, match="no labels, so there is nothing to learn from") as caught:
        Finetune().run(model, needs_of(model, x, None))
    assert is_one_sentence(caught.value)
    with pytest.raises(PassError, match="no input has the shape"):
        Finetune(task="reconstruction").run(model, needs_of(model, x, None))
    with pytest.raises(PassError, match="must be a share below 1"):
        Finetune(smoothing=1.5).run(model, needs_of(model, x, labels()))
    with pytest.raises(PassError, match="distil them from a teacher"):
        Supervised(find_task(model, None, "embedding"))  # type: ignore[arg-type]


def test_without_labels_either_graph_tells_of_classes() -> None:
    plain, classes, yes = mlp([4, 3]), mlp([4, 3], "Softmax"), mlp([4, 3], "Sigmoid")
    assert unlabelled_task(plain, plain).kind == "regression"
    assert unlabelled_task(plain, classes).kind == "classification"
    assert unlabelled_task(classes, plain).kind == "classification"
    assert unlabelled_task(yes, plain).kind == "binary"
    assert unlabelled_task(plain, plain, "embedding").kind == "embedding"
