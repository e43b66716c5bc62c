"""Plans, guards and maintenance windows: what people write, what is kept, and what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timezone

import pytest
from edgewright.core.errors import EdgewrightError, UsageError
from edgewright.fleet.rollout.guard import Guard
from edgewright.fleet.rollout.maintenance import MaintenanceWindow, opens_in
from edgewright.fleet.rollout.plan import Plan, Stage
from hypothesis import given
from hypothesis import strategies as st

STAGES = st.one_of(
    st.lists(st.integers(1, 100), min_size=1, max_size=5, unique=True).map(
        lambda shares: tuple(Stage(share / 100) for share in sorted(shares))
    ),
    st.lists(st.integers(1, 500), min_size=1, max_size=5, unique=True).map(
        lambda counts: tuple(Stage(count=count, query='site = "lab"') for count in sorted(counts))
    ),
)
GUARDS = st.lists(st.sampled_from(["errors", "slow", "confidence"]), unique=True).flatmap(
    lambda kinds: st.tuples(
        *(st.builds(Guard, st.just(kind), st.integers(1, 80).map(lambda p: p / 100), st.booleans()) for kind in kinds)
    )
)
WINDOWS = st.builds(
    lambda days, start, length: MaintenanceWindow(tuple(sorted(days)), start, (start + length) % 1440),
    st.sets(st.integers(0, 6), min_size=1),
    st.integers(0, 1439),
    st.integers(1, 1439),
)
PLANS = st.builds(
    Plan,
    st.just("digits"),
    st.integers(1, 100),
    st.sampled_from(["", "profile = pi", "has site and not group = beta"]),
    STAGES,
    guards=GUARDS,
    windows=st.lists(WINDOWS, max_size=3).map(tuple),
    needs_approval=st.booleans(),
    when_undecided=st.sampled_from(["pause", "promote"]),
    rate=st.none() | st.integers(1, 1000),
    seed=st.integers(0, 10),
    deadline_s=st.none() | st.just(600.0),
)


@given(PLANS)
def test_a_plan_comes_back_from_its_json(plan: Plan) -> None:
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


@pytest.mark.parametrize("text", ["5%", "0.5%", "20", "all"])
def test_a_stage_is_written_as_it_is_read(text: str) -> None:
    assert str(Stage.parse(text)) == text


@pytest.mark.parametrize("text", ["errors <= +1pt", "slow <= +5pt to promote", "confidence >= -2.5pt"])
def test_a_guard_is_written_as_it_is_read(text: str) -> None:
    assert str(Guard.parse(text)) == text


@pytest.mark.parametrize("text", ["Sat,Sun 02:00-05:00 UTC", "22:00-04:30 UTC", "Mon 00:00-24:00 UTC"])
def test_a_maintenance_window_is_written_as_it_is_read(text: str) -> None:
    assert str(MaintenanceWindow.parse(text)) == text


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (Stage, "0%"), (Stage, "101%"), (Stage, "0"), (Stage, "-3"), (Stage, "half"), (Stage, ""),
        (Guard, "errors < 1pt"), (Guard, "errors >= 1pt"), (Guard, "errors <= -1pt"), (Guard, "confidence >= 5pt"),
        (Guard, "warmth <= +1pt"), (Guard, "slow <= +95pt"), (Guard, "errors <= +0pt"), (Guard, "errors"),
        (MaintenanceWindow, "Sam 02:00-05:00 UTC"), (MaintenanceWindow, "02:00-05:00"), (MaintenanceWindow, "02:00-02:00 UTC"),
        (MaintenanceWindow, "25:00-26:00 UTC"), (MaintenanceWindow, "01:60-02:00 UTC"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_told_with_an_example(kind: type, text: str) -> None:
    with pytest.raises(UsageError, match=r"\.$"):
        kind.parse(text)


@pytest.mark.parametrize(
    "change",
    [
        {"stages": ()}, {"stages": (Stage(0.5), Stage(0.5))}, {"stages": (Stage(count=9), Stage(count=3))},
        {"stages": (Stage(1.5),)}, {"stages": (Stage(query="site ="),)}, {"allowed": 0.2}, {"allowed": 0.0},
        {"unacceptable": 1.0}, {"alpha": 0.0}, {"alpha": 0.9}, {"query": "site ="}, {"rate": 0}, {"silent_s": float("nan")},
        {"observe_s": -1.0}, {"when_undecided": "guess"}, {"seed": -1}, {"model": "a/b"}, {"version": 0},
        {"guards": (Guard("slow", 0.05), Guard("slow", 0.1))},
    ],
)  # fmt: skip
def test_a_plan_that_cannot_be_followed_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(EdgewrightError, match=r"\.$"):
        replace(Plan("digits", 2), **change)


@pytest.mark.parametrize(
    "change", [{"more": 1}, {"model": None}, {"stages": [{"share": 0.5}]}, {"alpha": "a"}, {"alpha": True}, {"plan_version": 2}]
)
def test_json_that_is_no_plan_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(UsageError, match=r"\.$"):
        Plan.from_json({**Plan("digits", 2).to_json(), **change})


def test_whole_numbers_are_numbers_in_a_plan() -> None:
    told = {**Plan("digits", 2).to_json(), "observe_s": 60, "deadline_s": 600}
    assert Plan.from_json(told) == Plan("digits", 2, observe_s=60.0, deadline_s=600.0)


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp()


@pytest.mark.parametrize(
    ("windows", "now", "wait"),
    [
        ([], "2026-03-02T12:00", 0),
        (["02:00-05:00 UTC"], "2026-03-02T04:59:59", 0),
        (["02:00-05:00 UTC"], "2026-03-02T05:00", 21 * 3600),
        (["Sat,Sun 02:00-05:00 UTC"], "2026-03-02T00:00", 5 * 86400 + 2 * 3600),  # a Monday
        (["Sun 23:00-01:00 UTC"], "2026-03-02T00:30", 0),  # still that of Sunday
        (["Sun 23:00-01:00 UTC", "Mon 03:00-04:00 UTC"], "2026-03-02T01:00", 2 * 3600),
    ],
)
def test_a_window_opens_when_its_text_says(windows: list[str], now: str, wait: float) -> None:
    assert opens_in([MaintenanceWindow.parse(text) for text in windows], at(now)) == wait


@given(st.lists(WINDOWS, min_size=1, max_size=3), st.floats(1.6e9, 1.9e9))
def test_after_the_wait_a_window_is_open_and_not_before(windows: list[MaintenanceWindow], now: float) -> None:
    whole = float(round(now))
    wait = opens_in(windows, whole)
    assert opens_in(windows, whole + wait) == 0
    assert wait == 0 or opens_in(windows, whole + wait - 1) == 1
