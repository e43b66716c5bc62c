"""The report of a compile: outcomes as records."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from ..device_profiles.detect import host_cpu
from ..ir.model import Model
from ..ir.statistics import statistics
from .evaluate import Outputs
from .exam import Exam
from .gates.decisions import cut_of, predicted, scores_of
from .gates.registry import find_metric
from .gates.verdict import Verdict, overall
from .help import help_for
from .ingest.ingest import Ingested
from .kit import Start
from .outcome import Found, Shared, Target
from .release import why_of
from .report.parts import Flip, Judgement, KeptFloat, Latency, MetricValue, PassInfo, Speedup, operator_times
from .report.types import Candidate, CompileReport, DataInfo, ModelInfo, TargetReport, VariantInfo
from .trial import Trial


def report_of(
    names: tuple[str, str],
    seed: int,
    ingested: Ingested,
    base: Model,
    outcome: Found,
    artifacts: Mapping[str, str],
    accept_outputs: Mapping[str, Mapping[str, Outputs]],
    versions: Mapping[str, str],
    seconds: float,
) -> CompileReport:
    """Report of a compile; `names` are the model's and the data's, `artifacts` file names by profile, `accept_outputs` by
    profile and candidate."""
    found = statistics(base)
    cpu = host_cpu()
    shared, targets = outcome.shared, outcome.targets
    return CompileReport(
        model=ModelInfo(
            name=names[0],
            digest=ingested.source_digest,
            format=ingested.source_format,
            parameters=found.parameters,
            macs=found.macs,
            weight_bytes=found.weight_bytes,
        ),
        data=DataInfo(names[1], shared.data.digest, shared.splits),
        gates=tuple(str(gate) for gate in shared.gates),
        targets=tuple(
            _target(target, shared, artifacts.get(target.profile.name), accept_outputs.get(target.profile.name, {}))
            for target in targets
        ),
        variants=tuple(_variant(start) for start in outcome.starts if start.variant.name),
        seed=seed,
        versions=versions,
        ledger={target.profile.name: target.decision.looks[-1].ledger for target in targets if target.decision.looks},
        machine={"cpu": cpu.model, "arch": cpu.arch, "flags": sorted(cpu.flags & _TELLING)},
        seconds=seconds,
        notes=(*shared.notes, *ingested.notes, *_parity(ingested)),
    )


_TELLING = frozenset(
    {"avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "avx512_bf16", "asimd", "asimddp", "i8mm", "sve"}
)


def _variant(start: Start) -> VariantInfo:
    found = None if start.builder is None else statistics(start.builder.base)
    return VariantInfo(
        name=start.variant.name,
        pipeline=start.variant.text,
        why=start.why,
        passes=tuple(PassInfo(step.text, step.seconds, step.notes) for step in start.steps),
        parameters=None if found is None else found.parameters,
        macs=None if found is None else found.macs,
    )


def _parity(ingested: Ingested) -> tuple[str, ...]:
    parity = ingested.parity
    if parity is None:
        return ()
    return (f"parity with the source: largest difference {parity.max_abs:.3g} on {parity.n} samples",)


def _target(target: Target, shared: Shared, artifact: str | None, outputs: Mapping[str, Outputs]) -> TargetReport:
    decision = target.decision
    chosen = decision.chosen
    status = decision.status if decision.status in ("passed", "failed") else "undecided"
    return TargetReport(
        profile=target.profile.name,
        title=target.profile.title,
        verdict=status,  # type: ignore[arg-type]
        candidates=tuple(_candidate(trial, target, shared, outputs.get(trial.key)) for trial in target.trials),
        chosen=None if chosen is None else chosen.key,
        artifact=artifact,
        why=decision.why,
        baseline=None if decision.baseline is None else decision.baseline.key,
        measured_on=None if chosen is None else chosen.measured_on,
        help=help_for(target, shared),
        conditions=_conditions(target),
        seconds=target.seconds,
    )


def _candidate(trial: Trial, target: Target, shared: Shared, accept_outputs: Outputs | None) -> Candidate:
    decision = target.decision
    look = decision.look_of(trial)
    verdicts = trial.verdicts if look is None else look.verdicts
    exam = shared.search if look is None else shared.accept
    status = overall(verdicts) if verdicts else "failed"
    outputs = trial.outputs if look is None else accept_outputs or {}
    flips, total = _flips(exam, outputs, shared) if outputs else ((), 0)
    latency = trial.latency
    ratio = decision.ratios.get(trial.key)
    missing = dict(trial.missing)
    if ratio is None:
        missing["speedup"] = _no_ratio(trial, target)
    built = trial.built
    return Candidate(
        runtime=trial.runtime,
        precision=trial.precision,
        variant=trial.variant,
        verdict="undecided" if status == "reported" else status,
        why=trial.why if look is None else why_of(look.verdicts),
        measured_on=trial.measured_on,
        split=exam.split.name if verdicts else None,
        size_bytes=None if built is None else built.size_bytes,
        compressed_bytes=target.compressed_bytes.get(trial.key),
        ram_bytes=target.ram_bytes.get(trial.key),
        latency_ms=None if latency is None else Latency(latency.p50_ms, latency.p90_ms, latency.p99_ms),
        speedup=None if ratio is None else Speedup(1 / ratio.ratio, 1 / ratio.high, 1 / ratio.low),
        metrics=_metrics(verdicts),
        verdicts=tuple(Judgement.from_json(verdict.to_json()) for verdict in verdicts),
        operators=operator_times(target.operators) if decision.chosen is trial else (),
        kept_float=() if built is None else tuple(KeptFloat(*row) for row in built.kept),
        supports={} if built is None else built.supports,
        flips=flips,
        flips_total=total,
        seconds=trial.seconds,
        pipeline="" if built is None else built.pipeline,
        digest=None if built is None else built.digest,
        missing=missing,
        notes=trial.notes if built is None else (*built.notes, *trial.notes),
    )


def _metrics(verdicts: Iterable[Verdict]) -> dict[str, MetricValue]:
    """Figures of the whole by metric; of further gates on the same metric by the gate's text."""
    found: dict[str, MetricValue] = {}
    for verdict in verdicts:
        if verdict.slice is None:
            name = verdict.gate if verdict.metric in found else verdict.metric
            found[name] = MetricValue(verdict.reference, verdict.candidate, verdict.low, verdict.high, verdict.n)
    return found


