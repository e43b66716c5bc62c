import json
import math

import numpy as np
import pytest
from edgewright.core.errors import GateError
from edgewright.optimizer.gates.defaults import default_gate
from edgewright.optimizer.gates.judge import judge
from edgewright.optimizer.gates.needed import samples_for_gate
from edgewright.optimizer.gates.text import parse_gate
from edgewright.optimizer.gates.verdict import Verdict, overall
from edgewright.stats.paired import loss_bounds
from edgewright.stats.power import samples_needed
from hypothesis import given, settings
from hypothesis import strategies as st


def outcomes(n, lost, won, wrong=0):
    """One-hot outputs of reference and candidate with label 0: `lost` go wrong, `won` go right, `wrong` stay wrong."""
    before, after = np.zeros(n, dtype=int), np.zeros(n, dtype=int)
    after[:lost] = 1
    before[lost : lost + won] = 1
    before[lost + won : lost + won + wrong] = after[lost + won : lost + won + wrong] = 1
    return np.eye(2)[before], np.eye(2)[after], np.zeros(n, dtype=int)


def classifier(n=600, noise=0.1, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, n)
    reference = rng.normal(size=(n, 4)) + 3 * np.eye(4)[labels]
    return reference, reference + noise * rng.normal(size=(n, 4)), labels


def regressor(n=600, noise=0.02, seed=0):
    rng = np.random.default_rng(seed)
    labels = rng.normal(size=n)
    reference = labels + 0.3 * rng.normal(size=n)
    return reference[:, None], (reference + noise * rng.normal(size=n))[:, None], labels


def one(text, *data, **options):
    return judge(parse_gate(text), *data, **options)[0]


