"""Which candidate looks at `accept` first, where `search` says how likely each is to pass."""

from __future__ import annotations

import numpy as np
import pytest
from edgewright.optimizer.chance import by_chance, chance
from edgewright.optimizer.gates.judge import judge
from edgewright.optimizer.gates.text import parse_gate
from edgewright.optimizer.gates.verdict import Verdict
from edgewright.optimizer.looks import next_look
from edgewright.optimizer.trial import Trial
from edgewright.stats.spending import alpha_of_look
from hypothesis import given
from hypothesis import strategies as st


def _verdict(measured: float, half: float, gate: str = "top1 >= -1pt", threshold: float = -0.01) -> Verdict:
    return Verdict(
        gate, "top1", None, "undecided", "", 0.05, 500, measured, low=measured - half, high=measured + half, threshold=threshold
    )


@given(st.floats(-0.05, 0.05), st.floats(0.001, 0.05), st.floats(0.25, 16))
def test_a_better_candidate_is_never_less_likely_to_pass(measured: float, half: float, growth: float) -> None:
    found = chance([_verdict(measured, half)], growth)
    assert 0 <= found <= 1
    assert chance([_verdict(measured + 0.005, half)], growth) >= found
    assert chance([_verdict(measured, half), _verdict(measured + 0.01, half)], growth) == found


def test_the_side_that_binds_follows_the_gate() -> None:
    below = _verdict(0.0, 0.01, "mae <= +0.01", 0.01)
    assert chance([below], 4) == pytest.approx(chance([_verdict(0.0, 0.01)], 4))


def test_what_search_cannot_tell_does_not_count_against_it() -> None:
    silent = Verdict("top1 >= -1pt", "top1", None, "undecided", "", 0.05, 3)
    shown = Verdict("top1 report-only", "top1", None, "reported", "", 0.05, 3, -0.9, low=-1.0, high=-0.8, threshold=0.0)
    assert chance([silent, shown], 1) == 1.0


def test_the_chance_is_about_the_share_that_passes() -> None:
    """The mean chance told by many `search` splits is near the share of `accept` splits that pass."""
    wrong, right = 0.04, 0.03
    gate = parse_gate("top1 >= -2pt")
    draw = np.random.default_rng(3)

    def judged(count: int, alpha: float) -> Verdict:
        kind = draw.choice(3, count, p=[wrong, right, 1 - wrong - right])
        labels = np.zeros(count, np.int64)
        good, bad = np.array([1.0, 0.0]), np.array([0.0, 1.0])
        reference = np.where((kind == 1)[:, None], bad, good)
        candidate = np.where((kind == 0)[:, None], bad, good)
        (verdict,) = judge(gate, reference, candidate, labels, {}, alpha=alpha, seed=0)
        return verdict

    told = np.mean([chance([judged(500, 0.05)], 4) for _ in range(40)])
    passed = np.mean([judged(2000, alpha_of_look(1)).status == "passed" for _ in range(40)])
    assert abs(told - passed) < 0.25


def _trial(size: int, variant: str, precision: str = "int8") -> Trial:
    return Trial("litert", precision, "target", variant, why=str(size))  # type: ignore[arg-type]


def test_looks_are_spread_over_variants_and_one_is_the_plain_model_s() -> None:
    waiting = [_trial(size, variant) for size, variant in enumerate(("tiny", "tiny", "small", "safe", "", ""))]
    floats = [_trial(9, "", "float16"), _trial(10, "", "float32")]
    looked: list[Trial] = []
    left = [*waiting, *floats]
    while (trial := next_look(left, looked, floats[1])) is not None:
        left.remove(trial)
        looked.append(trial)
    assert [(trial.variant, int(trial.why)) for trial in looked] == [("tiny", 0), ("small", 2), ("", 4), ("", 10)]


def test_the_plain_model_alone_looks_in_order() -> None:
    waiting = [_trial(size, "") for size in range(5)]
    baseline = _trial(6, "", "float32")
    assert next_look(waiting, [], baseline) is waiting[0]
    assert next_look(waiting[1:], waiting[:1], baseline) is waiting[1]
    assert next_look([*waiting[3:], baseline], waiting[:3], baseline) is baseline
    assert next_look(waiting[3:], waiting[:3], baseline) is None


def test_the_likely_go_first_but_never_past_the_plain_float() -> None:
    chances = {"tiny": 0.1, "small": 0.3, "safe": 0.9, "": 0.8, "late": 0.99}
    trials = [
        _trial(1, "tiny"), _trial(2, "small"), _trial(3, "safe"), _trial(4, ""), _trial(5, "", "float16"), _trial(6, "late"),
        _trial(7, "", "float32"),
    ]  # fmt: skip
    ordered = by_chance(trials, lambda trial: chances[trial.variant])
    assert [int(trial.why) for trial in ordered] == [3, 4, 2, 1, 5, 6, 7]
    assert by_chance(trials, lambda _: 1.0) == trials
