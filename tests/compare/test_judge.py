"""From intervals to verdicts, the shared level, and the arithmetic of loads: no clock is asked."""

from __future__ import annotations

import math

import numpy as np
import pytest
from edgewright.optimizer.compare.judge import Bounded, judge, judge_exact
from edgewright.optimizer.compare.looks import LOOKS, plan_looks
from edgewright.optimizer.compare.measuring import Pairs
from edgewright.optimizer.compare.rules import parse_rule
from edgewright.optimizer.compare.turns import Load, Runs, interruptions
from edgewright.stats.rank_bounds import least_pairs


@pytest.mark.parametrize(
    ("rule", "low", "high", "status"),
    [
        ("p90_ms > +5%", 0.06, 0.10, "regression"),
        ("p90_ms > +5%", -0.02, 0.03, "none"),
        ("p90_ms > +5%", -0.02, 0.08, "noise"),
        ("p90_ms > +5%", 0.02, 0.08, "undecided"),
        ("p90_ms > +5%", 0.05, 0.05, "none"),
        ("p90_ms > -10%", -0.05, 0.02, "regression"),
        ("p90_ms > -10%", -0.15, 0.02, "undecided"),
        ("p90_ms > -10%", -0.25, -0.15, "none"),
        ("p90_ms > 20", 18.0, 22.0, "undecided"),
        ("p90_ms > 20", 21.0, 22.0, "regression"),
        ("throughput < -5%", -0.2, -0.1, "regression"),
        ("throughput < -5%", -0.04, 0.1, "none"),
        ("throughput < -5%", -0.1, 0.1, "noise"),
        ("throughput < -5%", -math.inf, math.inf, "noise"),
    ],
)
def test_an_interval_and_a_threshold_make_a_verdict(rule, low, high, status):
    middle = (low + high) / 2 if math.isfinite(low) else 0.0
    judged = judge(parse_rule(rule), Bounded(middle, low, high, 9), "ms")
    assert judged.status == status
    assert judged.why.endswith(".")


def test_what_is_open_says_how_many_pairs_would_decide():
    judged = judge(parse_rule("p90_ms > +5%"), Bounded(0.03, -0.01, 0.07, 10), "ms")
    assert judged.status == "noise"
    # Twice as far as the distance to the threshold: four times as many.
    assert judged.n_needed == 41
    assert "about 41 loads would decide" in judged.why


def test_without_a_distance_no_number_is_named():
    judged = judge(parse_rule("p90_ms > +5%"), Bounded(0.05, 0.01, 0.09, 10), "ms")
    assert (judged.status, judged.n_needed) == ("undecided", None)


@pytest.mark.parametrize(("value", "status"), [(0.021, "regression"), (0.02, "none"), (-0.5, "none")])
def test_what_is_exact_needs_no_interval(value, status):
    assert judge_exact(parse_rule("size > +2%"), value, "B").status == status


@pytest.mark.parametrize("judgements", [1, 3, 40])
def test_looks_share_the_level_and_can_all_decide(judgements):
    looks = plan_looks(0.05, judgements)
    assert looks.alpha * LOOKS * judgements == pytest.approx(0.05)
    assert len(looks.pairs) == LOOKS
    assert list(looks.pairs) == sorted(set(looks.pairs))
    assert looks.pairs[0] > least_pairs(looks.alpha)


def load(base, head, base_hit=None, head_hit=None, samples=1):
    def runs(times, hit):
        table = np.asarray(times, dtype=np.float64)
        return Runs(table, np.zeros(table.shape, dtype=bool) if hit is None else np.asarray(hit))

    return Load(runs(base, base_hit), runs(head, head_hit), samples)


def test_a_disturbed_round_disturbs_both_sides_and_so_no_ratio():
    times = np.ones((9, 4))
    times[3] = 40.0
    assert load(times, 1.1 * times).log_ratio("p50_ms", keep_all=False) == pytest.approx(math.log(1.1))


def test_interrupted_runs_are_set_aside_on_both_sides():
    times, hit = np.ones((8, 4)), np.zeros((8, 4), dtype=bool)
    times[:, 0], hit[:, 0] = 50.0, True
    found = load(np.ones((8, 4)), times, None, hit)
    assert found.figure("p90_ms", keep_all=False) == (1.0, 1.0)
    assert found.figure("p90_ms", keep_all=True)[1] == 50.0


def test_where_most_runs_are_interrupted_all_count():
    times, hit = np.full((8, 4), 2.0), np.ones((8, 4), dtype=bool)
    hit[0, 0] = False
    found = load(np.ones((8, 4)), times, None, hit)
    assert found.figure("p50_ms", keep_all=False) == (1.0, 2.0)
    assert found.log_ratio("p50_ms", keep_all=False) == pytest.approx(math.log(2))


def test_throughput_is_samples_a_second():
    found = load(np.full((8, 4), 2.0), np.full((8, 4), 4.0), samples=3)
    assert found.figure("throughput", keep_all=False) == pytest.approx((1500.0, 750.0))
    assert found.log_ratio("throughput", keep_all=False) == pytest.approx(math.log(0.5))


@pytest.mark.parametrize(("share", "are_own"), [(0.02, False), (0.3, True)])
def test_interruptions_are_heads_own_where_it_is_hit_more_often_for_its_time(share, are_own):
    generator = np.random.default_rng(0)
    times = np.ones((100, 8))
    loads = [load(times, times, generator.random((100, 8)) < 0.02, generator.random((100, 8)) < share) for _ in range(3)]
    assert interruptions(loads).are_own is are_own


def test_a_longer_head_is_interrupted_more_often_and_that_is_no_sign():
    generator = np.random.default_rng(1)
    times = np.ones((100, 8))
    loads = [load(times, 3 * times, generator.random((100, 8)) < 0.02, generator.random((100, 8)) < 0.06) for _ in range(3)]
    assert not interruptions(loads).are_own


@pytest.mark.parametrize(
    ("rule", "middle"),
    [("p50_ms > +5%", 0.2), ("p50_ms > +1ms", 0.2), ("p50_ms > 20ms", 1.2), ("throughput < -5%", 1 / 1.2 - 1)],
)
def test_pairs_give_a_figure_on_the_rules_scale(rule, middle):
    generator = np.random.default_rng(0)
    pairs = Pairs()
    for _ in range(10):
        times = generator.normal(1, 0.01, (8, 4))
        pairs.loads.append(load(times, 1.2 * times))
    found = pairs.measured(parse_rule(rule).figure, parse_rule(rule), 0.01)
    assert found.bounded.estimate == pytest.approx(middle, rel=0.05)
    assert found.bounded.low <= found.bounded.estimate <= found.bounded.high
    assert found.bounded.n == 10
