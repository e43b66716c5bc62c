"""The teacher: what it answers to a batch, remembered for samples that come again as they were."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from ...core.errors import PassError
from ...ir.model import Model
from ..train.batches import TrainingData
from ..train.judging import graph_values
from ..train.module import GraphModule
from ..train.objective import Samples
from ..train.task import Answer, answer_of

_REMEMBERED_BYTES = 256 << 20
_READ_SAMPLES = 256


class Teacher:
    """A model that only answers: no gradients, frozen statistics, the same augmented inputs as the student (2106.05237)."""

    def __init__(self, model: Model, student: Model, keep: tuple[str, ...] = (), *, mixed: bool = True) -> None:
        """`keep` are values inside its graph to give beside its answer.

        Raises PassError where it answers another question than `student`: other inputs, or another number of outputs.
        """
        self.answer = answer_of(model)
        self._inputs = _inputs(model, student)
        _check_answers(self.answer, answer_of(student))
        self.digest = model.digest()
        self._module = GraphModule(model).eval().requires_grad_(False)
        self._keep = tuple(dict.fromkeys((self.answer.scores, *keep)))
        self._is_remembered = not keep
        self._mixed = mixed
        self._remembered: dict[TrainingData, dict[str, Tensor]] = {}

    def prepare(self, data: TrainingData, device: torch.device) -> None:
        """Move to `device`, and answer all of `data` at once where that fits into memory and no values inside are asked for."""
        self._module.to(device, memory_format=torch.channels_last)
        size = 4 * len(data) * self.answer.columns * len({self.answer.output, self.answer.scores})
        if not self._is_remembered or data in self._remembered or size > _REMEMBERED_BYTES:
            return
        parts = [self._compute(batch) for batch in data.in_order(_READ_SAMPLES, device)]
        names = {self.answer.output, self.answer.scores}
        self._remembered[data] = {name: torch.cat([part[name] for part in parts]) for name in names}

    def values(self, batch: Samples) -> Mapping[str, Tensor]:
        """Answer, scores and kept values of a batch by name, [n, ...]."""
        known = self._remembered.get(batch.data) if batch.is_plain else None
        if known is None:
            return self._compute(batch)
        return {name: values[batch.places] for name, values in known.items()}

    def _compute(self, batch: Samples) -> Mapping[str, Tensor]:
        inputs = {name: batch.inputs[source] for name, source in self._inputs.items()}
        with torch.no_grad():
            return graph_values(self._module, inputs, self._keep, mixed=self._mixed)


def _inputs(teacher: Model, student: Model) -> dict[str, str]:
    """The student's input that feeds each of the teacher's."""
    ours, theirs = student.inputs, teacher.inputs
    if {spec.name for spec in ours} == {spec.name for spec in theirs}:
        pairs = {spec.name: (spec, next(own for own in ours if own.name == spec.name)) for spec in theirs}
    elif len(ours) == len(theirs):
        pairs = {spec.name: (spec, own) for spec, own in zip(theirs, ours, strict=True)}
    else:
        raise PassError(f"the teacher has {len(theirs)} inputs and the student {len(ours)}; give a teacher of the same inputs.")
    for theirs_spec, own in pairs.values():
        fits = len(theirs_spec.shape) == len(own.shape) and all(
            a is None or b is None or a == b for a, b in zip(theirs_spec.shape[1:], own.shape[1:], strict=True)
        )
        if not fits or theirs_spec.dtype != own.dtype:
            raise PassError(
                f"the teacher's input {theirs_spec.name!r} is {theirs_spec.dtype} {list(theirs_spec.shape[1:])} a sample and "
                f"the student's {own.name!r} {own.dtype} {list(own.shape[1:])}; give a teacher that takes the same data."
            )
    return {name: own.name for name, (_, own) in pairs.items()}


def _check_answers(teacher: Answer, student: Answer) -> None:
    """Both must give as many numbers a sample, in the same places but for axes of one."""
    theirs, ours = (tuple(size for size in answer.shape if size > 1) for answer in (teacher, student))
    if theirs != ours:
        raise PassError(
            f"the teacher's answer has the shape {list(teacher.shape)} a sample and the student's {list(student.shape)}; give "
            "a teacher that answers the same question."
        )
