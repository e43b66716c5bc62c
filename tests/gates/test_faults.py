"""Whatever goes wrong, the answer is never `passed`: a verdict that says why in one sentence, or a refused request."""

import numpy as np
import pytest
from edgewright.core.errors import GateError
from edgewright.optimizer.gates.judge import judge
from edgewright.optimizer.gates.text import parse_gate
from edgewright.optimizer.gates.verdict import overall

N = 2000
RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 4, N)
OUTPUTS = RNG.normal(size=(N, 4)) + 4 * np.eye(4)[LABELS]
TARGETS = RNG.normal(size=N)
VALUES = (TARGETS + 0.1 * RNG.normal(size=N))[:, None]
SITES = np.where(np.arange(N) < N - 2, "big", "tiny")

METRICS = """
import sys

def fine(outputs, labels, inputs, columns): return 0.9
def crashes(outputs, labels, inputs, columns): raise RuntimeError("boom")
def leaves(outputs, labels, inputs, columns): sys.exit(0)
def nan(outputs, labels, inputs, columns): return float("nan")
def infinite(outputs, labels, inputs, columns): return float("inf")
def text(outputs, labels, inputs, columns): return "0.9"
def nothing(outputs, labels, inputs, columns): return None
def array(outputs, labels, inputs, columns): return outputs[:, 0]
def flag(outputs, labels, inputs, columns): return True
def wrong_arguments(outputs): return 0.9
def only_whole(outputs, labels, inputs, columns):
    if len(set(outputs[:, 0].tolist())) < len(outputs): raise ValueError("repeated sample")
    return 0.9
def wants_input(outputs, labels, inputs, columns): return float(inputs["image"].mean())
not_callable = 3
"""


def at(array, index, value):
    changed = np.array(array, dtype=float)
    changed[index] = value
    return changed


def fault(gate, *, reference=OUTPUTS, candidate=OUTPUTS, labels=LABELS, **options):
    return gate, reference, candidate, labels, options


