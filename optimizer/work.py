"""The steps between a source model and decisions: split, train, try, decide."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache

from ..calibration.classes import classes_note, unlabelled_note
from ..calibration.dataset import Dataset, Split
from ..calibration.splits import Splits
from ..core.errors import DataError, EdgewrightError, RuntimeFailure, StoreError, UsageError
from ..core.progress import Progress
from ..core.store import StepStore
from ..device_profiles.loader import load
from ..device_profiles.profile import DeviceProfile
from ..ir.model import Model
from ..runtimes import registry
from ..runtimes.bench.memory import peak_memory_bytes
from ..runtimes.emulated.emulator import Emulator
from . import prepare
from .bins import input_bins
from .build import Builder, Built, Calibration
from .companions import Company
from .download import compressed_bytes
from .evaluate import Evaluator, Outputs
from .exam import Exam, prepare_exam
from .gates.ledger import Ledger
from .judging import emulation_notes
from .keras_start import keras_start
from .kit import Kit, Start
from .measure import Measurements
from .outcome import Found, Shared, Target
from .purse import Purse
from .recipe import Recipe
from .release import Decision, decide
from .train.needs import TrainingNeeds
from .training import Trainer, weights_of
from .trial import Trial, sample_of, try_all
from .variants import Variant

_REFERENCE = "onnxruntime"


class Work:
    """One compile's work; `base` is the plain model ready for lowering, `company` what training is given beside data."""

    def __init__(
        self,
        recipe: Recipe,
        store: StepStore,
        evaluator: Evaluator,
        progress: Progress,
        base: Model,
        pipeline: str,
        variants: Sequence[Variant],
        company: Company | None,
        emulator: Emulator | None = None,
    ) -> None:
        self.recipe, self.store, self.evaluator, self.progress = recipe, store, evaluator, progress
        self.base, self.pipeline, self.variants, self.company = base, pipeline, variants, company
        self.emulator = emulator
        self.measurements = Measurements(store, recipe.measurements)
        self._calib: Split | None = None
        self.builder = Builder(store, base, pipeline, self._calibration_of(base), progress=progress)

    def run(self, data: Dataset, profiles: Sequence[DeviceProfile], ledger: Ledger) -> Found:
        """Everything up to decisions."""
        reference = self.builder.build(_REFERENCE, load("x86-64-avx2"), "float32")
        shared, splits = self._share(data, reference, emulation_notes(self.emulator, profiles, self.recipe.runtimes))
        starts = self._starts(splits, profiles)
        kit = Kit(
            builder=self.builder,
            evaluator=self.evaluator,
            measurements=self.measurements,
            search=shared.search,
            gates=shared.gates,
            seed=self.recipe.seed,
            threads=self.recipe.threads,
            progress=self.progress,
            emulator=self.emulator,
        )
        targets = tuple(self._target(kit, profile, shared.accept, ledger, starts) for profile in profiles)
        return Found(shared, starts, targets)

    def accept_outputs(self, target: Target, shared: Shared) -> dict[str, Outputs]:
        """What each candidate that looked at `accept` answered there (from the store)."""
        return {
            look.trial.key: self.evaluator.outputs(look.trial.built, shared.accept.split, look.trial.location)
            for look in target.decision.looks
            if look.trial.built is not None and all(verdict.n > 0 for verdict in look.verdicts)
        }

    def _calibration_of(self, base: Model) -> Callable[[], Calibration]:
        @cache
        def calibration() -> Calibration:
            if self._calib is None:
                raise UsageError("calibration was asked for before the data were split.")
            return prepare.calibrate(self.store, base, self._calib, self.progress)

        return calibration

    def _share(self, data: Dataset, reference: Built, told_before: Sequence[str]) -> tuple[Shared, Splits]:
        first = Split("first", data, tuple(range(min(64, len(data)))))
        output = self.base.outputs[0].name
        gates = prepare.choose_gates(self.recipe, data, self.evaluator.outputs(reference, first)[output])
        warnings = prepare.check_data(data, gates)
        wanted = prepare.samples_wanted(gates, data)
        splits = prepare.split_data(self.recipe, data, self.base, wanted)
        if splits.accept.data is not data:
            warnings += prepare.check_data(splits.accept.data, gates)
        self._calib = self._calibrating(splits)
        told = ", ".join(f"'{gate}'" for gate in gates)
        chosen = "" if self.recipe.gates else " (chosen by default)"
        notes = [
            f"gates{chosen}: {told}; about {wanted} samples decide them, accept has {len(splits.accept)}, "
            f"search {len(splits.search)}, calib {len(self._calib)}"
            + (f", audit {len(splits.audit)} set aside" if splits.audit is not None else ""),
            *self._plan(splits),
            *unlabelled_note(data),
            *classes_note(data, bool(self.recipe.classes)),
            *told_before,
            *warnings,
        ]
        answers = {split.name: self.evaluator.outputs(reference, split) for split in (splits.search, splits.accept)}
        search, accept = (prepare_exam(split, answers[split.name], output, gates) for split in (splits.search, splits.accept))
        notes += prepare.check_reference(answers["accept"][output], accept.labels, gates)
        # The report has the pipelines in a place of their own.
        for note in (*notes, *(f"{variant.name}: {variant.text}" for variant in self.variants if variant.name)):
            self.progress.note(note)
        counts = {split.name: len(split) for split in (*splits.parts(), self._calib)}
        shared = Shared(
            data=data,
            gates=gates,
            search=search,
            accept=accept,
            bins=tuple(input_bins(splits.search)),
            splits=counts | ({"train": len(prepare.training_split(splits))} if self.trains else {}),
            notes=tuple(notes),
        )
        return shared, splits

    @property
    def trains(self) -> bool:
        """Whether any variant trains."""
        return any(variant.trains for variant in self.variants)

    @property
    def trains_here(self) -> bool:
        """Whether the compiler itself trains any variant."""
        return any(variant.trains_here for variant in self.variants)

    def _calibrating(self, splits: Splits) -> Split:
        """What ranges are seen on: where calib is what is trained on, it may be all that a file has, and its first will do."""
        calib = splits.calib
        return replace(calib, indices=calib.indices[: self.recipe.calib_samples]) if self.trains else calib

    def _plan(self, splits: Splits) -> list[str]:
        """What is trained on, where anything is."""
        if not self.trains:
            return []
        train = prepare.training_split(splits)
        labels = "with labels" if train.data.has_labels else "without labels"
        limit = f", for at most {self.recipe.budget}" if self.recipe.budget else ""
        return [f"training: {len(train)} samples {labels}{limit}; accept is never trained on"]

    def _starts(self, splits: Splits, profiles: Sequence[DeviceProfile]) -> tuple[Start, ...]:
        """What each variant becomes; one that breaks is told of, and the others go on without it.

        Where the request or the data are at fault and nothing is trained yet, that is raised.
        """
        trainer = None if self.company is None else self._trainer(self.company, splits, profiles)
        starts: list[Start] = []
        for variant in self.variants:
            try:
                starts.append(self._start(variant, trainer, splits))
            except StoreError:
                raise
            except EdgewrightError as error:
                if isinstance(error, (DataError, UsageError)) and not any(start.steps for start in starts):
                    raise
                starts.append(Start(variant, None, why=str(error)))
            except Exception as error:  # a mistake of ours in one variant: the others go on without it
                said = f"{type(error).__name__}: {' '.join(str(error).split())}".rstrip(": .")
                starts.append(Start(variant, None, why=f"it stopped on a mistake of the compiler ({said}); report it."))
            if starts[-1].why:
                self.progress.note(f"{variant.name} failed: {starts[-1].why}")
        return tuple(starts)

    def _trainer(self, company: Company, splits: Splits, profiles: Sequence[DeviceProfile]) -> Trainer:
        schemes = [
            registry.get(runtime).scheme(profile)
            for profile in profiles
            for runtime in profile.runtimes
            if runtime in self.recipe.runtimes and "int8" in self.recipe.precisions
        ]
        purse = Purse(self.recipe.budget, weights_of(self.variants, schemes))
        given = TrainingNeeds(
            train=prepare.training_split(splits),
            search=splits.search,
            reference=company.reference,
            teacher=company.teacher,
            student=company.student,
            user=company.user,
            seed=self.recipe.seed,
            store=self.store,
            measurements=self.measurements,
            progress=self.progress,
            profile=profiles[0],
        )
        return Trainer(given, self.store, purse)

    def _start(self, variant: Variant, trainer: Trainer | None, splits: Splits) -> Start:
        """What one variant becomes; raises what its passes raise."""
        if variant.keras_step is not None:
            train, samples = prepare.training_split(splits), prepare.first_samples(splits.search.data)
            base, text, step = keras_start(
                variant.keras_step, self.recipe, self.base, train, samples, self.store, self.progress
            )
            calibration = self._calibration_of(base)
            builder = Builder(self.store, base, text, calibration, is_quantized=variant.is_quantized, progress=self.progress)
            return Start(variant, builder, (step,))
        if trainer is None or not variant.passes:
            calibration = self._calibration_of(self.base)
            own = Builder(self.store, self.base, self.pipeline, calibration, trainer, variant.name, progress=self.progress)
            return Start(variant, own)
        trained, steps = trainer.run(variant)
        base, pipeline = prepare.prepare_trained(trained, variant.passes)
        calibration = self._calibration_of(base)
        builder = Builder(self.store, base, pipeline, calibration, trainer, variant.name, progress=self.progress)
        return Start(variant, builder, tuple(steps))

    def _target(self, kit: Kit, profile: DeviceProfile, accept: Exam, ledger: Ledger, starts: Sequence[Start]) -> Target:
        start = time.perf_counter()
        asked = self.recipe.precisions
        trials = try_all(kit, profile, self.recipe.runtimes, asked, starts)
        threads = kit.threads_for(profile)

        ram: dict[str, int] = {}

        def ram_bytes(trial: Trial) -> int:
            if trial.key not in ram and trial.built is not None:
                ram[trial.key] = self._ram_bytes(kit, trial.built, threads)
            return ram.get(trial.key, sys.maxsize)

        decision = decide(kit, profile, trials, self.recipe.objective, asked, accept, ledger, ram_bytes)
        chosen = decision.chosen
        if chosen is not None and chosen.latency is not None:
            ram_bytes(chosen)
        known = {key: size for key, size in ram.items() if size < sys.maxsize}
        operators = self._operators(kit, decision, threads)
        sent = {trial.key: compressed_bytes(self.store, trial.built) for trial in trials if trial.built is not None}
        return Target(profile, tuple(trials), decision, threads, time.perf_counter() - start, operators, known, sent)

    def _ram_bytes(self, kit: Kit, built: Built, threads: int) -> int:
        """Memory that loading and running adds to a fresh process; a candidate that fails there comes last."""
        try:
            return int(
                self.measurements.get(
                    "ram",
                    (built.digest,),
                    threads,
                    lambda: peak_memory_bytes(built.runtime, built.files, built.entry, threads, sample_of(kit)),
                    (built.runtime,),
                )
            )
        except RuntimeFailure:
            return sys.maxsize

    def _operators(self, kit: Kit, decision: Decision, threads: int) -> Sequence[tuple[str, str, float]]:
        """Time by operator of what was chosen, where it was timed at all."""
        trial = decision.chosen
        if trial is None or trial.built is None or trial.latency is None:
            return ()
        built = trial.built
        try:
            rows = self.measurements.get(
                "operators",
                (built.digest,),
                threads,
                lambda: [
                    list(row)
                    for row in registry.get(built.runtime).profile_operators(
                        built.files, built.entry, threads, sample_of(kit), runs=20
                    )
                ],
                (built.runtime,),
            )
        except RuntimeFailure:
            return ()
        return [(built.debug_map.get(name) or str(name), str(kind), float(time_us)) for name, kind, time_us in rows]