@settings(max_examples=60, deadline=None)
@given(st.integers(3, 800), st.data())
def test_top1_is_tangos_bound(n, data):
    lost = data.draw(st.integers(0, n // 4))
    won = data.draw(st.integers(0, n // 4))
    verdict = one("top1 >= -1pt", *outcomes(n, lost, won))
    low, high = loss_bounds(lost, won, n, 0.05)
    assert (verdict.low, verdict.high) == pytest.approx((-high, -low))
    assert verdict.status == ("passed" if high < 0.01 else "failed" if low > 0.01 else "undecided")
    assert (verdict.negative_flips, verdict.psi) == (lost, (lost + won) / n)
    assert verdict.bound == verdict.low
    assert (verdict.n_needed is None) == (verdict.status != "undecided")
    assert verdict.n_needed is None or verdict.n_needed > n


def test_numbers_of_a_passed_verdict():
    verdict = one("top1 >= -1pt", *outcomes(2000, 5, 3, 100), measured_on="target")
    assert verdict.status == "passed"
    assert verdict.reference == pytest.approx(1 - 103 / 2000)
    assert verdict.candidate == pytest.approx(1 - 105 / 2000)
    assert verdict.measured == pytest.approx(-2 / 2000)
    assert (verdict.threshold, verdict.margin, verdict.n, verdict.measured_on) == (-0.01, 0.01, 2000, "target")
    assert "95 % bound" in verdict.why


def test_the_level_of_the_look_decides():
    data = outcomes(290, 0, 0)
    assert one("top1 >= -1pt", *data, alpha=0.05).status == "passed"
    assert one("top1 >= -1pt", *data, alpha=0.04).status == "undecided"


def test_undecided_names_the_samples():
    verdict = one("top1 >= -1pt", *outcomes(500, 10, 10))
    assert verdict.status == "undecided"
    assert verdict.n_needed == samples_needed(0.04, 0.01)
    assert str(verdict.n_needed) in verdict.why
    assert one("top1 >= -1pt", *outcomes(100, 0, 0)).n_needed == 268


PASSING = [
    ("top1 >= -2pt", classifier),
    ("top2 >= -2pt", classifier),
    ("agreement >= 95%", classifier),
    ("top1 >= 97% of reference", classifier),
    ("f1 >= -4pt", classifier),
    ("f1-weighted >= -4pt", classifier),
    ("precision >= -4pt", classifier),
    ("recall >= 95% of reference", classifier),
    ("auc >= -0.02", classifier),
    ("ap >= -0.15", classifier),
    ("cosine >= 0.98", classifier),
    ("top1 >= 90%", classifier),
    ("auc >= 0.9", classifier),
    ("rmse <= 200% of reference", regressor),
    ("mae <= +0.05", regressor),
    ("rmse <= 0.7", regressor),
    ("r2 >= -0.3", regressor),
    ("spearman >= -0.05", regressor),
    ("cosine >= 0.98", regressor),
]


@pytest.mark.parametrize(("text", "make"), PASSING)
def test_a_close_candidate_passes_and_a_shuffled_one_fails(text, make):
    reference, candidate, labels = make()
    good = one(text, reference, candidate, labels, resamples=2000)
    assert good.status == "passed", good.why
    assert good.low <= good.measured <= good.high
    shuffled = np.random.default_rng(0).permutation(reference)
    bad = one(text, reference, shuffled, labels, resamples=2000)
    assert bad.status == "failed", bad.why


def test_same_seed_same_verdict():
    data = regressor()
    first, again, other = (one("rmse <= 0.35", *data, resamples=500, seed=seed) for seed in (3, 3, 4))
    assert first == again != other


@pytest.mark.parametrize(
    ("text", "make"), [("f1 >= -2pt", classifier), ("auc >= -0.01", classifier), ("mae <= 110% of reference", regressor)]
)
def test_an_identical_candidate_needs_samples_too(text, make):
    reference, _, labels = make(60)
    assert one(text, reference, reference, labels, resamples=500).status == "undecided"
    reference, _, labels = make(2000)
    assert one(text, reference, reference, labels, resamples=500).status == "passed"


def test_a_rare_class_without_flips_is_not_trusted():
    labels = np.r_[np.zeros(990, dtype=int), np.ones(10, dtype=int)]
    outputs = np.eye(2)[labels]
    assert one("f1 >= -2pt", outputs, outputs, labels, resamples=2000).status == "undecided"


def test_slices_come_after_the_whole_and_all_must_pass():
    reference, candidate, labels = outcomes(1000, 12, 0)
    part = np.where(np.arange(1000) < 200, "a", "b")
    verdicts = judge(parse_gate("top1[part] >= -3pt"), reference, candidate, labels, {"part": part})
    assert [(v.slice, v.n, v.status) for v in verdicts] == [
        (None, 1000, "passed"),
        ("part=a", 200, "failed"),
        ("part=b", 800, "passed"),
    ]
    assert overall(verdicts) == "failed"
    assert overall(verdicts[::2]) == "passed"


def test_report_only_does_not_count():
    reference, candidate, labels = outcomes(1000, 300, 0)
    shown = judge(parse_gate("top1[part] report-only"), reference, candidate, labels, {"part": np.arange(1000) % 2})
    assert {verdict.status for verdict in shown} == {"reported"}
    assert shown[0].measured == pytest.approx(-0.3)
    assert overall([*shown, one("top1 >= -50pt", reference, candidate, labels)]) == "passed"
    assert overall(shown) == "undecided"
    assert overall([]) == "undecided"
    assert one("agreement report-only", reference, candidate).candidate == pytest.approx(0.7)


def test_groups_are_judged_together():
    reference, candidate, labels = outcomes(3000, 30, 0)
    alone = one("top1 >= -2pt", reference, candidate, labels)
    together = judge(parse_gate("top1 by who >= -2pt"), reference, candidate, labels, {"who": np.arange(3000) // 30})[0]
    assert alone.status == "passed"
    assert together.status == "undecided"
    assert together.low < alone.low


def test_verdicts_survive_json():
    for text in ("top1 >= -1pt", "auc >= -0.01", "top1 report-only"):
        verdict = one(text, *classifier(), resamples=500)
        assert Verdict.from_json(json.loads(json.dumps(verdict.to_json(), allow_nan=False))) == verdict
    for wrong in ({}, {**verdict.to_json(), "extra": 1}, {**verdict.to_json(), "status": "fine"}, []):
        with pytest.raises(GateError):
            Verdict.from_json(wrong)


METRIC = """
import numpy as np

def hit_rate(outputs, labels, inputs, columns):
    weight = inputs["x"].ravel() if "x" in inputs else 1
    return float(np.mean((outputs.argmax(axis=1) == labels) * weight))

def miss_rate(outputs, labels, inputs, columns):
    assert len(columns["who"]) == len(outputs)
    return np.float64(np.mean(outputs.argmax(axis=1) != labels))
"""


def test_user_metrics(tmp_path):
    (tmp_path / "own.py").write_text(METRIC)
    reference, candidate, labels = classifier(400)
    extra = {"inputs": {"x": np.ones((400, 1))}, "resamples": 300}
    who = {"who": np.arange(400) // 4}
    higher = judge(parse_gate(f"{tmp_path}/own.py:hit_rate >= -0.03"), reference, candidate, labels, who, **extra)[0]
    lower = judge(parse_gate(f"{tmp_path}/own.py:miss_rate by who <= +0.05"), reference, candidate, labels, who, **extra)[0]
    builtin = one("top1 >= -3pt", reference, candidate, labels)
    assert higher.status == lower.status == "passed"
    assert higher.measured == pytest.approx(builtin.measured)
    assert lower.measured == pytest.approx(-builtin.measured)
    assert lower.bound == lower.high


def test_user_metric_of_a_module():
    reference, candidate, labels = regressor(100)
    verdict = judge(parse_gate("math:dist <= +1"), reference, candidate, labels, resamples=100)[0]
    assert verdict.status == "undecided"
    assert "crashed" in verdict.why


@pytest.mark.parametrize(
    ("labels", "outputs", "text"),
    [
        (np.array([0, 1, 2]), np.zeros((3, 5)), "top1 >= -1pt"),
        (np.eye(5)[:3], np.zeros((3, 5)), "top1 >= -1pt"),
        (np.array([0, 1, 1]), np.zeros((3, 1)), "top1 >= -1pt"),
        (np.array([0.5, 1.5, 9]), np.zeros((3, 1)), "rmse <= 102% of reference"),
        (np.array([3, 17, 90]), np.zeros((3, 1)), "rmse <= 102% of reference"),
        (np.zeros((3, 4, 4)), np.zeros((3, 4, 4)), "rmse <= 102% of reference"),
        (None, np.zeros((3, 5)), "agreement >= 98%"),
        (None, np.zeros((3, 1, 1, 5)), "agreement >= 98%"),
        (None, np.full((3, 1), 0.4), "agreement >= 98%"),
        (None, np.full((3, 1), 7.0), "cosine >= 0.99"),
        (None, np.zeros((3, 8, 8)), "cosine >= 0.99"),
    ],
)
def test_default_gates(labels, outputs, text):
    assert str(default_gate(labels, outputs)) == text


def test_default_gate_of_a_reconstruction_and_of_nothing():
    assert str(default_gate(None, np.zeros((3, 640)), input_shapes=[(None, 1, 640)])) == "cosine >= 0.99"
    with pytest.raises(GateError):
        default_gate(None, np.zeros((0, 3)))


def test_samples_before_the_work():
    assert samples_for_gate(parse_gate("top1 >= -1pt"), 0.04, alpha=0.05) == samples_needed(0.04, 0.01)
    assert samples_for_gate(parse_gate("top1 >= -1pt"), 0.0) == math.ceil(3.0649 * 99)
    assert samples_for_gate(parse_gate("top1 >= 99% of reference"), 0.04) == samples_for_gate(parse_gate("top1 >= -1pt"), 0.04)
    assert samples_for_gate(parse_gate("agreement >= 98%"), 0.0) == 160
    assert samples_for_gate(parse_gate("agreement >= 98%"), 0.015) > 1000
    assert samples_for_gate(parse_gate("mae <= +0.05")) is None
    assert samples_for_gate(parse_gate("top1 report-only")) is None
    assert samples_for_gate(parse_gate("top1 >= +1pt")) is None
