"""The verdicts, and how often they are wrong."""

from __future__ import annotations

import math
import random

import pytest
from edgewright.fleet.agent.health import Policy, confidence_distance, evidence, judge_trial, judge_vectors
from edgewright.fleet.serve.generation import Health, Statistics
from scipy import stats

POLICY = Policy(trial_s=300.0)
EDGES = (1.0, 2.0, 4.0, 8.0)


def counts(requests: int = 1000, errors: int = 0, **more: object) -> Statistics:
    return Statistics(requests, errors, **more)  # type: ignore[arg-type]


def test_test_vectors_decide_first() -> None:
    assert judge_vectors(Health(True, "", 5)).word == "healthy"
    verdict = judge_vectors(Health(False, "output 'y' is not finite", 5))
    assert (verdict.word, "not finite" in verdict.why) == ("unhealthy", True)


@pytest.mark.parametrize(
    ("statistics", "elapsed_s", "word", "why"),
    [
        (counts(), 299.0, "undecided", "of 300 s"),
        (counts(), 300.0, "healthy", "1000 requests"),
        (counts(3), 300.0, "healthy", "too few"),
        (counts(0), 300.0, "healthy", "test vectors"),
        (counts(1000, 12), 300.0, "healthy", "12 failed"),
        (counts(1000, 60), 1.0, "unhealthy", "60 of 1000"),
        (counts(2, 2), 1.0, "unhealthy", "2 of 2"),
        (counts(1, 1), 1.0, "undecided", ""),
        (counts(crashes=1), 1.0, "unhealthy", "ended 1 times"),
    ],
)
def test_a_trial_is_judged_by_errors_and_crashes(statistics: Statistics, elapsed_s: float, word: str, why: str) -> None:
    verdict = judge_trial(POLICY, statistics, elapsed_s)
    assert verdict.word == word
    assert why in verdict.why


def test_latency_is_held_against_the_promise_only_where_there_is_one() -> None:
    slow = counts(1000, latency_edges_ms=EDGES, latency_counts=(0, 0, 500, 500, 0))
    assert judge_trial(POLICY, slow, 1.0, promised_p99_ms=1.0).word == "unhealthy"
    assert judge_trial(POLICY, slow, 300.0, promised_p99_ms=6.0).word == "healthy"
    assert judge_trial(POLICY, slow, 300.0, promised_p99_ms=None).word == "healthy"
    a_few = counts(1000, latency_edges_ms=EDGES, latency_counts=(0, 960, 0, 40, 0))
    assert judge_trial(POLICY, a_few, 300.0, promised_p99_ms=1.0).word == "healthy"


def test_confidence_far_from_the_reference_is_unhealthy_with_enough_requests_only() -> None:
    reference = (10, 20, 70, 900, 0)
    turned = counts(1000, confidence=(900, 70, 20, 10, 0), confidence_reference=reference)
    assert judge_trial(POLICY, turned, 300.0).word == "unhealthy"
    few = counts(60, confidence=(9, 0, 0, 1, 0), confidence_reference=reference)
    assert judge_trial(POLICY, few, 300.0).word == "healthy"
    alike = counts(1000, confidence=(12, 18, 80, 890, 0), confidence_reference=reference)
    assert judge_trial(POLICY, alike, 300.0).word == "healthy"


def test_equal_distributions_stay_below_the_noise_at_any_size() -> None:
    source, bins = random.Random(0), 32
    policy = Policy(max_confidence_distance=0.0, min_requests=1)
    for size in (10, 100, 1000):
        alarms = 0
        for _ in range(60):
            one, two = [0] * bins, [0] * bins
            for _ in range(size):
                one[source.randrange(bins)] += 1
                two[source.randrange(bins)] += 1
            distance, bound = confidence_distance(one, two, policy)
            alarms += distance > bound
        assert alarms <= 3, f"{alarms} false alarms of 60 at {size} requests"


def test_looking_all_the_time_raises_few_false_alarms_and_finds_what_is_bad_soon() -> None:
    source, alarms, found = random.Random(1), 0, []
    for share in (0.01,) * 100 + (0.2,) * 20:
        errors, stopped_at = 0, None
        for requests in range(1, 200):
            errors += source.random() < share
            if judge_trial(POLICY, counts(requests, errors), 1.0).word == "unhealthy":
                stopped_at = requests
                break
        if share == 0.01:
            alarms += stopped_at is not None
        else:
            found.append(stopped_at or 200)
    allowed = stats.binom(100, POLICY.alpha).ppf(0.999)
    assert alarms <= allowed
    assert sorted(found)[len(found) // 2] <= 40


def test_the_e_value_has_a_mean_of_at_most_one_under_what_is_allowed() -> None:
    for allowed in (0.01, 0.05, 0.5):
        for trials in (1, 10, 200):
            chances = stats.binom(trials, allowed)
            logs = [chances.logpmf(hits) + evidence(hits, trials, allowed) for hits in range(trials + 1)]
            mean = sum(map(math.exp, logs))
            assert mean == pytest.approx(1.0, abs=1e-6)
