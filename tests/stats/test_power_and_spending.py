import pytest
from edgewright.core.errors import DataError
from edgewright.stats.paired import loss_bounds
from edgewright.stats.power import samples_needed, samples_without_flips, unseen_share
from edgewright.stats.spending import alpha_of_look, alpha_spent
from hypothesis import given
from hypothesis import strategies as st


def test_published_table():
    assert samples_needed(0.02, 0.01) == 1713
    assert samples_needed(0.04, 0.01) == pytest.approx(3427, abs=1)
    assert samples_without_flips(0.01) == 268
    assert samples_without_flips(0.005) == 539


@given(st.floats(0.002, 0.2), st.sampled_from([0.05, 0.04, 0.005]))
def test_the_fewest_samples_are_enough_and_one_less_is_not(margin, alpha):
    n = samples_without_flips(margin, alpha)
    assert loss_bounds(0, 0, n, alpha)[1] <= margin + 1e-9
    assert n == 1 or loss_bounds(0, 0, n - 1, alpha)[1] > margin - 1e-9
    assert unseen_share(n, alpha) == pytest.approx(float(loss_bounds(0, 0, n, alpha)[1]), abs=1e-9)


@given(st.floats(0, 0.2), st.floats(0.002, 0.1))
def test_more_flips_and_narrower_margins_need_more(psi, margin):
    assert samples_needed(psi, margin) <= samples_needed(psi + 0.01, margin)
    assert samples_needed(psi, margin) <= samples_needed(psi, margin / 2)


@given(st.sampled_from([0.05, 0.01]), st.integers(1, 2000))
def test_looks_never_spend_more_than_alpha(alpha, looks):
    assert alpha_spent(looks, alpha) <= alpha * (1 + 1e-12)
    assert alpha_of_look(looks + 1, alpha) < alpha_of_look(looks, alpha)


def test_the_first_look_keeps_most_of_it():
    assert alpha_of_look(1) == pytest.approx(0.04)
    assert alpha_of_look(2) == pytest.approx(0.005)
    assert samples_needed(0.04, 0.01, alpha_of_look(1)) / samples_needed(0.04, 0.01) < 1.08


@pytest.mark.parametrize(
    "call",
    [
        lambda: alpha_of_look(0),
        lambda: samples_needed(0.04, 0.0),
        lambda: samples_needed(-0.1, 0.01),
        lambda: samples_without_flips(1.0),
    ],
)
def test_impossible_requests_are_refused(call):
    with pytest.raises(DataError):
        call()
