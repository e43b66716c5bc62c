"""What would help where nothing was released: samples, another margin, the layers that int8 harms, calibration."""

from __future__ import annotations

from collections.abc import Sequence

from .gates.verdict import Verdict
from .outcome import Shared, Target
from .trial import Trial


def help_for(target: Target, shared: Shared) -> tuple[str, ...]:
    """One clause a remedy, the most telling first; empty where something was released."""
    decision = target.decision
    if decision.chosen is not None:
        return ()
    lines = _samples(target, shared)
    failed = {trial.key: found for trial in target.trials if (found := _failed(target, trial))}
    lines += _margin(target.trials, failed)
    if any(trial.precision == "int8" for trial in target.trials if trial.key in failed):
        lines += [f"{trial.key}: {note}" for trial in target.trials for note in trial.notes if "layer" in note]
        lines.append(f"more calibration samples may bring int8 nearer; calib has {shared.splits.get('calib', 0)}")
    lines += [f"{trial.key}: {trial.why}" for trial in target.trials if trial.built is None]
    return tuple(dict.fromkeys((*lines, *decision.notes)))


def _samples(target: Target, shared: Shared) -> list[str]:
    """How many samples would likely decide what is undecided on `accept`, or on `search` where nothing looked further."""
    decision = target.decision
    part, verdicts = shared.accept.split, decision.last.verdicts if decision.last is not None else ()
    if not verdicts:
        part, verdicts = shared.search.split, tuple(item for trial in target.trials for item in trial.verdicts)
    needed = [item.n_needed for item in verdicts if item.status == "undecided" and item.n_needed is not None]
    return [f"about {max(needed)} samples in {part.name} would likely decide; it has {len(part)}"] if needed else []


def _failed(target: Target, trial: Trial) -> tuple[Verdict, ...]:
    """Verdicts of a candidate that failed with a figure: on `accept` if it looked there."""
    look = target.decision.look_of(trial)
    verdicts = trial.verdicts if look is None else look.verdicts
    return tuple(item for item in verdicts if item.status == "failed" and _lacks(item) is not None)


def _lacks(verdict: Verdict) -> float | None:
    """By how much the gate would have to be wider for this candidate to pass as it is."""
    if verdict.measured is None or verdict.threshold is None:
        return None
    bound = verdict.low if verdict.measured < verdict.threshold else verdict.high
    return None if bound is None else abs(bound - verdict.threshold)


def _margin(trials: Sequence[Trial], failed: dict[str, tuple[Verdict, ...]]) -> list[str]:
    """What the candidate that came nearest would have passed with; a gate that float32 fails too asks for too much."""
    floats = [trial.key for trial in trials if trial.precision == "float32" and not trial.variant]
    if floats and all(key in failed for key in floats):
        gate = failed[floats[0]][0].gate
        return [f"not even float32 holds {gate!r}, so the gate asks for more than the model has; correct the gate"]
    if not failed:
        return []
    key = min(failed, key=lambda name: max(_lacks(item) or 0.0 for item in failed[name]))
    worst = max(failed[key], key=lambda item: _lacks(item) or 0.0)
    where = "" if worst.slice is None else f" in {worst.slice}"
    return [f"{key} came nearest; {worst.gate!r}{where} would have to be wider by {_lacks(worst):.3g} for it to pass"]
