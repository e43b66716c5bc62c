"""The steps of a retraining that need the compiler: collect, train, compile, judge. Each leaves files in the job's folder.

A step may be killed and done again: what it writes follows from what it is given, and long work goes on from the step store.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...calibration.bind import bind
from ...calibration.opening import open_dataset
from ...calibration.preprocess import Preprocessing
from ...calibration.sources.callable import is_callable_name
from ...core.artifact_read import open_artifact
from ...core.canonical import digest_file
from ...core.errors import PassError, UsageError
from ...core.executor import TensorSpec
from ...core.progress import Progress, Silent
from ...core.store import StepStore
from ..compile import compile
from ..gates.ledger import Ledger
from ..train.user import UserFunction, blame
from .judge import Gates, beside, free_batch, too_few
from .material import Amounts, divide
from .samples import Samples, load, names_in, nothing_like, read_all
from .teach import parse_training, teach


@dataclass(frozen=True)
class Request:
    """What does not change from one retraining of a model to the next.

    `data` and `accept` are the old world (anything that `edgewright compile --data` takes); `train` a pipeline of passes or the
    user's `module:function`; `compile` further options of `edgewright.compile`.
    """

    data: Any
    accept: Any = None
    train: str = "distill{epochs=10,teacher-weight=0.3}"
    labels: str | None = None
    preprocess: str | None = None
    classes: tuple[str, ...] = ()
    amounts: Amounts = field(default_factory=Amounts)
    gates: Gates = field(default_factory=Gates)
    budget: str | None = None
    seed: int = 0
    compile: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Made:
    """What a step made: `files` by name, `details` for the record, and where a gate refused, its reason."""

    details: Mapping[str, Any]
    files: Mapping[str, Path] = field(default_factory=dict)
    refusal: str | None = None


@dataclass(frozen=True)
class TrainingJob:
    """What the user's own training is given; it returns the path of the trained model, of any kind that can be compiled.

    `source` is the model that the deployed version was compiled from. `train` holds what to learn from, `settle` what to choose
    states by: .npz of the inputs by the model's names, and of the array `labels` ("y" unless an input is called that). The
    column `world` of `train` is "new" for what was labelled since, "old" for the replay. Leave files in `out` only.
    """

    source: Path
    train: Path
    settle: Path
    labels: str
    out: Path
    seed: int


class Retrainer:
    """Carries out a request for one deployed version after another; `store` keeps what it finds again, `ledger` its looks."""

    def __init__(self, request: Request, store: Path, ledger: Path, progress: Progress | None = None) -> None:
        """Raises PassError, UsageError for a training that is none."""
        self._request, self._store, self._progress = request, StepStore(store), progress or Silent()
        self._ledger, self._looks = ledger.with_name(f"{ledger.stem}-compile{ledger.suffix}"), Ledger(ledger)
        self._user = UserFunction.load(request.train) if is_callable_name(request.train) else None
        if self._user is None:
            parse_training(request.train)

    def collect(self, folder: Path, new: Path, earlier: Path, deployed: Mapping[str, Path]) -> Made:
        """Divide old data and labelled samples (.npz by the model's inputs); refused where they are too few for any winner."""
        specs = open_artifact(next(iter(deployed.values()))).manifest.inputs
        old, accept = self._old(self._request.data, specs), self._old(self._request.accept, specs)
        empty = nothing_like(old)
        fresh, columns = self._labelled(new, specs, empty)
        before, _ = self._labelled(earlier, specs, empty)
        is_random = np.asarray(columns.get("is_random", np.ones(len(fresh))), dtype=bool)
        told = divide(
            folder, old, accept if self._request.accept is not None else None, fresh, is_random, before, self._request.amounts
        )
        reasons = (too_few(folder, path, self._request.gates, self._request.seed) for path in deployed.values())
        return Made(told, refusal=next((reason for reason in reasons if reason is not None), None))

    def train(self, folder: Path, source: Path) -> Made:
        """Train the source again; the file `source` is the new one."""
        before = digest_file(source)
        if self._user is None:
            out = folder / "source.onnx"
            told = teach(
                source, folder, self._request.train, out, seed=self._request.seed, budget=self._request.budget,
                store=self._store, progress=self._progress,
            )  # fmt: skip
        else:
            out, told = self._own(self._user, folder, source), {"code": self._user.digest}
        details = {"how": self._request.train, "seed": self._request.seed, "source_before": before, "source": digest_file(out)}
        return Made({**told, **details}, {"source": out})

    def compile(self, folder: Path, source: Path, name: str, profiles: tuple[str, ...]) -> Made:
        """Compile for every profile; refused where a gate of the compile does not pass for one of them."""
        names, labels = names_in(folder / "train.npz")
        options = {"gates": (), "seed": self._request.seed, **self._request.compile}
        result = compile(
            source, data=folder / "train.npz", calib=folder / "train.npz", search=folder / "search.npz",
            accept=folder / "accept.npz", labels=labels, inputs={name: name for name in names}, profiles=profiles, name=name,
            out=folder / "dist", store=self._store.root, ledger=self._ledger, progress=self._progress, **options,
        )  # fmt: skip
        refused = [
            f"for {target.profile} the compile is {target.verdict}: {target.why}"
            for target in result.report.targets
            if target.winner is None
        ]
        artifacts = dict(result.artifacts)
        details = {
            "artifacts": {profile: digest_file(path) for profile, path in sorted(artifacts.items())},
            "report": digest_file(result.report_path),
        }
        return Made(details, artifacts, " ".join(refused) or None)

    def judge(self, folder: Path, artifacts: Mapping[str, Path], deployed: Mapping[str, Path]) -> Made:
        """Hold each new artifact beside the deployed one, on the old data and on the new; refused where one does not pass.

        Raises UsageError where the two are not of the same profiles.
        """
        if set(artifacts) != set(deployed):
            raise UsageError(
                f"what was compiled is for {', '.join(sorted(artifacts)) or 'no profile'}, and devices run "
                f"{', '.join(sorted(deployed)) or 'none'} by now; let it be trained again (`edgewright retrain open`)."
            )
        found = []
        for profile in sorted(artifacts):
            for part in ("old", "fresh"):
                with self._progress.task(f"{profile} beside the deployed version on {part} data"):
                    judged = beside(
                        folder, part, profile, deployed[profile], artifacts[profile], self._request.gates, self._looks,
                        self._request.seed,
                    )  # fmt: skip
                found.append(judged)
        refusals = [item.refusal for item in found if item.refusal is not None]
        return Made({"judged": [item.to_json() for item in found]}, refusal=" ".join(refusals) or None)

    def _old(self, source: Any, specs: tuple[TensorSpec, ...]) -> Samples:
        request = self._request
        preprocessing = Preprocessing.parse(request.preprocess) if request.preprocess else None
        opened = open_dataset(
            request.data if source is None else source,
            labels=request.labels,
            preprocessing=preprocessing,
            classes=request.classes,
        )
        return read_all(bind(opened, free_batch(specs)))

    def _labelled(self, path: Path, specs: tuple[TensorSpec, ...], empty: Samples) -> tuple[Samples, dict[str, Any]]:
        """Labelled samples in the old data's types; none where there is no file."""
        if not path.exists():
            return empty, {}
        found, columns = load(path, [spec.name for spec in specs])
        inputs = {name: array.astype(empty.inputs[name].dtype, copy=False) for name, array in found.inputs.items()}
        return Samples(inputs, found.labels.astype(empty.labels.dtype, copy=False)), columns

    def _own(self, user: UserFunction, folder: Path, source: Path) -> Path:
        out = folder / "own"
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        _, labels = names_in(folder / "train.npz")
        job = TrainingJob(source, folder / "train.npz", folder / "settle.npz", labels, out, self._request.seed)
        with self._progress.task(user.name), blame(user, "training"):
            made = user.call(job)
        if not isinstance(made, (str, Path)) or not Path(made).is_file():
            raise PassError(f"the training {user.name!r} returned {made!r}; it must return the path of the trained model.")
        return Path(made)
