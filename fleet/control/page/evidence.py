"""The evidence of a rollout's stage as figures: tests over the same devices share a picture, one to stop, one to go on."""

from __future__ import annotations

from collections.abc import Sequence

from ...rollout.guard import Guard
from ...rollout.judge import Evidence, TestPath
from ...rollout.plan import Plan
from .path_picture import Captions, Path, evidence_text, path_picture, times
from .rollouts import stage_name
from .views import Figure
from .words import count, number, plural

_SIZES = ((760.0, 330.0), (360.0, 330.0))
_SMALL = ((760.0, 210.0), (360.0, 210.0))  # for a test of one side
_GUARDS = {"errors": "Requests that fail", "slow": "Slow requests", "confidence": "Confidence"}


def figures_of(plan: Plan, evidence: Evidence) -> list[Figure]:
    """A figure for each test of failures and each guard, those that look at the stage alone first."""
    of_failures = [test for test in evidence.tests if _guard(plan, test) is None]
    found = [_of_failures(plan, evidence, group) for group in _grouped(of_failures)]
    found.sort(key=lambda item: not item[0])
    guards = [_of_guard(guard, [test for test in evidence.tests if _guard(plan, test) is guard]) for guard in plan.guards]
    return [figure for _, figure in found] + guards


def _guard(plan: Plan, test: TestPath) -> Guard | None:
    """The guard that a test belongs to, or None for a test of failures."""
    return next((guard for guard in plan.guards if test.name.partition(" ")[0] == guard.kind), None)


def _grouped(tests: Sequence[TestPath]) -> list[list[TestPath]]:
    """Tests that looked at the same devices together, one of each side."""
    groups: list[list[TestPath]] = []
    for test in tests:
        mate = next((group for group in groups if group[0].marks == test.marks and group[0].side != test.side), None)
        if mate is None or len(mate) > 1:
            groups.append([test])
        else:
            mate.append(test)
    return groups


def _of_failures(plan: Plan, evidence: Evidence, tests: Sequence[TestPath]) -> tuple[bool, Figure]:
    """Whether it is of the stage alone, and the figure."""
    is_all = evidence.stage > 0 and any(test.name in ("failures", "proof with earlier stages") for test in tests)
    shown = evidence.counts if is_all else evidence.counts[evidence.stage : evidence.stage + 1]
    expected = sum(counts.assigned + counts.to_assign for counts in shown)
    whose = "all stages so far" if is_all else stage_name(evidence.stage)
    words = Captions(
        f"stop: more than {_percent(plan.allowed)} fail",
        f"go on: fewer than {_percent(plan.unacceptable)} fail",
        "devices, as they were assigned",
    )
    return not is_all, _figure(f"Devices that fail, {whose}", tests, expected, words, has_marks=True)


def _of_guard(guard: Guard, tests: Sequence[TestPath]) -> Figure:
    points = f"{number(100 * guard.margin)} pt"
    if guard.kind == "confidence":
        words = Captions(f"stop: lower by more than {points}", f"go on: lower by less than {points}", "devices compared")
    else:
        words = Captions(f"stop: {guard.kind} above +{points}", f"go on: {guard.kind} below +{points}", "devices compared")
    expected = max((len(test.path) for test in tests), default=0)
    return _figure(f"{_GUARDS[guard.kind]}: {guard}", tests, expected, words, has_marks=False)


def _figure(
    title: str,
    tests: Sequence[TestPath],
    expected: int,
    words: Captions,
    has_marks: bool,
) -> Figure:
    paths = [Path(test.side, test.path, test.bound) for test in tests]
    marks = tests[0].marks if tests and has_marks else ()
    wide, narrow = (path_picture(paths, marks, expected, words, *size) for size in (_SIZES if len(paths) > 1 else _SMALL))
    told = [_told(test, path) for test, path in zip(tests, paths, strict=True)]
    sentence = (
        _counted(tests[0]) if has_marks and tests else f"{plural(len(tests[0].path) if tests else 0, 'device')} compared."
    )
    return Figure(title, sentence, told, wide, narrow)


def _counted(test: TestPath) -> str:
    """ "1 of 15 devices failed, 2 are silent, 3 have not answered yet."."""
    if not test.marks:
        return "No device has answered yet."
    bad, silent, pending = (test.marks.count(mark) for mark in ("bad", "silent", "pending"))
    parts = [f"{count(bad)} of {plural(len(test.marks), 'device')} failed"]
    parts += [f"{count(silent)} stayed silent"] if silent else []
    parts += (
        [f"{count(pending)} before the last answer {'has' if pending == 1 else 'have'} not answered yet"] if pending else []
    )
    return ", ".join(parts) + "."


def _told(test: TestPath, path: Path) -> str:
    goal = "To stop" if test.side == "stop" else "To go on"
    if path.decided is not None:
        return f"{goal}: the bound was reached after {plural(path.decided, 'device')}, which refutes that {test.claim}."
    return f"{goal}: evidence {evidence_text(path)} of {times(path.bound)} against the claim that {test.claim}."


def _percent(rate: float) -> str:
    return f"{100 * rate:.4g} %"
