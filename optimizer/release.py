"""Which candidate is released: ordered by the objective, never slower than the best float, judged once on `accept`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..calibration.content import content_digest, sketch
from ..core.canonical import digest_json
from ..core.errors import RuntimeFailure
from ..device_profiles.profile import DeviceProfile
from ..runtimes import registry
from ..runtimes.bench.compare import TOLERANCE, RatioResult, compare, never_slower
from ..runtimes.contract import Precision
from .build import Built
from .chance import chance
from .exam import Exam
from .gates.ledger import Judging, Ledger
from .gates.verdict import Verdict, overall
from .kit import Kit
from .looks import next_look
from .recipe import Objective
from .trial import Trial, sample_of


@dataclass(frozen=True)
class Look:
    """One candidate's look at `accept`: its verdicts there, and the ledger's extract."""

    trial: Trial
    verdicts: tuple[Verdict, ...]
    ledger: dict[str, Any]

    @property
    def status(self) -> str:
        """Overall verdict."""
        return overall(self.verdicts)


@dataclass(frozen=True)
class Decision:
    """What was decided for one profile.

    `looks` are all looks at `accept`, the last of them that of `chosen` if there is one. `ratios` are candidate / best float of
    the times, by the candidate's key, of all that were timed in turns. `notes` tell of candidates that were passed over.
    """

    status: str
    why: str
    chosen: Trial | None
    baseline: Trial | None
    looks: tuple[Look, ...] = ()
    ratios: Mapping[str, RatioResult] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def look_of(self, trial: Trial) -> Look | None:
        """The look of a candidate, if it had one."""
        return next((look for look in self.looks if look.trial is trial), None)

    @property
    def last(self) -> Look | None:
        """The look that decided."""
        return self.looks[-1] if self.looks else None

    @property
    def ratio(self) -> RatioResult | None:
        """The ratio of what was chosen."""
        return None if self.chosen is None else self.ratios.get(self.chosen.key)


def order(trials: Sequence[Trial], objective: Objective, ram_bytes: Callable[[Trial], int]) -> list[Trial]:
    """Eligible trials, best first. Latency: the fastest, the smaller within a tie of 2 %; unmeasured: the smallest."""
    eligible = [trial for trial in trials if trial.is_eligible]
    if objective == "ram":
        return sorted(eligible, key=lambda trial: (ram_bytes(trial), _size(trial), trial.key))
    timed = sorted((trial for trial in eligible if trial.latency is not None), key=lambda trial: (_ms(trial), trial.key))
    if objective == "size" or not timed:
        return sorted(eligible, key=lambda trial: (_size(trial), _ms(trial), trial.key))
    result: list[Trial] = []
    while timed:
        tied = [trial for trial in timed if _ms(trial) <= _ms(timed[0]) * TOLERANCE]
        result.append(min(tied, key=lambda trial: (_size(trial), _ms(trial), trial.key)))
        timed.remove(result[-1])
    return result


def best_float(trials: Sequence[Trial]) -> Trial | None:
    """The float32 trial of the plain model that others must not be slower than: the fastest where timed, else the smallest."""
    floats = [trial for trial in trials if trial.is_eligible and _is_plain_float(trial)]
    return min(floats, key=lambda trial: (_ms(trial), _size(trial), trial.key), default=None)


def decide(
    kit: Kit,
    profile: DeviceProfile,
    trials: Sequence[Trial],
    objective: Objective,
    precisions: Sequence[Precision],
    accept: Exam,
    ledger: Ledger,
    ram_bytes: Callable[[Trial], int],
) -> Decision:
    """Walk the candidates in order; each look at `accept` is recorded first and spends alpha.

    The order is the objective's, with the looks well spent (`next_look`).

    At most three candidates look, of different variants where there are some, and the best float32 in any case: what nothing
    may be slower than must not be left out. Only what has one of `precisions` may be released.
    """
    baseline = _fastest_float(kit, profile, trials) if objective == "latency" else best_float(trials)
    notes: list[str] = []
    looks: list[Look] = []
    ratios: dict[str, RatioResult] = {}
    judging = _judging_data(accept, profile)
    growth = len(accept.split) / max(1, len(kit.search.split))
    waiting = [trial for trial in order(trials, objective, ram_bytes) if trial.precision in precisions]

    def chance_of(trial: Trial, look: int) -> float:
        return chance(trial.verdicts, growth, look)

    while (trial := next_look(waiting, [look.trial for look in looks], baseline, chance_of)) is not None:
        waiting = [other for other in waiting if other is not trial]
        built = trial.built
        if built is None:
            continue
        if objective == "latency" and baseline is not None and trial.latency is not None and trial is not baseline:
            ratio, note = _against(kit, profile, trial, baseline)
            if ratio is not None:
                ratios[trial.key] = ratio
            if note:
                notes.append(note)
                continue
        texts = [str(gate) for gate in kit.gates]
        entry = ledger.look(judging, built.digest, texts, kit.seed)
        verdicts = _judged(kit, trial, accept, entry.alpha())
        looks.append(Look(trial, tuple(verdicts), ledger.extract(entry)))
        why = why_of(verdicts)
        if looks[-1].status == "passed":
            return Decision("passed", why, trial, baseline, tuple(looks), ratios, tuple(notes))
        spent = f"look {entry.number}, alpha {entry.alpha():.4g}"
        notes.append(f"{trial.key} was {looks[-1].status} on accept ({spent}): {why}")
    if looks:
        status, why = looks[-1].status, why_of(looks[-1].verdicts)
    else:
        status = "failed" if trials and all(trial.status == "failed" for trial in trials) else "undecided"
        why = next((trial.why for trial in trials if trial.why), "no candidate could be built.")
    return Decision(status, why, None, baseline, tuple(looks), ratios, tuple(notes))


def _judging_data(accept: Exam, profile: DeviceProfile) -> Judging:
    """What looks are counted by: all that `accept` was cut from, so that neither another order nor another cut is new data."""
    device = digest_json([profile.arch, sorted(profile.isa), profile.threads])
    return Judging(sketch(accept.split.data), content_digest(accept.split, accept.columns), device)


def _judged(kit: Kit, trial: Trial, accept: Exam, alpha: float) -> list[Verdict]:
    """Verdicts on `accept`; a crash is a failed one."""
    built = trial.built
    try:
        if built is None:
            raise RuntimeFailure(trial.why)
        outputs = kit.evaluator.outputs(built, accept.split, trial.location)
    except RuntimeFailure as error:
        return [
            Verdict(str(gate), gate.metric, None, "failed", str(error), alpha, 0, measured_on=trial.measured_on)
            for gate in kit.gates
        ]
    return accept.judge(kit.gates, outputs, alpha=alpha, seed=kit.seed, measured_on=trial.measured_on)


def _fastest_float(kit: Kit, profile: DeviceProfile, trials: Sequence[Trial]) -> Trial | None:
    """The best float32, where there are several timed ones decided in turns: a disturbed timing must not pick it."""
    best = best_float(trials)
    others = [
        trial
        for trial in trials
        if trial.is_eligible and _is_plain_float(trial) and trial.latency is not None and trial is not best
    ]
    for trial in sorted(others, key=lambda trial: (_ms(trial), trial.key)):
        ratio = _ratio(kit, profile, trial, best) if best is not None and best.latency is not None else None
        if ratio is not None and ratio.high < 1:
            best = trial
    return best


def _ratio(kit: Kit, profile: DeviceProfile, trial: Trial, baseline: Trial) -> RatioResult | None:
    """Interleaved ratio of the times, or None where one of them cannot be run; raises nothing."""
    ours, theirs = trial.built, baseline.built
    if ours is None or theirs is None:
        return None
    threads = kit.threads_for(profile)
    try:
        found = kit.measurements.get(
            "ratio",
            (ours.digest, theirs.digest),
            threads,
            lambda: _interleaved(kit, ours, theirs, threads).to_json(),
            (ours.runtime, theirs.runtime),
        )
    except RuntimeFailure:
        return None
    return RatioResult.from_json(found)


def _against(kit: Kit, profile: DeviceProfile, trial: Trial, baseline: Trial) -> tuple[RatioResult | None, str]:
    """Fresh interleaved ratio to the best float; the second value says why the candidate is passed over, or ""."""
    ratio = _ratio(kit, profile, trial, baseline)
    if ratio is None or trial.built is None or baseline.built is None:
        return None, f"{trial.key} is passed over: it could not be timed beside the best float."
    choice = never_slower(ratio, trial.built.size_bytes, baseline.built.size_bytes)
    return ratio, "" if choice.released == "candidate" else f"{trial.key} is passed over: {choice.why}"


def _interleaved(kit: Kit, ours: Built, theirs: Built, threads: int) -> RatioResult:
    candidate = registry.get(ours.runtime).load(ours.files, ours.entry, threads)
    try:
        reference = registry.get(theirs.runtime).load(theirs.files, theirs.entry, threads)
        try:
            with kit.progress.task(f"{ours.runtime} {ours.precision} against the best float"):
                return compare(candidate, reference, sample_of(kit), seed=kit.seed)
        finally:
            reference.close()
    finally:
        candidate.close()


def why_of(verdicts: Sequence[Verdict]) -> str:
    """The sentence of the verdict that decides."""
    for status in ("failed", "undecided", "passed"):
        for verdict in verdicts:
            if verdict.status == status:
                return verdict.why if verdict.slice is None else f"{verdict.slice}: {verdict.why}"
    return ""


def _is_plain_float(trial: Trial) -> bool:
    return trial.precision == "float32" and not trial.variant


def _ms(trial: Trial) -> float:
    return trial.latency.median_ms if trial.latency is not None else float("inf")


def _size(trial: Trial) -> int:
    return trial.built.size_bytes if trial.built is not None else 0
