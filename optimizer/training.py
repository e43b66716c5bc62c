"""Carrying out what a variant does before batch norm is folded: pass by pass, each result kept in the step store."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..core.canonical import digest_json, dumps, plain
from ..core.code import code_digest
from ..core.store import StepStore
from ..device_profiles.profile import DeviceProfile
from ..ir.model import Model
from ..ir.passes import Pass
from ..ir.pipeline import Pipeline, pass_text
from ..ir.verify import verify_weights
from ..runtimes.contract import Scheme
from .distill.distill import Distill
from .prune.prune import Prune
from .purse import Job, Purse
from .train.needs import TrainingNeeds
from .variants import Variant

_BESIDE_EPOCHS = 5.0


@dataclass(frozen=True)
class Step:
    """What one pass did: its text, seconds of wall time when it was carried out, and its notes."""

    text: str
    seconds: float
    notes: tuple[str, ...]


def weights_of(variants: Sequence[Variant], schemes: Sequence[Scheme]) -> dict[Job, float]:
    """How much each training of the variants weighs; int8 is trained once for each of `schemes` that differs."""
    weights = {
        _job(variant, place): _weight(item)
        for variant in variants
        for place, item in enumerate(variant.passes)
        if item.needs is TrainingNeeds
    }
    return weights | {
        int8_job(variant.name, scheme): _weight(variant.quantize)
        for variant in variants
        if variant.trains_scheme
        for scheme in schemes
    }


def int8_job(variant: str, scheme: Scheme) -> Job:
    """The training of a variant's int8 for a scheme."""
    return variant, f"int8: {scheme.digest}"


def _job(variant: Variant, place: int) -> Job:
    """The training of the pass at `place`."""
    return variant.name, f"{place}: {variant.passes[place].name}"


def _weight(item: object) -> float:
    """Epochs of one pass, and what it takes beside them."""
    steps = (item.steps - 1 if item.schedule == "iterative" else 0) if isinstance(item, Prune) else 1
    return _BESIDE_EPOCHS + float(getattr(item, "epochs", 0)) * steps


def takes_student(item: Pass) -> bool:
    """Whether a pass puts the user's student in the model's place; passes that only learn as `distill` does do not."""
    return type(item) is Distill


class Trainer:
    """Runs training passes; `given` is what all of them get, but for the budget, which `purse` hands out.

    What a training comes to without feeling the budget is kept as what it is; else it belongs to its share of the budget.
    """

    def __init__(self, given: TrainingNeeds, store: StepStore, purse: Purse) -> None:
        self._given, self._store, self._purse = given, store, purse
        search = given.search
        self.known: dict[str, Any] = {
            "train": [given.train.data.digest, digest_json(list(given.train.indices))],
            "search": None if search is None else [search.data.digest, digest_json(list(search.indices))],
            "reference": given.reference.digest(),
            "teacher": None if given.teacher is None else given.teacher.digest(),
            "user": given.user.to_json(),
            "seed": given.seed,
            "versions": {
                name: metadata.version(name) for name in ("torch", "onnx-ir", "numpy") if find_spec(name.replace("-", "_"))
            },
        }

    def run(self, variant: Variant) -> tuple[Model, list[Step]]:
        """The reference after the variant's passes, and what each did; raises what a pass raises, ModelError for weights that
        are not finite."""
        model, steps, student = self._given.reference, [], self._given.student
        try:
            for place, item in enumerate(variant.passes):
                own = student if takes_student(item) else None
                model, step = self._pass(model, item, _job(variant, place), own)
                student = None if own is not None else student  # from then on the model is the student
                steps.append(step)
        except Exception:
            self._purse.give_back_all(variant.name)
            raise
        return model, steps

    def trained(
        self,
        job: Job,
        step: str,
        known: Mapping[str, Any],
        make: Callable[[TrainingNeeds], Mapping[str, bytes]],
        profile: DeviceProfile | None = None,
    ) -> Path:
        """Folder with the files that `make` gives of what it trains, in the store under `step` and `known`.

        What came to its own end is found whatever the budget, what the budget shortened by the same share of it alone (see
        docs/training.md). `profile` where it is not that of the compile.
        """
        share = self._purse.share_seconds(job)
        whole, shortened = (self._store.key(step, **known, **more) for more in ({}, {"share": share}))
        found = self._store.find(whole) or (None if share is None else self._store.find(shortened))
        if found is not None:
            self._purse.give_back(job)
            return found
        with self._purse.part(job) as budget:
            files = make(replace(self._given, student=None, budget=budget, profile=profile or self._given.profile))
        key = shortened if budget is not None and budget.is_felt else whole
        return self._store.step(key, lambda folder: _write(folder, files))

    def _pass(self, model: Model, item: Pass, job: Job, student: Model | None) -> tuple[Model, Step]:
        profile, title = self._given.profile, f"{job[0]}: {item.name}"
        known = {
            **self.known,
            "model": model.digest(),
            "item": pass_text(item),
            "profile": plain(profile),
            "times": self._times(model, item),
            "code": code_digest(),
            "student": None if student is None else student.digest(),
        }
        if item.needs is TrainingNeeds:
            folder = self.trained(
                job, "train", known, lambda given: self._made(model, item, title, replace(given, student=student))
            )
        else:
            key = self._store.key("train", **known)
            folder = self._store.step(key, lambda folder: _write(folder, self._made(model, item, title, None)))
        told = json.loads((folder / "step.json").read_bytes())
        result = Model.from_bytes((folder / "model.onnx").read_bytes(), f"the result of {told['text']}")
        return result, Step(told["text"], told["seconds"], tuple(told["notes"]))

    def _times(self, model: Model, item: Pass) -> str | None:
        """Digest of the layers' times that a pass chooses by: its result is made from them, so each compile tells of them."""
        if self._given.measurements is None or not isinstance(item, Prune):
            return None
        found = item.times(model, self._given)
        return None if found is None else found.digest()

    def _made(self, model: Model, item: Pass, title: str, given: TrainingNeeds | None) -> Mapping[str, bytes]:
        """The files of what one pass makes of `model`."""
        start = time.perf_counter()
        with self._given.progress.task(title):
            result, (step,) = Pipeline([item]).run(model, {} if given is None else {TrainingNeeds: given})
        verify_weights(result)
        seconds = time.perf_counter() - start
        told = {"text": step.text, "seconds": seconds, "notes": list(step.notes)}
        return {"model.onnx": result.to_bytes(), "step.json": dumps(told)}


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).write_bytes(content)