one_class = np.zeros(N, dtype=int)
sites = {"columns": {"site": SITES}}
FAULTS = {
    "candidate NaN": fault("top1 >= -1pt", candidate=at(OUTPUTS, (5, 1), np.nan)),
    "candidate infinite": fault("top1 >= -1pt", candidate=at(OUTPUTS, (5, 1), np.inf)),
    "candidate all NaN": fault("agreement >= 98%", candidate=np.full_like(OUTPUTS, np.nan)),
    "reference NaN": fault("top1 >= -1pt", reference=at(OUTPUTS, (5, 1), np.nan)),
    "both NaN": fault("cosine >= 0.99", reference=at(OUTPUTS, (5, 1), np.nan), candidate=at(OUTPUTS, (5, 1), np.nan)),
    "NaN in a regression": fault("mae <= +0.05", reference=VALUES, candidate=at(VALUES, 7, np.nan), labels=TARGETS),
    "NaN scores for auc": fault("auc >= -0.01", candidate=at(OUTPUTS, (5, 1), np.nan)),
    "no labels for top1": fault("top1 >= -1pt", labels=None),
    "no labels for auc": fault("auc >= -0.01", labels=None),
    "no labels for rmse": fault("mae <= +0.05", reference=VALUES, candidate=VALUES, labels=None),
    "NaN labels": fault("top1 >= -1pt", labels=at(LABELS, 3, np.nan)),
    "NaN targets": fault("mae <= +0.05", reference=VALUES, candidate=VALUES, labels=at(TARGETS, 3, np.nan)),
    "text labels": fault("top1 >= -1pt", labels=LABELS.astype(str)),
    "text targets": fault("mae <= +0.1", reference=VALUES, candidate=VALUES, labels=TARGETS.astype(str)),
    "labels out of range": fault("top1 >= -1pt", labels=LABELS + 1),
    "negative labels": fault("top1 >= -1pt", labels=LABELS - 1),
    "fractional labels": fault("f1 >= -2pt", labels=LABELS + 0.5),
    "labels too short": fault("top1 >= -1pt", labels=LABELS[:-1]),
    "labels too long": fault("top1 >= -1pt", labels=np.r_[LABELS, 0]),
    "labels a single number": fault("top1 >= -1pt", labels=np.array(3)),
    "targets of another width": fault("mae <= +0.05", reference=OUTPUTS, candidate=OUTPUTS, labels=TARGETS),
    "candidate too short": fault("top1 >= -1pt", candidate=OUTPUTS[:-1]),
    "candidate of another width": fault("agreement >= 98%", candidate=OUTPUTS[:, :3]),
    "candidate empty": fault("top1 >= -1pt", candidate=OUTPUTS[:0]),
    "candidate of text": fault("top1 >= -1pt", candidate=OUTPUTS.astype(str)),
    "candidate complex": fault("cosine >= 0.99", candidate=OUTPUTS + 1j),
    "reference of objects": fault("agreement >= 98%", reference=OUTPUTS.astype(object)),
    "reference a single number": fault("cosine >= 0.99", reference=np.array(1.0)),
    "no samples": fault("top1 >= -1pt", reference=OUTPUTS[:0], candidate=OUTPUTS[:0], labels=LABELS[:0]),
    "one sample": fault("top1 >= -99pt", reference=OUTPUTS[:1], candidate=OUTPUTS[:1], labels=LABELS[:1]),
    "two samples": fault("top1 >= -99pt", reference=OUTPUTS[:2], candidate=OUTPUTS[:2], labels=LABELS[:2]),
    "two samples, cosine": fault("cosine >= 0.01", reference=OUTPUTS[:2], candidate=OUTPUTS[:2], labels=None),
    "too few to resample": fault("f1 >= -99pt", reference=OUTPUTS[:19], candidate=OUTPUTS[:19], labels=LABELS[:19]),
    "200 samples for a point": fault("top1 >= -1pt", reference=OUTPUTS[:200], candidate=OUTPUTS[:200], labels=LABELS[:200]),
    "200 samples, auc": fault("auc >= -0.01", reference=OUTPUTS[:200], candidate=OUTPUTS[:200], labels=LABELS[:200]),
    "one class, auc": fault("auc >= -0.5", labels=one_class),
    "one class, ap": fault("ap >= -0.5", labels=one_class),
    "one positive, auc": fault("auc >= -0.01", reference=VALUES, candidate=VALUES, labels=at(one_class, 0, 1)),
    "targets never vary, r2": fault("r2 >= -0.5", reference=VALUES, candidate=VALUES, labels=np.ones(N)),
    "targets never vary, spearman": fault("spearman >= -0.5", reference=VALUES, candidate=VALUES, labels=np.ones(N)),
    "outputs never vary, spearman": fault(
        "spearman >= -0.5", reference=np.ones((N, 1)), candidate=np.ones((N, 1)), labels=TARGETS
    ),
    "perfect reference, share": fault(
        "rmse <= 102% of reference", reference=TARGETS[:, None], candidate=TARGETS[:, None], labels=TARGETS
    ),
    "reference never right, share": fault(
        "top1 >= 50% of reference", reference=-OUTPUTS, candidate=-OUTPUTS, labels=OUTPUTS.argmax(axis=1)
    ),
    "top4 of four classes": fault("top4 >= -1pt"),
    "classes on two axes": fault("top1 >= -1pt", reference=OUTPUTS.reshape(N, 2, 2), candidate=OUTPUTS.reshape(N, 2, 2)),
    "unknown column": fault("top1[site] >= -1pt", columns={"sex": SITES}),
    "no columns": fault("top1[site] >= -1pt"),
    "unknown group": fault("top1 by who >= -1pt", **sites),
    "column too short": fault("top1[site] >= -1pt", columns={"site": SITES[:-1]}),
    "tiny slice": fault("top1[site] >= -1pt", **sites),
    "empty slice": fault("top1[site] >= -50pt", columns={"site": np.full(N, "big")}, slice_values=["big", "gone"]),
    "missing slice values": fault("top1[site] >= -50pt", columns={"site": np.where(np.arange(N) == 0, None, "big")}),
    "every sample a slice": fault("top1[site] >= -50pt", columns={"site": np.arange(N)}),
    "one group": fault("top1 by site >= -50pt", columns={"site": np.full(N, "one")}),
    "two groups": fault("top1 by site >= -50pt", **sites),
    "level of zero": fault("top1 >= -1pt", alpha=0.0),
    "level of NaN": fault("top1 >= -1pt", alpha=float("nan")),
    "level of a half": fault("top1 >= -1pt", alpha=0.5),
    "level of the hundredth look": fault(
        "top1 >= -1pt", reference=OUTPUTS[:1000], candidate=OUTPUTS[:1000], labels=LABELS[:1000], alpha=1e-6
    ),
    "inputs too short": fault("top1 >= -1pt", inputs={"x": np.zeros(3)}),
}
USER_FAULTS = ["crashes", "leaves", "nan", "infinite", "text", "nothing", "array", "flag", "wrong_arguments", "only_whole",
               "wants_input", "not_callable", "no_such_function"]  # fmt: skip