def _no_ratio(trial: Trial, target: Target) -> str:
    """Why a candidate has no ratio to the best float."""
    if trial is target.decision.baseline:
        return "it is the best float32 itself"
    if trial.latency is None:
        return trial.missing.get("latency_ms", "not measured")
    return "only what may be released, and each float32, is timed against the best float in turns"


def _flips(exam: Exam, outputs: Outputs, shared: Shared) -> tuple[tuple[Flip, ...], int]:
    """Samples that reference and candidate put into different classes."""
    metrics = [find_metric(gate.metric) for gate in shared.gates]
    if not any(metric is not None and metric.family != "score" for metric in metrics) or exam.output not in outputs:
        return (), 0
    ours = outputs[exam.output]
    if ours.shape != exam.reference.shape or not np.isfinite(ours).all():
        return (), 0
    before, after = scores_of(exam.reference), scores_of(ours)
    cut = cut_of(before)
    was, now = predicted(before, cut), predicted(after, cut)
    labels = exam.labels
    found = []
    for place in np.flatnonzero(was != now):
        label = None if labels is None or labels.ndim != 1 else labels[place].item()
        kind = "negative" if label == was[place] else "positive" if label == now[place] else "neither"
        index = exam.split.indices[int(place)]
        found.append(Flip(index, label, int(was[place]), int(now[place]), kind if label is not None else "neither"))  # type: ignore[arg-type]
    found.sort(key=lambda flip: (("negative", "positive", "neither").index(flip.kind), flip.index))
    return tuple(found), len(found)


def _conditions(target: Target) -> Mapping[str, Any]:
    """How latency was measured."""
    timed = [trial.latency for trial in target.trials if trial.latency is not None]
    if not timed:
        told = f"not measured: this machine is no {target.profile.name}"
        return {"latency": told, "notes": list(target.decision.notes)}
    return {
        "threads": target.threads,
        "batch": 1,
        "windows": len(timed[0].window_ms),
        "disturbed": any(item.is_disturbed for item in timed),
        "notes": list(target.decision.notes),
    }
