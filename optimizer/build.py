"""Building candidates: from the prepared model to a runtime's file, each step kept in the store."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from ..calibration.statistics import Statistics
from ..core.canonical import digest_file, digest_json, dumps
from ..core.code import code_digest
from ..core.errors import EdgewrightError, LoweringError, PassError, StoreError
from ..core.freeing import freed_at_once, give_back
from ..core.progress import Progress, Silent
from ..core.store import StepStore
from ..device_profiles.profile import DeviceProfile
from ..ir.model import Model
from ..ir.pipeline import Pipeline, pass_text
from ..runtimes import registry
from ..runtimes.contract import Precision, Scheme
from .passes.float16 import StoreFloat16
from .quantize.plan import make_plan
from .quantize.quantize import Quantize, QuantizeNeeds
from .quantize.rounding import Rounder
from .train.needs import TrainingNeeds
from .training import Trainer, int8_job


@dataclass(frozen=True)
class Built:
    """A lowered candidate. `pipeline` is everything that was done to the source model; `kept` lists (node, type, why).

    `files` lie in the store, so that any number of candidates takes no memory; `read` gives their bytes.
    `notes` tell how int8 was trained, where it was.
    """

    runtime: str
    precision: Precision
    files: Mapping[str, Path]
    entry: str
    pipeline: str
    supports: Mapping[str, int]
    kept: tuple[tuple[str, str, str], ...] = ()
    debug_map: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        """Bytes of all files."""
        return sum(file.stat().st_size for file in self.files.values())

    def read(self) -> dict[str, bytes]:
        """The bytes of each file."""
        return {name: file.read_bytes() for name, file in self.files.items()}

    @cached_property
    def digest(self) -> str:
        """SHA-256 over the files: what a look at the accepting split is counted by."""
        return digest_json([self.runtime, self.entry, {name: digest_file(file) for name, file in self.files.items()}])


@dataclass(frozen=True)
class Calibration:
    """What the calibrating split told; `digest` is over all of it."""

    digest: str
    statistics: Statistics
    rounder: Rounder


class Builder:
    """Builds candidates of one prepared model. `calibration` is asked for when the first int8 candidate is built."""

    def __init__(
        self,
        store: StepStore,
        base: Model,
        prefix: str,
        calibration: Callable[[], Calibration],
        trainer: Trainer | None = None,
        variant: str = "",
        is_quantized: bool = False,
        progress: Progress | None = None,
    ) -> None:
        """`prefix` is the pipeline text that led to `base`; `calibration` is asked once int8 is wanted, `trainer` for qat.

        `variant`: name of the one that trains. `is_quantized`: `base` is in int8 already, and is lowered as it is.
        """
        self._store, self.base, self._prefix, self._calibration = store, base, prefix, calibration
        self._trainer, self._variant, self._is_quantized = trainer, variant, is_quantized
        self._progress = progress or Silent()
        self._base_digest = base.digest()

    def build(self, runtime: str, profile: DeviceProfile, precision: Precision, quantize: Quantize | None = None) -> Built:
        """Lower the model in `precision`; `quantize` are the options for int8. Raises LoweringError, PassError."""
        passes = self._passes(precision, quantize or Quantize())
        scheme = registry.get(runtime).scheme(profile)
        needs_data = precision == "int8" and not self._is_quantized
        trained = None if (item := _trained(passes)) is None else self._train(item, scheme, profile)
        key = self._store.key(
            "build",
            base=self._base_digest,
            passes=str(passes),
            runtime=[runtime, registry.get(runtime).version()],
            scheme=[scheme.name, scheme.digest],
            profile=[profile.arch, sorted(profile.isa)],
            calibration=self._calibration().digest if needs_data else None,
            trained=None if trained is None else [trained[0].digest(), list(trained[1])],
            code=code_digest(),
        )

        def make(folder: Path) -> None:
            with self._progress.task(f"build {runtime} {precision}"), freed_at_once():
                self._make(folder, passes, runtime, profile, precision, trained)
            give_back()

        return _read(self._store.step(key, make))

    def _passes(self, precision: Precision, quantize: Quantize) -> Pipeline:
        if precision == "float32" or self._is_quantized:
            return Pipeline([])
        return Pipeline([StoreFloat16()] if precision == "float16" else [quantize])

    def _run(self, passes: Pipeline, scheme: Scheme) -> Model:
        """The model after `passes`, which do not train."""
        needs = any(item.needs is QuantizeNeeds for item in passes.passes)
        known = self._calibration() if needs else None
        given = {QuantizeNeeds: QuantizeNeeds(scheme, known.statistics, known.rounder)} if known is not None else {}
        return passes.run(self.base, given)[0]

    def _train(self, quantize: Quantize, scheme: Scheme, profile: DeviceProfile) -> tuple[Model, tuple[str, ...]]:
        """The model in int8, trained for a scheme; runtimes whose schemes are the same share it."""
        trainer, known = self._trainer, self._calibration()
        if trainer is None:
            raise PassError(f"{pass_text(quantize)!r} trains, which this command does not; use mode=static.")
        parts = {
            **trainer.known,
            "base": self._base_digest,
            "item": pass_text(quantize),
            "scheme": scheme.digest,
            "calibration": known.digest,
            "code": code_digest(),
        }

        def make(training: TrainingNeeds) -> Mapping[str, bytes]:
            given = QuantizeNeeds(scheme, known.statistics, known.rounder, training)
            model, (step,) = Pipeline([quantize]).run(self.base, {QuantizeNeeds: given})
            return {"model.onnx": model.to_bytes(), "notes.json": dumps(list(step.notes))}

        try:
            folder = trainer.trained(int8_job(self._variant, scheme), "train-int8", parts, make, profile)
        except StoreError:
            raise  # the disk is every candidate's
        except EdgewrightError as error:
            raise PassError(str(error)) from error
        model = Model.from_bytes((folder / "model.onnx").read_bytes(), "the trained int8 model")
        return model, tuple(json.loads((folder / "notes.json").read_bytes()))

    def _make(
        self,
        folder: Path,
        passes: Pipeline,
        runtime: str,
        profile: DeviceProfile,
        precision: Precision,
        trained: tuple[Model, tuple[str, ...]] | None,
    ) -> None:
        target = registry.get(runtime)
        model, notes = trained or (self._run(passes, target.scheme(profile)), ())
        give_back()
        support = target.supports(model, profile)
        missing = [item for item in support if item.runs == "no"]
        if missing:
            names = ", ".join(sorted({f"{item.op_type} ({item.reason.rstrip('.')})" for item in missing}))
            count = "1 node" if len(missing) == 1 else f"{len(missing)} nodes"
            raise LoweringError(f"{runtime} cannot run {count} of this model: {names}; try another runtime.")
        give_back()
        lowered = target.lower(model, profile)
        counts: dict[str, int] = {}
        for item in support:
            counts[item.runs] = counts.get(item.runs, 0) + 1
        kept = self._kept(passes, runtime, profile) if any(isinstance(item, Quantize) for item in passes.passes) else []
        text = ",".join(part for part in (self._prefix, str(passes)) if part)
        for index, name in enumerate(sorted(lowered.files)):
            (folder / f"file-{index}").write_bytes(lowered.files[name])
        meta = {
            "runtime": runtime,
            "precision": precision,
            "names": sorted(lowered.files),
            "entry": lowered.entry,
            "pipeline": text,
            "supports": counts,
            "kept": kept,
            "debug_map": dict(lowered.debug_map),
            "notes": list(notes),
        }
        (folder / "meta.json").write_bytes(dumps(meta))

    def _kept(self, passes: Pipeline, runtime: str, profile: DeviceProfile) -> list[list[str]]:
        """Layers that int8 left in float, with the reason."""
        quantize = next(item for item in passes.passes if isinstance(item, Quantize))
        plan = make_plan(self.base, registry.get(runtime).scheme(profile), quantize.keep_float)
        kinds = {str(node.outputs[0].name): node.op_type for node in self.base.graph if node.outputs}
        return [[name, kinds.get(name, ""), why] for name, why in plan.kept.items()]


def _trained(passes: Pipeline) -> Quantize | None:
    """The pass that trains int8, where there is one."""
    found = next((item for item in passes.passes if isinstance(item, Quantize)), None)
    return found if found is not None and found.mode == "qat" else None


def _read(folder: Path) -> Built:
    meta = json.loads((folder / "meta.json").read_bytes())
    return Built(
        runtime=meta["runtime"],
        precision=meta["precision"],
        files={name: folder / f"file-{index}" for index, name in enumerate(meta["names"])},
        entry=meta["entry"],
        pipeline=meta["pipeline"],
        supports=meta["supports"],
        kept=tuple((name, kind, why) for name, kind, why in meta["kept"]),
        debug_map=meta["debug_map"],
        notes=tuple(meta["notes"]),
    )