def never_passes(gate, reference, candidate, labels, options):
    options = {"resamples": 200, **options}
    try:
        verdicts = judge(parse_gate(gate), reference, candidate, labels, options.pop("columns", None), **options)
    except GateError as error:
        why = str(error)
    else:
        assert overall(verdicts) in {"failed", "undecided"}
        why = next(verdict.why for verdict in verdicts if verdict.status in {"failed", "undecided"})
    assert len(why) > 20
    assert "\n" not in why
    assert why.endswith((".", "?"))


@pytest.mark.parametrize("name", FAULTS)
def test_faults_never_pass(name):
    never_passes(*FAULTS[name])


@pytest.mark.parametrize("function", USER_FAULTS)
def test_user_metrics_that_go_wrong_never_pass(tmp_path, function):
    (tmp_path / "own.py").write_text(METRICS)
    never_passes(
        *fault(f"{tmp_path}/own.py:{function} >= -0.5", reference=OUTPUTS[:300], candidate=OUTPUTS[:300], labels=LABELS[:300])
    )


@pytest.mark.parametrize("content", [None, "def f(:", "raise SystemExit(0)", "import no_such_module_anywhere"])
def test_user_files_that_cannot_be_read_never_pass(tmp_path, content):
    if content is not None:
        (tmp_path / "own.py").write_text(content)
    never_passes(*fault(f"{tmp_path}/own.py:f >= -0.5"))


def test_unknown_module_never_passes():
    never_passes(*fault("no_such_module_anywhere:f >= -0.5"))


def test_the_same_data_without_a_fault_pass(tmp_path):
    """So that the cases above fail for their own reason."""
    (tmp_path / "own.py").write_text(METRICS)
    for gate in (
        "top1 >= -1pt",
        "agreement >= 98%",
        "auc >= -0.01",
        "f1 >= -2pt",
        "cosine >= 0.99",
        f"{tmp_path}/own.py:fine >= -0.5",
    ):
        assert judge(parse_gate(gate), OUTPUTS, OUTPUTS, LABELS, resamples=200)[0].status == "passed"
    assert judge(parse_gate("mae <= +0.05"), VALUES, VALUES, TARGETS, resamples=200)[0].status == "passed"


def test_a_broken_candidate_fails_and_a_broken_reference_is_undecided():
    broken = at(OUTPUTS, (5, 1), np.nan)
    assert judge(parse_gate("top1 >= -1pt"), OUTPUTS, broken, LABELS)[0].status == "failed"
    assert judge(parse_gate("top1 >= -1pt"), broken, OUTPUTS, LABELS)[0].status == "undecided"
