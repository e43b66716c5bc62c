from __future__ import annotations

import pytest
from edgewright.fleet.control.drift_report.records import Accuracy, Alert, Comparison, Counted, Estimate
from edgewright.fleet.control.drift_report.sentences import ASSUMPTION, BLIND, change_of, scope_text, summary
from hypothesis import given
from hypothesis import strategies as st

EDGES = (1.0, 2.0, 5.0)


@pytest.mark.parametrize(
    ("kind", "edges", "reference", "now", "sentence", "cut"),
    [
        ("input", EDGES, (25, 25, 25, 25), (5, 5, 40, 50), "90 % of the values lie above 2, at compile time 50 %.", 2.0),
        ("input", EDGES, (25, 25, 25, 25), (75, 15, 5, 5), "75 % of the values lie below 1, at compile time 25 %.", 1.0),
        ("input", EDGES, (25, 25, 25, 25), (50, 50, 50, 50), "Nothing moved.", None),
        ("input", EDGES, (0, 0, 0, 0), (1, 0, 0, 0), "There is nothing to compare.", None),
        ("input", EDGES, (1, 0, 0, 0), (0, 0, 0, 0), "There is nothing to compare.", None),
        (
            "confidence", (0.5, 0.9), (0, 10, 90), (0, 30, 70),
            "30 % of the answers have a confidence below 0.9, at compile time 10 %.", 0.9,
        ),
        ("latency", EDGES, (60, 40, 0, 0), (0, 0, 20, 80), "100 % of the requests end after 2 ms, in its first day 0 %.", 2.0),
        ("latency", EDGES, (0, 0, 0, 9), (9, 0, 0, 0), "100 % of the requests end within 1 ms, in its first day 0 %.", 1.0),
        ("errors", (0.5,), (999, 1), (95, 5), "5 % of the requests failed, in its first day 0.1 %.", None),
        (
            "missing", (0.0, 0.5, 1.0), (0, 998, 2, 0), (0, 80, 20, 0),
            "In 20 % of the samples values are missing, at compile time in 0.2 %.", None,
        ),
        (
            "prediction", (0.0, 1.0, 2.0, 3.0), (0, 40, 40, 20, 0), (0, 10, 40, 50, 0),
            "50 % of the answers are class 2, at compile time 20 %.", None,
        ),
        (
            "prediction", (0.0, 1.0), (0, 10, 0), (0, 5, 5),
            "50 % of the answers are a class that is not known, at compile time 0 %.", None,
        ),
        ("prediction", (0.0, 1.0, 2.0), (0, 5, 5, 0), (0, 5, 5, 0), "The answers are as they were.", None),
    ],
)  # fmt: skip
def test_a_change_is_told_by_its_largest_difference(kind, edges, reference, now, sentence, cut):
    found = change_of(kind, edges, reference, now)
    assert (found.sentence, found.cut) == (sentence, cut)


@given(
    st.sampled_from(["input", "output", "confidence", "latency", "missing", "prediction", "errors"]),
    st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)), min_size=3, max_size=30),
)
def test_any_counts_make_a_sentence(kind, counts):
    reference, now = zip(*counts, strict=True)
    found = change_of(kind, [float(at) for at in range(len(counts) - 1)], reference, now)
    assert found.sentence.endswith(".")
    assert "-" not in found.sentence
    assert found.cut is None or found.cut in range(len(counts) - 1)


def test_a_scope_stands_in_a_sentence():
    assert scope_text("fleet") == "the whole fleet"
    assert scope_text("device 3f9a") == "one device, 3f9a"
    assert scope_text("attribute batch = a = b") == "devices with batch = a = b"


def alert(number, scope="fleet", severity="severe", measure="input x[3]", **changed):
    values = {
        "id": number, "model": "digits", "sha256": "ab" * 32, "measure": measure, "scope": scope, "severity": severity,
        "state": "open", "first_at": 1_800_000_000.0, "last_at": 1_800_003_600.0, "windows": 2, "acknowledged_by": None,
        "sentence": "", "distance": 0.31, "low": 0.29, "high": 0.33, "drifting": 4, "reach": 0.2, "devices": [], "ended": "",
    }  # fmt: skip
    return Alert(**{**values, **changed})


def accuracy(withdrawn=None, counted=None, reference=0.97):
    return Accuracy(
        steps=[], estimate=Estimate(accuracy=0.91, low=0.9, high=0.92, count=900), counted=counted,
        counted_until=None if counted is None else 1_800_000_000, reference=reference, withdrawn=withdrawn,
        assumption=ASSUMPTION, blind=BLIND,
    )  # fmt: skip


FAR = Comparison(
    measure="input x[0]", kind="input", count=9, distance=0.02, low=0.0, high=0.05, psi=0.1, p=0.5, log_e=0.0, is_alarm=False,
    severity=None, last=None, day=None, week=None,
)  # fmt: skip


def test_what_drifts_is_told_with_how_far_where_and_since_when():
    where = "attribute batch = 7"
    alerts = [alert(1, where), alert(2, where, measure="confidence"), alert(3, "device d")]
    told = summary(alerts, {1: "It moved."}, FAR, None, 3600)
    assert told == [
        "Severe drift in devices with batch = 7 (20 % of all devices) since 2027-01-15 08:00 UTC: input x[3] moved by 0.31 "
        "(0.29 to 0.33), and 1 other measure with it. It moved.",
        "Severe drift in one device, d since 2027-01-15 08:00 UTC: input x[3] moved by 0.31 (0.29 to 0.33).",
    ]


def test_no_alert_is_no_proof_that_nothing_drifts():
    (told, *_) = summary([], {}, FAR, None, 3600)
    assert told == "No drift is proven. Farthest from its reference in the last hour is input x[0], by 0.02 (0.00 to 0.05)."


def test_an_estimate_says_what_it_supposes_and_that_nothing_checked_it():
    estimated, unchecked = summary([], {}, None, accuracy(), 3600)
    assert estimated == (
        "Estimated accuracy of the last window, if only the inputs changed: 91 % (90 % to 92 %). At compile time it was 97 %."
    )
    assert unchecked == "No labels came, so whether right answers themselves changed cannot be known."


def test_labels_that_refute_an_estimate_come_before_everything():
    counted = Counted(accuracy=0.7, low=0.6, high=0.79, right=70, labelled=100)
    told = summary([alert(1)], {}, FAR, accuracy("labels contradict it.", counted), 3600)
    assert told[0].startswith("The estimate of accuracy is withdrawn, because labels contradict it.")
    assert "70 % (60 % to 79 %)" in told[1]
    assert not any("Estimated accuracy" in text for text in told)
    assert told[2].startswith("Severe drift")
