from __future__ import annotations

import pytest
from edgewright.optimizer.report import words
from edgewright.optimizer.report.parts import Judgement, Speedup
from edgewright.optimizer.report.types import Candidate, TargetReport


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.0, "0"),
        (0.01234, "0.0123"),
        (0.9996, "1.00"),
        (1.0, "1.00"),
        (9.995, "9.99"),
        (12.34, "12.3"),
        (123.4, "123"),
        (999.7, "1,000"),
        (12345.6, "12,346"),
        (3e12, "3.00e+12"),
    ],
)
def test_numbers(value: float | None, text: str) -> None:
    assert words.number(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (999_900, "1.00 MB"),
        (18_532_104, "18.5 MB"),
        (4e9, "4.00 GB"),
    ],
)
def test_sizes(value: float | None, text: str) -> None:
    assert words.size(value) == text


@pytest.mark.parametrize(
    ("gate", "metric", "measured", "text"),
    [
        ("top1 >= -1pt", "top1", -0.002, "top-1 -0.20 points (bound -0.71, margin -1.00, n = 900)"),
        ("top1 >= -1pt", "top1", 0.0, "top-1 0.00 points (bound -0.71, margin -1.00, n = 900)"),
        ("auc >= -0.01", "auc", -0.002, "AUC -0.0020 (bound -0.0071, margin -0.0100, n = 900)"),
        ("mae <= +0.05", "mae", 0.0123, "MAE +0.0123 (bound -0.0071, margin -0.0100, n = 900)"),
    ],
)
def test_a_change_in_words(gate: str, metric: str, measured: float, text: str) -> None:
    judgement = Judgement(metric, "passed", gate, measured=measured, bound=-0.0071, threshold=-0.01, n=900)
    assert words.judgement_text(judgement) == text


@pytest.mark.parametrize(
    ("gate", "metric", "text"),
    [
        ("top1 >= 98% of reference", "top1", "top-1 99.10 % of the reference (bound 98.40 %, gate 98.00 %, n = 900)"),
        ("agreement >= 98%", "agreement", "agreement 99.10 % (bound 98.40 %, gate 98.00 %, n = 900)"),
        ("cosine >= 0.98", "cosine", "cosine 0.9910 (bound 0.9840, gate 0.9800, n = 900)"),
    ],
)
def test_a_level_in_words(gate: str, metric: str, text: str) -> None:
    judgement = Judgement(metric, "passed", gate, measured=0.991, bound=0.984, threshold=0.98, n=900)
    assert words.judgement_text(judgement).replace(" %,", ",") == text.replace(" %,", ",")


def test_a_report_only_gate_is_told_without_a_bound() -> None:
    judgement = Judgement("top1", "reported", "top1[race] report-only", "race=a", -0.01, 0.8, 0.79, n=50)
    assert words.judgement_text(judgement) == (
        "top-1 [race=a] 79.00 % against the reference's 80.00 %; change -1.00 points (n = 50)"
    )


@pytest.mark.parametrize(
    ("gate", "measured", "text"),
    [
        ("top1 >= -1pt", -0.01, "top-1 0.09 % against the reference's 0.10 %; change -1.00 points ("),
        ("top1 >= 98% of reference", 0.9, "top-1 0.09 % against the reference's 0.10 %; 90.00 % of the reference ("),
        ("top1 >= 70%", 0.0009, "top-1 0.09 % against the reference's 0.10 % ("),
    ],
)
def test_the_values_themselves_are_told(gate: str, measured: float, text: str) -> None:
    judgement = Judgement("top1", "failed", gate, None, measured, 0.001, 0.0009, bound=0.0, threshold=0.0, n=9)
    assert words.judgement_text(judgement).startswith(text)


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (0.0, "0"), (0.005, "5.0 us"), (0.00999, "10.0 us"), (0.0111, "0.0111"), (12.34, "12.3")]
)
def test_a_short_latency_is_told_in_microseconds(value: float | None, text: str) -> None:
    assert words.short_milliseconds(value) == text


@pytest.mark.parametrize(
    ("precision", "worth", "text"),
    [
        ("int8", "reference", "exact integer arithmetic"),
        ("float16", "reference", "float kernels of this machine's CPU"),
        ("float32", "target", "the target's own kernels"),
        ("int8", None, "no kernels at all"),
    ],
)
def test_whose_kernels_judged(precision: str, worth: str | None, text: str) -> None:
    assert words.measured_on(Candidate("litert", precision, "passed", measured_on=worth)) == text


def test_the_worst_verdict_leads() -> None:
    verdicts = [Judgement("top1", status, "", name) for status, name in [("passed", None), ("undecided", "b"), ("failed", "c")]]
    assert words.leading(Candidate("a", "b", "failed", verdicts=tuple(verdicts))) == verdicts[2]
    assert words.leading(Candidate("a", "b", "failed")) is None


@pytest.mark.parametrize(("gate", "is_lower"), [("mae <= +0.1", True), ("auc >= -0.1", False), ("x:f <= 3", True), ("", True)])
def test_direction(gate: str, is_lower: bool) -> None:
    assert words.is_lower_better(Judgement("mae", "passed", gate)) is is_lower


def _target(size: int | None, base: int | None, speedup: Speedup | None = None) -> TargetReport:
    one = Candidate("litert", "int8", "passed", size_bytes=size, speedup=speedup)
    two = Candidate("litert", "float32", "passed", size_bytes=base)
    return TargetReport("pi", "passed", (one, two), one.key, baseline=two.key)


def test_changes_against_the_best_float() -> None:
    assert words.size_change(_target(25, 100)) == "75 % smaller"
    assert words.size_change(_target(150, 100)) == "50 % larger"
    assert words.size_change(_target(100, 100)) == "the same size"
    assert words.size_change(_target(None, 100)) == ""
    assert words.speed_change(_target(1, 1, Speedup(1.92, 1.8, 2.0))) == "1.92x faster (95 % interval 1.80 to 2.00)"
    assert words.speed_change(_target(1, 1, Speedup(0.99, 0.98, 1.0))) == "0.990x the speed (95 % interval 0.980 to 1.00)"
    assert words.speed_change(_target(1, 1)) == "latency not measured"


def test_text_is_one_printable_line() -> None:
    assert words.printable("a\nb\x00c\u202ed é 漢") == "a b�c�d é 漢"
