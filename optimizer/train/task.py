"""What a model answers and how its labels say so: found from graph and labels, or named by the user."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import onnx_ir
from numpy.typing import NDArray

from ...calibration.dataset import Split, read_labels
from ...core.errors import DataError, ModelError, PassError
from ...ir.model import Model, spec

Kind = Literal["classification", "binary", "regression", "reconstruction", "embedding"]
Ending = Literal["softmax", "sigmoid", "none"]

_ENDINGS: dict[str, Ending] = {"Softmax": "softmax", "LogSoftmax": "softmax", "Sigmoid": "sigmoid"}
_ALIKE = frozenset({"Identity", "Cast", "Dropout"})
_RESHAPES = frozenset({"Flatten", "Reshape", "Squeeze", "Unsqueeze"})
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Answer:
    """The model's first output: `output` [n, *shape] is what it gives, `scores` what went into a last Softmax or Sigmoid.

    A loss on the scores is stable where one on probabilities is not. `shape` and `axis` (of the classes, where a softmax names
    one, batch axis counted) are those of the scores.
    """

    output: str
    scores: str
    ending: Ending
    shape: Shape
    axis: int | None

    @property
    def columns(self) -> int:
        """Numbers a sample."""
        return math.prod(self.shape)


def answer_of(model: Model) -> Answer:
    """The answer of a model; raises ModelError where its first output has axes of unknown size beside the batch."""
    output = model.graph.outputs[0]
    value, is_reshaped = output, False
    while (node := value.producer()) is not None and node.op_type in _ALIKE | _RESHAPES and node.inputs[0] is not None:
        is_reshaped = is_reshaped or node.op_type in _RESHAPES
        value = node.inputs[0]
    ending: Ending = "none" if node is None else _ENDINGS.get(node.op_type, "none")
    if node is None or ending == "none" or node.inputs[0] is None:
        return Answer(str(output.name), str(output.name), "none", _shape(output), None)
    scores = node.inputs[0]
    shape = _shape(scores if is_reshaped else output)
    if is_reshaped and sum(size > 1 for size in shape) > 1:
        # Which axis of the output is which of the scores is lost: probabilities are read as they are.
        return Answer(str(output.name), str(output.name), "none", _shape(output), None)
    axis = node.attributes.get_int("axis", -1) % (len(shape) + 1) if ending == "softmax" else None
    return Answer(str(output.name), str(scores.name), ending, shape, axis)


@dataclass(frozen=True)
class Task:
    """What is learned. `axis` is that of the classes in the scores, batch axis counted; `source` the input to reconstruct."""

    kind: Kind
    answer: Answer
    axis: int = 1
    source: str | None = None

    @property
    def classes(self) -> int:
        """Number of classes of a classification."""
        return self.answer.shape[self.axis - 1] if self.answer.shape else 1


def find_task(model: Model, labels: NDArray[Any] | None, wanted: Kind | None = None) -> Task | None:
    """The task that `model` and `labels` [n, ...] pose, or the `wanted` one.

    Without labels it is a reconstruction where output and input have one shape, else None: then only a teacher can say what is
    right. Raises DataError where the labels fit no answer of the model.
    """
    answer = answer_of(model)
    if wanted == "embedding":
        return Task("embedding", answer)
    if labels is None or wanted == "reconstruction":
        source = _same_shape(model, answer)
        if source is not None and answer.ending != "softmax":
            return Task("reconstruction", answer, source=source)
        if wanted == "reconstruction":
            raise PassError(f"no input has the shape {list(answer.shape)} of the output, so nothing can be reconstructed.")
        return None
    if labels.dtype.kind not in "biuf":
        raise DataError(f"labels are of type {labels.dtype}, which cannot be trained on; give numbers or names of classes.")
    task = _labelled(answer, labels, wanted)
    check_labels(task, labels)
    return task


def training_labels(split: Split) -> NDArray[Any] | None:
    """Labels [n, ...] of what is trained on, None where there are none; raises DataError where there are no samples."""
    if not len(split):
        raise DataError(f"the {split.name} split has no samples to train with; give more data, or a file of its own.")
    return read_labels(split.data, split.indices) if split.data.has_labels else None


def unlabelled_task(model: Model, teacher: Model, wanted: Kind | None = None) -> Task:
    """What `model` answers where only `teacher` says what is right, if not what is `wanted`.

    Classes where one of them ends in Softmax, yes or no where one ends in Sigmoid, else values.
    """
    answer, endings = answer_of(model), {answer_of(model).ending, answer_of(teacher).ending}
    found: Kind = "classification" if "softmax" in endings else "binary" if "sigmoid" in endings else "regression"
    wide = next((place for place, size in enumerate(answer.shape, start=1) if size > 1), 1)
    return Task(wanted or found, answer, answer.axis or wide)


def check_labels(task: Task, labels: NDArray[Any]) -> None:
    """Whether labels [n, ...] are ones of the task; raises DataError naming the first that is not."""
    if labels.dtype.kind == "f" and not np.isfinite(labels).all():
        bad = int(np.argmax(~np.isfinite(labels.reshape(len(labels), -1)).all(axis=1)))
        raise DataError(f"the label of sample {bad} is not a finite number; label it or remove it.")
    if task.kind == "classification" and not _is_distribution(labels, task):
        _refuse_outside(labels, task.classes)
    if task.kind == "binary":
        _refuse_outside(labels, 2)
    if task.kind in ("binary", "regression") and _numbers(labels) != task.answer.columns:
        raise DataError(
            f"labels have {_numbers(labels)} numbers a sample and the model's output {task.answer.columns}; give as many."
        )


def _labelled(answer: Answer, labels: NDArray[Any], wanted: Kind | None) -> Task:
    if wanted in ("binary", "regression"):
        return Task(wanted, answer)
    is_whole = bool((labels == np.round(labels)).all())
    if wanted != "classification" and answer.ending != "softmax":
        is_binary = is_whole and bool(np.isin(labels, (0, 1)).all()) and _numbers(labels) == answer.columns
        if is_binary and (answer.ending == "sigmoid" or answer.columns == 1):
            return Task("binary", answer)
        if not is_whole or answer.columns == 1:
            return Task("regression", answer)
    axis = _class_axis(answer, labels)
    if axis is not None:
        return Task("classification", answer, axis)
    if wanted != "classification" and answer.ending == "none" and _numbers(labels) == answer.columns:
        return Task("regression", answer)
    raise DataError(
        f"labels of shape {list(labels.shape[1:])} a sample fit neither as classes nor as values to an output of shape "
        f"{list(answer.shape)}; give one class number a sample, or name the task."
    )


def _class_axis(answer: Answer, labels: NDArray[Any]) -> int | None:
    """The axis of the scores that holds the classes which `labels` number, or whose distribution they give."""
    wide = [place for place, size in enumerate(answer.shape, start=1) if size > 1]
    given = tuple(size for size in labels.shape[1:] if size != 1)
    if len(wide) == 1 and (not given or given == (answer.columns,)):
        return wide[0]
    for axis in [answer.axis] if answer.axis is not None else [1, len(answer.shape)]:
        if axis is not None and given == tuple(answer.shape[place - 1] for place in wide if place != axis):
            return axis
    return None


def _is_distribution(labels: NDArray[Any], task: Task) -> bool:
    """Whether labels [n, classes] are one-hot, or shares that add up to one."""
    if _numbers(labels) != task.classes or task.classes < 2:
        return False
    flat = labels.reshape(len(labels), -1).astype(np.float64)
    return bool((flat >= 0).all() and np.allclose(flat.sum(axis=1), 1, atol=1e-3))


def _refuse_outside(labels: NDArray[Any], classes: int) -> None:
    flat = labels.reshape(len(labels), -1)
    bad = (flat != np.round(flat)) | (flat < 0) | (flat >= classes)
    if bad.any():
        sample, place = np.unravel_index(int(np.argmax(bad)), bad.shape)
        raise DataError(
            f"the label {flat[sample, place]} of sample {sample} is none of the model's {classes} classes; labels run from 0 "
            f"to {classes - 1}."
        )


def _numbers(labels: NDArray[Any]) -> int:
    return math.prod(labels.shape[1:])


def _same_shape(model: Model, answer: Answer) -> str | None:
    """The first input of floats with the output's shape."""
    for given in model.inputs:
        if given.shape[1:] == answer.shape and given.dtype.startswith("float"):
            return given.name
    return None


def _shape(value: onnx_ir.Value) -> Shape:
    sizes = spec(value).shape[1:]
    known = tuple(size for size in sizes if size is not None)
    if len(known) < len(sizes):
        raise ModelError(
            f"the shape {list(sizes)} of {value.name!r} is not known beside the batch, so nothing can be learned from it; "
            "export the model with fixed sizes."
        )
    return known
