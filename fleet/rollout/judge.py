"""The judgement of a rollout: what its devices said, in; the evidence of each test and a decision, out. Pure.

Tests (`stats.sequential`), all valid however often one looks:

    failures      "at most `allowed` of the devices fail", over all devices of the rollout, and from the second stage on over
                  those of the stage alone, so that many good ones of earlier stages hide nothing. Reached: abort. The error
                  levels are those of looks (`stats.spending`): together at most `alpha`.
    guards        "at most the margin worse", each at `alpha` over the number of guards. Reached: abort.
    proof         "at least `unacceptable` fail", over the devices of the stage. Reached: promote, if all guards that are to be
                  shown before are. A stage all of whose devices answered is also promoted by the devices of this and of
                  earlier stages with the same query together.

Devices that fail say so sooner than others can be called good, so answers in their order of arrival are no sample: at first
they are failures only. Devices are therefore taken in the order in which they were assigned, which chance gave (`membership`).
Who has not answered yet counts in favour of the version where it is to be aborted, and against it where it is to be promoted:
what is decided then stands whatever they come to say. A silent device, which never began, counts as good in the first test and
not at all in the last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ...stats.sequential import at_least, at_most, log_bound
from ...stats.spending import alpha_of_look
from .guard import Guard, GuardKind
from .plan import Plan

Word = Literal["good", "bad", "silent"]
Mark = Literal["good", "bad", "silent", "pending"]
Verdict = Literal["continue", "promote", "abort", "undecided"]
Side = Literal["stop", "go"]
WORDS: tuple[Word, ...] = get_args(Word)
_SHOWN = 400  # points of a path in JSON


@dataclass(frozen=True)
class Outcome:
    """A device that was assigned the version in a stage (0 is the canary), and what came of it; None: not known yet."""

    device: str
    stage: int
    word: Word | None = None


@dataclass(frozen=True)
class Pair:
    """Values of the guards on one device (`guard.value_of`), in the order in which they were settled."""

    stage: int
    values: Mapping[GuardKind, float]


@dataclass(frozen=True)
class TestPath:
    """A test's path: the logarithm of its wealth after each device, against `bound`, which it reached after `reached` devices.

    `side` "stop" speaks against the version, "go" for it; `claim` is what reaching the bound refutes. `marks` are the devices
    beside the path, for guards all good.
    """

    name: str
    side: Side
    claim: str
    bound: float
    path: tuple[float, ...]
    marks: tuple[Mark, ...]

    @property
    def reached(self) -> int | None:
        """After how many devices the bound was first reached, or None."""
        return next((count for count, value in enumerate(self.path, 1) if value >= self.bound), None)

    @property
    def evidence(self) -> float:
        """Logarithm of the wealth after the last device."""
        return self.path[-1] if self.path else 0.0

    def to_json(self) -> dict[str, Any]:
        """JSON object; of a long path some points as [devices, logarithm], with the last and where the bound was reached."""
        step = max(1, len(self.path) // _SHOWN)
        places = sorted(
            {*range(step, len(self.path) + 1, step), *([self.reached] if self.reached else []), len(self.path)} - {0}
        )
        return {
            "bound": self.bound,
            "claim": self.claim,
            "devices": len(self.path),
            "evidence": self.evidence,
            "name": self.name,
            "path": [[place, self.path[place - 1]] for place in places],
            "reached": self.reached,
            "side": self.side,
        }


@dataclass(frozen=True)
class Counts:
    """Devices of a stage: assigned ones by what came of them, and those `to_assign`."""

    good: int = 0
    bad: int = 0
    silent: int = 0
    pending: int = 0
    to_assign: int = 0

    @property
    def assigned(self) -> int:
        """Devices that were assigned."""
        return self.good + self.bad + self.silent + self.pending

    def to_json(self) -> dict[str, int]:
        """JSON object with the fields."""
        return {name: getattr(self, name) for name in ("assigned", "good", "bad", "silent", "pending", "to_assign")}


@dataclass(frozen=True)
class Evidence:
    """All tests of a stage, and the counts of each stage so far."""

    stage: int
    counts: tuple[Counts, ...]
    tests: tuple[TestPath, ...]
    fewest_to_promote: int

    def to_json(self) -> dict[str, Any]:
        """JSON object with the fields."""
        return {
            "counts": [counts.to_json() for counts in self.counts],
            "fewest_to_promote": self.fewest_to_promote,
            "stage": self.stage,
            "tests": [test.to_json() for test in self.tests],
        }


@dataclass(frozen=True)
class Decision:
    """What follows, and why in one sentence."""

    verdict: Verdict
    why: str


def judge(
    plan: Plan, stage: int, outcomes: Sequence[Outcome], pairs: Sequence[Pair], to_assign: int = 0
) -> tuple[Evidence, Decision]:
    """Evidence and decision of a stage.

    `outcomes` are the assigned devices of all stages so far, in the order of assignment, `pairs` in the order of settling;
    `to_assign` devices of the stages so far are still to be assigned.
    """
    counts = tuple(_counts(outcomes, place, to_assign if place == stage else 0) for place in range(stage + 1))
    stops = [*_failures(plan, stage, outcomes), *(_worse(plan, guard, pairs) for guard in plan.guards)]
    proof = _proof(plan, "proof", [item for item in outcomes if item.stage == stage])
    kin = {place for place in range(stage + 1) if plan.stages[place].query == plan.stages[stage].query}
    shown = [_no_worse(plan, guard, [pair for pair in pairs if pair.stage in kin]) for guard in plan.guards if guard.to_promote]
    together = []
    if len(kin) > 1:
        together = [_proof(plan, "proof with earlier stages", [item for item in outcomes if item.stage in kin])]
    evidence = Evidence(stage, counts, (*stops, proof, *together, *shown), plan.fewest_to_promote)
    return evidence, _decide(plan, evidence, stops, proof, together, shown)


def abort_levels(plan: Plan, stage: int) -> tuple[float, ...]:
    """Error levels of the tests of failures in a stage: over all devices, and from the second on over the stage's alone."""
    first = alpha_of_look(1, plan.alpha) if len(plan.stages) > 1 else plan.alpha
    return (first,) if stage == 0 else (first, alpha_of_look(stage + 1, plan.alpha))


