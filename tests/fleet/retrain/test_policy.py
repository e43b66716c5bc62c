"""Policies: a text that reads back, what fires one, and sentences for what cannot be read."""

from __future__ import annotations

import pytest
from edgewright.core.errors import UsageError
from edgewright.fleet.drift.verdict import SEVERITIES
from edgewright.fleet.retrain.policy import (
    MAX_TIMES,
    MAX_WINDOWS,
    PERIODS,
    Cause,
    Condition,
    Drift,
    Policy,
    Seen,
    Window,
    cause,
)
from hypothesis import given
from hypothesis import strategies as st

windows = st.integers(1, MAX_WINDOWS)
conditions = st.one_of(
    st.builds(Condition, st.just("drift"), severity=st.sampled_from(SEVERITIES), windows=windows),
    st.builds(
        Condition,
        st.sampled_from(("accuracy", "accuracy_estimate")),
        below=st.integers(1, 10**9).map(lambda value: value / 10**9),
        windows=windows,
    ),
)
whos = st.sampled_from(("machine", "person"))
policies = st.builds(
    Policy,
    st.lists(conditions, min_size=1, max_size=5).map(tuple),
    st.integers(1, MAX_TIMES),
    st.sampled_from(tuple(PERIODS)),
    whos,
    whos,
)


@given(policies)
def test_a_policy_reads_back_as_it_was_printed(policy):
    assert Policy.parse(str(policy)) == policy


def test_what_is_left_out_is_careful():
    policy = Policy.parse("on: accuracy < 90%")
    assert policy == Policy((Condition("accuracy", below=0.9),), 1, "day", "machine", "person")
    assert str(policy) == "on: accuracy < 0.9; at most once a day; approve: canary by machine, fleet by person"


@pytest.mark.parametrize(
    ("text", "printed"), [("0.001%", "0.00001"), ("0.000000001", "0.000000001"), ("99.99999%", "0.9999999"), ("1", "1")]
)
def test_a_share_is_printed_as_it_is_read(text, printed):
    policy = Policy.parse(f"on: accuracy < {text}")
    assert str(policy).startswith(f"on: accuracy < {printed};")
    assert Policy.parse(str(policy)) == policy


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "cannot be read"),
        ("at most once a day", "on what a retraining starts"),
        ("on: drift sever", "did you mean 'severe'"),
        ("on: accuracy > 0.9", "accuracy > 0.9"),
        ("on: accuracy < 0", "share above 0"),
        ("on: accuracy < 1.5", "share above 0"),
        ("on: drift severe for 0 windows", "give 1 to"),
        ("on: drift severe; on: drift minor", "'on' twice"),
        ("on: drift severe; at most twice a day", "at most 3 times a week"),
        ("on: drift severe; at most 0 times a day", "give 1 to"),
        ("on: drift severe; at most once a decade", "unknown period"),
        ("on: drift severe; approve: canary by nobody", "unknown approver"),
        ("on: drift severe; approve: all by person", "unknown rollout"),
        ("on: drift severe; approve: fleet by person, fleet by machine", "twice who approves"),
        ("on: drift severe; whenever: once a day", "whenever"),
        ("on: " + "drift minor or " * 65 + "drift minor", "1055 characters written in full"),
        ("on: " + "drift severe or " * 100 + "drift severe", "at most 1000 characters"),
    ],
)
def test_what_cannot_be_read_is_named(text, said):
    with pytest.raises(UsageError, match=said):
        Policy.parse(text)


def drift(severity="severe", count=3, scope="fleet", measure="input x[3]"):
    return Drift(7, measure, scope, severity, count)


def test_a_drift_fires_once_it_is_bad_enough_for_long_enough():
    policy = Policy.parse("on: drift moderate for 2 windows")
    assert cause(policy, Seen([drift("moderate", 2)])) == Cause("input x[3] drifts in fleet, moderate, for 2 windows.", 7)
    assert cause(policy, Seen([drift("severe", 2)])) is not None
    assert cause(policy, Seen([drift("severe", 1)])) is None
    assert cause(policy, Seen([drift("minor", 9)])) is None
    assert cause(policy, Seen()) is None


def test_one_broken_device_teaches_nobody():
    policy = Policy.parse("on: drift minor")
    assert cause(policy, Seen([drift(scope="device 1234")])) is None
    assert cause(policy, Seen([drift(scope="attribute camera = B2")])) is not None


@pytest.mark.parametrize("measure", ["latency", "errors"])
def test_what_no_training_mends_starts_none(measure):
    assert cause(Policy.parse("on: drift minor"), Seen([drift(measure=measure)])) is None


def test_accuracy_fires_where_all_of_its_interval_lies_below_in_each_of_the_last_windows():
    policy = Policy.parse("on: accuracy_estimate < 0.9 for 2 windows")
    low, high = Window(0.8, 0.85), Window(0.88, 0.91)
    assert cause(policy, Seen(estimates=[high, low, low])) is not None
    assert cause(policy, Seen(estimates=[low, high, low])) is None
    assert cause(policy, Seen(estimates=[low])) is None
    assert cause(policy, Seen(accuracies=[low, low])) is None
    assert cause(Policy.parse("on: accuracy < 0.9"), Seen(accuracies=[low])) is not None


def test_any_condition_is_enough():
    policy = Policy.parse("on: drift severe for 2 windows or accuracy < 0.9")
    assert cause(policy, Seen([drift("minor")], accuracies=[Window(0.5, 0.6)])).alert is None
