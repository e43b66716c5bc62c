"""Which candidate looks at `accept` first, where `search` says how likely each is to pass."""

from __future__ import annotations

import numpy as np
import pytest
from edgewright.optimizer.chance import chance
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
    assert chance([_verdict(measured, half)], growth, look=2) <= found


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


def _trial(name: int, variant: str, precision: str = "int8") -> Trial:
    return Trial("litert", precision, "target", variant, why=str(name))  # type: ignore[arg-type]


def _looks(trials: list[Trial], baseline: Trial, chances: dict[str, tuple[float, float]]) -> list[int]:
    """Names in the order of their looks, none of which passes; `chances` at the first look and later, by name."""
    looked: list[Trial] = []
    left = list(trials)
    while (trial := next_look(left, looked, baseline, lambda item, look: chances[item.why][min(look, 2) - 1])) is not None:
        left = [item for item in left if item is not trial]
        looked.append(trial)
    return [int(trial.why) for trial in looked]


BASELINE = _trial(9, "", "float32")
SURE, LIKELY, DOUBTFUL, HOPELESS = (0.99, 0.9), (0.7, 0.3), (0.4, 0.2), (0.05, 0.01)


def test_looks_are_spread_over_variants_and_one_is_the_plain_model_s() -> None:
    names = ("tiny", "tiny", "small", "safe", "", "")
    trials = [*(_trial(place, variant) for place, variant in enumerate(names)), BASELINE]
    assert _looks(trials, BASELINE, {trial.why: SURE for trial in trials}) == [0, 2, 4, 9]


def test_the_plain_model_alone_looks_in_order() -> None:
    trials = [*(_trial(place, "") for place in range(5)), BASELINE]
    assert _looks(trials, BASELINE, {trial.why: SURE for trial in trials}) == [0, 1, 2, 9]


@pytest.mark.parametrize(
    ("first", "second", "order"),
    [
        (DOUBTFUL, SURE, [0, 1, 2, 9]),  # the second loses little by waiting
        (DOUBTFUL, LIKELY, [1, 2, 0, 9]),  # the second would no longer be likely; then none is, and the likeliest looks
        (HOPELESS, SURE, [1, 2, 0, 9]),  # a look is not thrown away
        (DOUBTFUL, DOUBTFUL, [2, 0, 1, 9]),  # the plain int8 is likely, and would not be later
    ],
)
def test_the_smallest_looks_first_where_that_costs_no_likely_one(
    first: tuple[float, float], second: tuple[float, float], order: list[int]
) -> None:
    trials = [_trial(0, "tiny"), _trial(1, "small"), _trial(2, ""), BASELINE]
    assert _looks(trials, BASELINE, {"0": first, "1": second, "2": LIKELY, "9": SURE}) == order


def test_the_plain_float_never_overtakes_what_the_objective_likes_better() -> None:
    trials = [_trial(0, "tiny"), _trial(1, "small"), BASELINE]
    assert _looks(trials, BASELINE, {"0": HOPELESS, "1": DOUBTFUL, "9": SURE}) == [1, 0, 9]