def _failures(plan: Plan, stage: int, outcomes: Sequence[Outcome]) -> list[TestPath]:
    named = zip(("failures", "failures of this stage"), abort_levels(plan, stage), strict=False)
    found = []
    for name, level in named:
        taken = _answered(outcomes if name == "failures" else [item for item in outcomes if item.stage == stage])
        path = at_most(plan.allowed).path(item.word == "bad" for item in taken)
        claim = f"at most {_percent(plan.allowed)} of the devices fail"
        found.append(TestPath(name, "stop", claim, log_bound(level), tuple(path), _marks(taken)))
    return found


def _proof(plan: Plan, name: str, outcomes: Sequence[Outcome]) -> TestPath:
    taken = _answered(outcomes)
    heard = iter(at_least(plan.unacceptable, plan.allowed).path(item.word != "good" for item in taken if item.word != "silent"))
    path, last = [], 0.0
    for item in taken:
        last = last if item.word == "silent" else next(heard)
        path.append(last)
    claim = f"{_percent(plan.unacceptable)} of the devices or more fail"
    return TestPath(name, "go", claim, log_bound(plan.alpha), tuple(path), _marks(taken))


def _worse(plan: Plan, guard: Guard, pairs: Sequence[Pair]) -> TestPath:
    values = _values(guard, pairs)
    bound = log_bound(plan.alpha / len(plan.guards))
    claim = f"{guard.kind} is at most {_points(guard.margin)} worse than before"
    return TestPath(guard.kind, "stop", claim, bound, tuple(guard.worse.path(values)), _all_good(values))


