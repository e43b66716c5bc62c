"""Carrying out what a variant does before batch norm is folded: pass by pass, each result kept in the step store."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..core.canonical import digest_json, dumps
from ..core.code import code_digest
from ..core.store import StepStore
from ..device_profiles.profile import DeviceProfile
from ..ir.model import Model
from ..ir.passes import Pass
from ..ir.pipeline import Pipeline, pass_text
from ..ir.verify import verify_weights
from .distill.distill import Distill
from .prune.prune import Prune
from .purse import Purse
from .train.needs import TrainingNeeds
from .variants import Variant

_BESIDE_EPOCHS = 5.0


@dataclass(frozen=True)
class Step:
    """What one pass did: its text, seconds of wall time when it was carried out, and its notes."""

    text: str
    seconds: float
    notes: tuple[str, ...]


def weights_of(variants: Sequence[Variant], schemes: int) -> list[float]:
    """How much each training of the variants weighs; what trains int8 does so for `schemes` schemes."""
    weights = [_weight(item) for variant in variants for item in variant.passes if item.needs is TrainingNeeds]
    return weights + [_weight(variant.quantize) for variant in variants if variant.trains_scheme for _ in range(schemes)]


def _weight(item: object) -> float:
    """Epochs of one pass, and what it takes beside them."""
    steps = (item.steps - 1 if item.schedule == "iterative" else 0) if isinstance(item, Prune) else 1
    return _BESIDE_EPOCHS + float(getattr(item, "epochs", 0)) * steps


def takes_student(item: Pass) -> bool:
    """Whether a pass puts the user's student in the model's place; passes that only learn as `distill` does do not."""
    return type(item) is Distill


class Trainer:
    """Runs training passes; `given` is what all of them get, but for the budget, which `purse` hands out."""

    def __init__(self, given: TrainingNeeds, store: StepStore, purse: Purse, budget: str | None) -> None:
        self._given, self._store, self._purse = given, store, purse
        search = given.search
        self.known: dict[str, Any] = {
            "train": [given.train.data.digest, digest_json(list(given.train.indices))],
            "search": None if search is None else [search.data.digest, digest_json(list(search.indices))],
            "reference": given.reference.digest(),
            "teacher": None if given.teacher is None else given.teacher.digest(),
            "student": None if given.student is None else given.student.digest(),
            "user": given.user.to_json(),
            "seed": given.seed,
            "budget": budget,
            "versions": {
                name: metadata.version(name) for name in ("torch", "onnx-ir", "numpy") if find_spec(name.replace("-", "_"))
            },
        }

    def run(self, variant: Variant) -> tuple[Model, list[Step]]:
        """The reference after the variant's passes, and what each did; raises what a pass raises, ModelError for weights that
        are not finite."""
        model, steps, student = self._given.reference, [], self._given.student
        for item in variant.passes:
            model, step = self._pass(model, item, f"{variant.name}: {item.name}", student)
            student = None if takes_student(item) else student  # from then on the model is the student
            steps.append(step)
        return model, steps

    @contextmanager
    def needs(self, item: object, profile: DeviceProfile | None = None) -> Iterator[TrainingNeeds]:
        """What one training is given, while it trains; `profile` where it is not that of the compile."""
        with self._purse.part(_weight(item)) as budget:
            yield replace(self._given, budget=budget, profile=profile or self._given.profile)

    def _pass(self, model: Model, item: Pass, title: str, student: Model | None) -> tuple[Model, Step]:
        profile = self._given.profile
        key = self._store.key(
            "train",
            model=model.digest(),
            item=pass_text(item),
            profile=None if profile is None else repr(profile),
            code=code_digest(),
            **{**self.known, "student": None if student is None else student.digest()},
        )
        folder = self._store.step(key, lambda made: self._make(made, model, item, title, student))
        told = json.loads((folder / "step.json").read_bytes())
        result = Model.from_bytes((folder / "model.onnx").read_bytes(), f"the result of {told['text']}")
        return result, Step(told["text"], told["seconds"], tuple(told["notes"]))

    def _make(self, folder: Path, model: Model, item: Pass, title: str, student: Model | None) -> None:
        start = time.perf_counter()
        with self._given.progress.task(title):
            if item.needs is TrainingNeeds:
                with self.needs(item) as given:
                    result, (step,) = Pipeline([item]).run(model, {TrainingNeeds: replace(given, student=student)})
            else:
                result, (step,) = Pipeline([item]).run(model)
        verify_weights(result)
        (folder / "model.onnx").write_bytes(result.to_bytes())
        seconds = time.perf_counter() - start
        (folder / "step.json").write_bytes(dumps({"text": step.text, "seconds": seconds, "notes": list(step.notes)}))
