"""Teachers and students on real digits."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from edgewright.core.errors import EdgewrightError, PassError
from edgewright.core.store import StepStore
from edgewright.ir.model import Model
from edgewright.ir.verify import verify
from edgewright.optimizer.distill.distill import Distill
from edgewright.optimizer.distill.matching import matcher
from edgewright.optimizer.distill.pairs import automatic_pairs, named_pairs
from edgewright.optimizer.distill.students import in_place_of
from edgewright.optimizer.distill.teacher import Teacher
from edgewright.optimizer.passes.registry import parse
from edgewright.optimizer.train.batches import Order, opened, shuffled
from edgewright.optimizer.train.finetune import Finetune
from train.small_models import Recorder, accuracy, cnn, damaged, digit_needs, graph, is_one_sentence, mlp, split

CPU = torch.device("cpu")
QUICK = {"epochs": 4, "batch": 32, "lr": 0.01}


@cache
def reference() -> Model:
    """A network that knows digits."""
    fresh = cnn(softmax=True)
    return Finetune(epochs=6, batch=32, lr=0.01).run(fresh, digit_needs(fresh, 600, 100)).model


@cache
def broken() -> Model:
    return damaged(reference(), 1.0)


@pytest.mark.parametrize(
    "options",
    [{}, {"method": ("dkd",)}, {"method": ("kd", "features")}, {"labels": "ignore"}, {"augment": "shift"}],
    ids=str,
)
def test_a_damaged_model_learns_from_what_it_was(options: dict[str, Any]) -> None:
    result = Distill(**QUICK, **options).run(broken(), digit_needs(reference(), 400, 100))
    assert accuracy(broken()) < accuracy(reference()) - 0.1
    assert accuracy(result.model) > accuracy(reference()) - 0.06
    verify(result.model)


def test_without_labels_a_teacher_is_enough_also_for_another_architecture() -> None:
    student = cnn((6, 12), seed=3, prefix="s", x="image", y="answer")
    needs = digit_needs(reference(), 600, 100, labels=False, student=student)
    result = Distill(epochs=10, batch=32, lr=0.01).run(reference(), needs)
    assert [spec.name for spec in result.model.inputs] == ["x"]
    assert [spec.name for spec in result.model.outputs] == ["y"]
    assert accuracy(in_place_of(reference(), student)) < 0.3
    assert accuracy(result.model) > 0.85
    assert "student of the user's" in result.notes[0]
    assert "agreement" in result.notes[1]


def test_another_teacher_says_what_is_right() -> None:
    wrong = reference().clone()
    for name in ("head", "bias"):  # a teacher that calls every digit the next one
        value = wrong.graph.initializers[name]
        assert value.const_value is not None
        value.const_value = type(value.const_value)(np.roll(value.const_value.numpy(), 1, axis=0), name=name)
    needs = digit_needs(reference(), 400, 100, labels=False, teacher=wrong)
    result = Distill(epochs=8, batch=32, lr=0.01).run(reference(), needs)
    assert accuracy(result.model) < accuracy(reference()) - 0.5
    assert "the user's teacher" in result.notes[0]
    assert "(before: 0)" in result.notes[1]


def test_a_second_run_is_remembered_and_the_teacher_belongs_to_the_key(tmp_path: Path) -> None:
    store, options = StepStore(tmp_path), Distill(epochs=1, batch=32, method=("kd", "features"))
    needs = digit_needs(reference(), 64, 32, store=store)
    first = options.run(broken(), needs)
    seen = Recorder()
    again = options.run(broken(), replace(needs, progress=seen))
    assert again.model.digest() == first.model.digest()
    assert "train" not in seen.tasks
    other = options.run(broken(), replace(needs, teacher=damaged(reference(), 0.1)))
    assert other.model.digest() != first.model.digest()


def test_remembered_answers_are_what_the_teacher_says() -> None:
    needs = digit_needs(reference(), 96, 0)
    data = opened(needs.train, needs.progress)
    teacher = Teacher(reference(), reference())
    order = Order(len(data), 32, 0)
    batch = next(shuffled(data, order, range(1), 0, None, CPU))
    computed = teacher.values(batch)
    teacher.prepare(data, CPU)
    remembered = teacher.values(batch)
    for name in ("y", "scores"):
        torch.testing.assert_close(remembered[name], computed[name])
    moved = next(shuffled(data, order, range(1), 0, lambda inputs, _: {k: v * 0 for k, v in inputs.items()}, CPU))
    assert not torch.allclose(teacher.values(moved)["scores"], remembered["scores"])


def test_embeddings_of_length_one_are_compared_by_angle() -> None:
    def coder(seed: int) -> Model:
        generator = np.random.default_rng(seed)
        weights = {"w": generator.normal(0, 1, (6, 8)).astype(np.float32)}
        nodes: list[Any] = [("MatMul", ["x", "w"], "e", {}), ("LpNormalization", ["e"], "y", {"axis": -1})]
        return graph(nodes, weights, {"x": ("n", 6)}, {"y": ("n", 8)})

    teacher, student = coder(0), coder(1)
    x = np.random.default_rng(2).normal(0, 1, (200, 6)).astype(np.float32)
    data = split(teacher, {"x": x})
    needs = replace(digit_needs(reference()), train=data, search=replace(data, name="search"), reference=teacher)
    result = Distill(epochs=30, batch=20, lr=0.03, ema=0.9).run(student, needs)
    assert "cosine 0.9" in result.notes[1]
    answers = []
    for model in (teacher, result.model):
        made = x @ model.weights()["w"]
        answers.append(made / np.linalg.norm(made, axis=1, keepdims=True))
    assert (answers[0] * answers[1]).sum(1).mean() > 0.97


def test_values_are_matched_by_their_distance() -> None:
    teacher, student = mlp([4, 16, 2], seed=0), mlp([4, 8, 2], seed=1)
    x = np.random.default_rng(2).normal(0, 1, (256, 4)).astype(np.float32)
    data = split(teacher, {"x": x})
    needs = replace(digit_needs(reference()), train=data, search=replace(data, name="search"), reference=teacher)
    result = Distill(epochs=30, batch=32, lr=0.02).run(student, needs)
    assert "R2 to the teacher 0.9" in result.notes[1]


def test_tensors_are_paired_by_name_size_and_depth() -> None:
    same = automatic_pairs(broken(), reference())
    assert [str(pair) for pair in same] == ["0.relu:0.relu", "1.relu:1.relu", "1.pool:1.pool"]
    other = automatic_pairs(cnn((6, 12), prefix="s"), reference())
    assert [(pair.student.name, pair.teacher.name) for pair in other][:2] == [("s0.relu", "0.relu"), ("s1.relu", "1.relu")]
    flat = automatic_pairs(mlp([4, 8, 8, 8, 3]), mlp([4, 16, 16, 3]))
    assert 1 <= len(flat) <= 3
    chosen = named_pairs(("s0.conv:1.relu",), cnn(prefix="s"), reference())
    distance = matcher(chosen, 0)({"s0.conv": torch.rand(2, 8, 8, 8)}, {"1.relu": torch.rand(2, 8, 4, 4)})
    assert 0 <= float(distance) <= 4


def test_regressors_stand_between_different_widths_and_are_seeded() -> None:
    pairs = automatic_pairs(cnn((6, 12), prefix="s"), reference())
    first, again, other = matcher(pairs, 0), matcher(pairs, 0), matcher(pairs, 1)
    weights = [[item.detach() for item in module.parameters()] for module in (first, again, other)]
    assert len(weights[0]) == 3
    assert all(torch.equal(a, b) for a, b in zip(weights[0], weights[1], strict=True))
    assert not torch.equal(weights[0][0], weights[2][0])


def test_a_students_names_step_aside() -> None:
    student = cnn(prefix="s", x="y", y="x")  # input and output named the other way round
    placed = in_place_of(reference(), student)
    verify(placed)
    assert ([spec.name for spec in placed.inputs], [spec.name for spec in placed.outputs]) == (["x"], ["y"])
    inner = cnn(prefix="", x="image", y="answer", softmax=True)
    inner.graph.node("0.norm/node").outputs[0].name = "y"
    verify(in_place_of(reference(), inner))


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        ({"teacher": mlp([64, 10])}, {}, "give a teacher that takes the same data"),
        ({"teacher": cnn().clone()}, {"pairs": ("nothing:1.relu",), "method": ("kd", "features")}, "names no tensor"),
        ({"student": mlp([64, 10])}, {}, "give a student that takes and answers the same"),
        ({"labels": False}, {"method": ("features",)}, "features alone teach no answer"),
    ],
)
def test_what_does_not_fit_is_one_sentence(change: dict[str, Any], options: dict[str, Any], said: str) -> None:
    with pytest.raises(PassError, match=said) as caught:
        Distill(**options).run(broken(), digit_needs(reference(), 32, 0, **change))
    assert is_one_sentence(caught.value)


def test_a_teacher_of_other_classes_is_one_sentence() -> None:
    teacher = mlp([4, 5])
    needs = replace(
        digit_needs(reference(), 32, 0), reference=teacher, train=split(teacher, {"x": np.zeros((32, 4), np.float32)})
    )
    with pytest.raises(PassError, match=r"the shape \[5\] a sample and the student's \[3\]") as caught:
        Distill().run(mlp([4, 3]), needs)
    assert is_one_sentence(caught.value)


def test_options_are_checked_and_round_trip() -> None:
    text = "distill{epochs=3,method=kd+features,temperature=2.0,pairs=a:b+c:d,labels=ignore}"
    assert str(parse(text)) == text
    for wrong in ("method=kd+dkd", "pairs=a:b", "temperature=0", "teacher-weight=0", "method=", "feature-weight=0", "beta=-1"):
        with pytest.raises(EdgewrightError):
            parse(f"distill{{{wrong}}}")