def _no_worse(plan: Plan, guard: Guard, pairs: Sequence[Pair]) -> TestPath:
    values = [-value for value in _values(guard, pairs)]
    claim = f"{guard.kind} is {_points(guard.margin)} worse than before, or more"
    path = tuple(guard.no_worse.path(values))
    return TestPath(f"{guard.kind} to promote", "go", claim, log_bound(plan.alpha), path, _all_good(values))


def _decide(
    plan: Plan,
    evidence: Evidence,
    stops: Sequence[TestPath],
    proof: TestPath,
    together: Sequence[TestPath],
    shown: Sequence[TestPath],
) -> Decision:
    for test in stops:
        if test.reached is not None:
            return Decision("abort", _why_abort(test))
    counts = evidence.counts[evidence.stage]
    missing = [test for test in shown if test.reached is None]
    if proof.reached is not None and not missing:
        return Decision("promote", _why_promote(plan, proof, proof.reached))
    is_open = counts.to_assign or any(item.pending for item in evidence.counts)
    if is_open:
        return Decision("continue", _so_far(counts))
    for test in together:
        if test.evidence >= test.bound and not missing:
            return Decision("promote", _why_promote(plan, test, len(test.path)))
    return Decision("undecided", _why_undecided(plan, counts, missing))


def _why_abort(test: TestPath) -> str:
    reached = test.reached or 0
    if test.name.startswith("failures"):
        of = " of the stage" if test.name != "failures" else ""
        bad = test.marks[:reached].count("bad")
        told = f"{bad} of the first {reached} devices{of} failed"
    else:
        told = f"{reached} devices were compared with the version before"
    return f"{told}, which refutes that {test.claim}."


def _why_promote(plan: Plan, test: TestPath, reached: int) -> str:
    bad = test.marks[:reached].count("bad")
    return f"{bad} of {_devices(reached)} failed, which refutes that {_percent(plan.unacceptable)} or more do."


def _so_far(counts: Counts) -> str:
    return f"{counts.good} good, {counts.bad} bad, {counts.silent} silent, {counts.pending} open, {counts.to_assign} to assign."


def _why_undecided(plan: Plan, counts: Counts, missing: Sequence[TestPath]) -> str:
    heard = counts.good + counts.bad
    told = f"{counts.bad} of {_devices(heard)} failed" if heard else "no device of the stage answered"
    if counts.silent:
        told += f" and {counts.silent} stayed silent"
    if missing:
        kinds = " and ".join(test.name.partition(" ")[0] for test in missing)
        return f"{told}, and it was not shown that {kinds} keeps within the guard."
    least = f"a proof takes at least {plan.fewest_to_promote} devices without a failure"
    return f"{told}, which proves neither that the version is bad nor that it is good enough ({least})."


def _answered(outcomes: Sequence[Outcome]) -> Sequence[Outcome]:
    """The outcomes up to the last that is known."""
    last = max((place for place, item in enumerate(outcomes, 1) if item.word is not None), default=0)
    return outcomes[:last]


def _counts(outcomes: Sequence[Outcome], stage: int, to_assign: int) -> Counts:
    words = [item.word for item in outcomes if item.stage == stage]
    return Counts(words.count("good"), words.count("bad"), words.count("silent"), words.count(None), to_assign)


def _marks(outcomes: Sequence[Outcome]) -> tuple[Mark, ...]:
    return tuple(item.word or "pending" for item in outcomes)


def _all_good(values: Sequence[float]) -> tuple[Mark, ...]:
    return tuple("good" for _ in values)


def _values(guard: Guard, pairs: Sequence[Pair]) -> list[float]:
    return [pair.values[guard.kind] for pair in pairs if guard.kind in pair.values]


def _devices(count: int) -> str:
    return "1 device" if count == 1 else f"{count} devices"


def _percent(rate: float) -> str:
    return f"{100 * rate:.4g} %"


def _points(margin: float) -> str:
    return f"{100 * margin:.4g} points"
